//! Links of a provider: config, binding, change, refusal and end. Also calls by operators.

use lattice_core::{
    client::Caller,
    link::{LinkEntry, LinkStatus},
};
use lattice_provider_sdk::{
    Call, CallError, Context, Lattice, Link, Provider, Refusal, ServeHandle, TraceContext, serve,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, timeout};

lattice_provider_sdk::provider!({
    inline: "
        package test:notes@0.1.0;
        interface notes {
            prefixed: func(text: string) -> string;
            whoami: func() -> tuple<string, string, u8>;
            left: func() -> u64;
            trace: func() -> string;
            deeper: func() -> result<u64, string>;
            crash: func();
        }
        world app {
            import notes;
            export notes;
        }
    ",
});

use test::notes::notes::{Notes as NotesInterface, NotesClient};

type Log = Arc<Mutex<Vec<String>>>;

struct Notes {
    log: Log,
    /// The provider's own caller, for calls to itself.
    caller: Option<Caller>,
}

#[derive(Serialize, Deserialize)]
struct Config {
    prefix: String,
}

struct Binding {
    prefix: String,
    log: Log,
}

impl Drop for Binding {
    fn drop(&mut self) {
        note(&self.log, format!("drop {}", self.prefix));
    }
}

fn note(log: &Log, what: String) {
    log.lock().expect("no panic holds it").push(what);
}

impl Provider for Notes {
    type World = World;
    type Config = Config;
    type Binding = Binding;

    async fn link(&self, link: &Link, config: Config) -> Result<Binding, Refusal> {
        if config.prefix.is_empty() {
            return Err(Refusal::new("`prefix` is empty; give it a letter at least"));
        }
        assert_ne!(config.prefix, "panic", "on purpose");
        config
            .prefix
            .parse::<u32>()
            .map_or(Ok(()), |number| Err(Unlucky(number)))?;
        note(&self.log, format!("link {} {}", link.name, config.prefix));
        Ok(Binding {
            prefix: config.prefix,
            log: self.log.clone(),
        })
    }

    fn unlink(&self, link: &Link, binding: &Binding) {
        note(
            &self.log,
            format!("unlink {} {}", link.name, binding.prefix),
        );
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is a number")]
struct Unlucky(u32);

impl NotesInterface for Notes {
    async fn prefixed(&self, call: &Call<Self>, text: String) -> String {
        format!("{}{text}", call.binding().prefix)
    }

    async fn whoami(&self, call: &Call<Self>) -> (String, String, u8) {
        let caller = call.caller().map(ToString::to_string).unwrap_or_default();
        let link = call
            .link_name()
            .map(ToString::to_string)
            .unwrap_or_default();
        (caller, link, call.hops())
    }

    async fn left(&self, call: &Call<Self>) -> u64 {
        call.time_left().as_millis() as u64
    }

    async fn deeper(&self, call: &Call<Self>) -> Result<u64, String> {
        let caller = self.caller.as_ref().ok_or("no caller")?;
        let client = NotesClient::new(caller.clone());
        let (_, _, hops) = client.whoami().await.map_err(|error| error.to_string())?;
        assert_eq!(hops, call.hops() + 1);
        let trace = client.trace().await.map_err(|error| error.to_string());
        assert_eq!(trace?, format!("{:?}", call.trace()));
        let context = *call.context();
        let spawned = client.clone();
        let spawned = tokio::spawn(async move {
            let (_, _, hops) = spawned.whoami().on_behalf_of(&context).await?;
            let trace = spawned.trace().on_behalf_of(&context).await?;
            let left = spawned.left().on_behalf_of(&context).await?;
            Ok::<_, CallError>((hops, trace, left))
        });
        let (hops, trace, left) = spawned
            .await
            .expect("no panic")
            .map_err(|error| error.to_string())?;
        assert_eq!(hops, call.hops() + 1);
        assert_eq!(trace, format!("{:?}", call.trace()));
        assert!(left <= 700, "{left}");
        let longer = client.left().timeout(Duration::from_secs(9));
        longer.await.map_err(|error| error.to_string())
    }

    async fn trace(&self, call: &Call<Self>) -> String {
        format!("{:?}", call.trace())
    }

    async fn crash(&self, _: &Call<Self>) {
        panic!("on purpose");
    }
}

struct Scene {
    lattice: Lattice,
    log: Log,
    caller: Caller,
    serving: Option<ServeHandle>,
}

impl Scene {
    async fn new() -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let log = Log::default();
        let own = lattice.caller("notes").expect("an id");
        let serving = serve(
            &lattice,
            "notes",
            Notes {
                log: log.clone(),
                caller: Some(own),
            },
        )
        .await
        .expect("served");
        let caller = lattice.caller("app").expect("an id");
        Self {
            lattice,
            log,
            caller,
            serving: Some(serving),
        }
    }

    /// Puts the link `name` from `app`, and replaces the previous one.
    async fn link(&self, name: &str, prefix: &str) -> Arc<LinkEntry> {
        self.put(
            link("app", name)
                .config(&Config {
                    prefix: prefix.to_owned(),
                })
                .expect("JSON"),
        )
        .await
    }

    async fn put(&self, link: Link) -> Arc<LinkEntry> {
        self.lattice.links().replace(link).await.expect("put")
    }

    fn client(&self, name: &str) -> NotesClient<Caller> {
        NotesClient::new(self.caller.clone().via(name).expect("a link name"))
    }

    /// Calls `prefixed` with the text `x` over a link.
    async fn prefixed(&self, link: &str) -> Result<String, CallError> {
        self.client(link).prefixed("x").await
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic holds it").clone()
    }

    /// Waits until the log has these lines.
    async fn logged(&self, expected: &[&str]) {
        let logged = async {
            while self.log() != expected {
                tokio::task::yield_now().await;
            }
        };
        let logged = timeout(Duration::from_secs(5), logged).await;
        assert!(
            logged.is_ok(),
            "expected {expected:?}, found {:?}",
            self.log()
        );
    }

    /// Waits until the target has refused the link, and returns the reason.
    async fn refusal(&self, entry: &LinkEntry) -> String {
        let status = async {
            loop {
                match self
                    .lattice
                    .links()
                    .get(&entry.key)
                    .map(|entry| entry.status.clone())
                {
                    Some(LinkStatus::Rejected { reason }) => return reason,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        timeout(Duration::from_secs(5), status)
            .await
            .expect("a refusal")
    }
}

fn link(source: &str, name: &str) -> Link {
    Link::new(source, "test:notes/notes@0.1.0", "notes")
        .and_then(|link| link.named(name))
        .expect("valid")
}

#[tokio::test]
async fn each_link_has_a_binding_made_from_its_config() -> Result<(), CallError> {
    let scene = Scene::new().await;
    scene.link("one", "a-").await;
    scene.link("two", "b-").await;
    assert_eq!(scene.prefixed("one").await?, "a-x");
    assert_eq!(scene.prefixed("two").await?, "b-x");
    let expected = ("app".to_owned(), "two".to_owned(), 0);
    assert_eq!(scene.client("two").whoami().await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_binding_lives_from_link_to_unlink() -> Result<(), CallError> {
    let scene = Scene::new().await;
    scene.link("one", "a").await;
    scene.logged(&["link one a"]).await;
    let entry = scene.link("one", "b").await;
    assert_eq!(scene.prefixed("one").await?, "bx");
    scene
        .logged(&["link one a", "link one b", "unlink one a", "drop a"])
        .await;
    scene
        .lattice
        .links()
        .delete(&entry.key)
        .await
        .expect("deleted");
    scene
        .logged(&[
            "link one a",
            "link one b",
            "unlink one a",
            "drop a",
            "unlink one b",
            "drop b",
        ])
        .await;
    let error = scene.prefixed("one").await.expect_err("no link");
    assert!(matches!(error, CallError::NotLinked { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_stops_ends_its_bindings() {
    let mut scene = Scene::new().await;
    scene.link("one", "a").await;
    scene.logged(&["link one a"]).await;
    let serving = scene.serving.take().expect("in service");
    assert!(serving.shutdown(Duration::from_secs(1)).await.is_clean());
    scene
        .logged(&["link one a", "unlink one a", "drop a"])
        .await;
}

#[tokio::test]
async fn an_invalid_config_is_reported_in_the_links_status_and_to_its_callers() {
    let scene = Scene::new().await;
    let no_config = scene.put(link("app", "none")).await;
    let wrong = scene
        .put(link("app", "wrong").config(&7).expect("JSON"))
        .await;
    let empty = scene.link("empty", "").await;
    let number = scene.link("number", "13").await;
    let panics = scene.link("panics", "panic").await;
    for (entry, expected) in [
        (
            no_config,
            "the link has no config, but the provider needs one: missing field `prefix`",
        ),
        (
            wrong,
            "the link's config doesn't fit the provider: invalid type: integer `7`",
        ),
        (empty, "`prefix` is empty; give it a letter at least"),
        (number, "13 is a number"),
        (panics, "panicked"),
    ] {
        let reason = scene.refusal(&entry).await;
        assert!(reason.contains(expected), "{reason}");
        let call = scene.prefixed(entry.link.name.as_str()).await;
        let Err(CallError::LinkRejected { reason, .. }) = &call else {
            panic!("{call:?}")
        };
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(scene.log(), [""; 0]);
}

#[tokio::test]
async fn a_refused_change_ends_the_binding_and_a_corrected_link_has_a_new_one()
-> Result<(), CallError> {
    let scene = Scene::new().await;
    scene.link("one", "a").await;
    scene.logged(&["link one a"]).await;
    let entry = scene.link("one", "13").await;
    scene.refusal(&entry).await;
    scene
        .logged(&["link one a", "unlink one a", "drop a"])
        .await;
    scene.link("one", "c").await;
    assert_eq!(scene.prefixed("one").await?, "cx");
    Ok(())
}

#[tokio::test]
async fn an_operator_without_a_binding_is_denied() {
    let scene = Scene::new().await;
    let error = NotesClient::new(scene.lattice.operator().component("notes"))
        .left()
        .await;
    assert!(matches!(error, Err(CallError::OperatorDenied)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_on_behalf_of_a_call_inherit_its_deadline_hops_and_trace() -> Result<(), CallError> {
    let scene = Scene::new().await;
    scene.link("one", "a").await;
    scene
        .put(
            link("notes", "default")
                .config(&Config {
                    prefix: "self".to_owned(),
                })
                .expect("JSON"),
        )
        .await;
    let client = scene.client("one");
    let mut context = Context::default();
    assert_eq!(client.trace().await?, "None");
    context.trace = Some(TraceContext {
        trace_id: *b"a trace of sixty",
        span_id: *b"its span",
        flags: 1,
    });
    let expected = format!("{:?}", context.trace);
    assert_eq!(client.trace().on_behalf_of(&context).await?, expected);
    let before = Instant::now();
    let context = context.shrunk(Duration::from_millis(700));
    let left = client
        .deeper()
        .on_behalf_of(&context)
        .await?
        .expect("answered");
    let gone = before.elapsed().as_millis() as u64;
    assert!(
        left <= 700 && left + gone >= 650,
        "{left} ms left after {gone} ms"
    );
    Ok(())
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_that_call_only() -> Result<(), CallError> {
    let scene = Scene::new().await;
    scene.link("one", "a").await;
    let client = scene.client("one");
    let error = client.crash().await.expect_err("it panics");
    assert!(matches!(error, CallError::CalleeFailed { .. }), "{error}");
    assert_eq!(client.prefixed("x").await?, "ax");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_changes_the_last_one_is_in_effect_and_every_binding_ends()
-> Result<(), CallError> {
    let scene = Scene::new().await;
    for round in ["a", "b", "c"] {
        for change in 0..20 {
            scene.link("one", &format!("{round}{change}-")).await;
        }
        let entry = scene.link("one", round).await;
        let result = scene.prefixed("one").await?;
        assert_eq!(result, format!("{round}x"));
        scene
            .lattice
            .links()
            .delete(&entry.key)
            .await
            .expect("deleted");
    }
    let count = |what: &str| {
        scene
            .log()
            .iter()
            .filter(|line| line.starts_with(what))
            .count()
    };
    let all_ended = async {
        while count("drop") < count("link") || count("unlink") < count("link") {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), all_ended)
        .await
        .expect("every binding ends");
    assert!(count("link") >= 3);
    Ok(())
}
