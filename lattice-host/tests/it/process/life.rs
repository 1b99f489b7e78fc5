//! What a provider in a process of its own has, from its start to its end.

use super::scene::{ActsClient, PROGRAM, Scene, has_ended, pid, runs};
use crate::{
    artifact::{
        fake::{Contents, Fake, manifest},
        support::plain,
    },
    wait::until,
};
use futures_util::StreamExt as _;
use lattice_core::{
    client::Caller,
    constellation::Subject,
    logs::LogEvent,
    name::{AppName, ComponentId},
};
use lattice_host::{Host, Programs};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn a_process_serves_calls_of_its_links_and_stops_with_its_host() {
    let (scene, host) = Scene::with("").await;
    let client = scene.client().await;
    let process = pid(&client).await;
    assert_ne!(process, std::process::id());
    for prefix in ["one: ", "two: "] {
        scene.link(prefix).await;
        let text = client.prefixed("x").await.expect("it is linked");
        assert_eq!(text, format!("{prefix}x"), "the link has changed");
    }
    assert!(host.shutdown(Duration::from_secs(10)).await.is_clean());
    has_ended(process).await;
}

#[tokio::test]
async fn a_process_is_in_the_metrics_of_its_host() {
    let (scene, host) = Scene::with("").await;
    let client = scene.client().await;
    pid(&client).await;
    let read = |name: &str| {
        let of = [("lattice.component", "actor")];
        host.metrics().total(name, &of)
    };
    assert_eq!(read("lattice.provider.restarts"), Some(0.0));
    if cfg!(target_os = "linux") {
        let has_memory = || read("lattice.provider.memory.usage") > Some(0.0);
        until("its memory is known", has_memory).await;
        until("its time is known", || {
            read("lattice.provider.cpu.time").is_some()
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_inherits_nothing_and_has_what_is_declared() {
    let declared = "\"lattice.env.GREETING\" = \"hello\", \"lattice.memory\" = \"2GiB\"";
    let (scene, _host) = Scene::with(declared).await;
    let client = scene.client().await;
    let environment = client.environment().await.expect("it serves");
    assert_eq!(environment, ["GREETING=hello"]);
    assert!(client.can_map(64).await.expect("it serves"));
    assert!(!client.can_map(4_096).await.expect("it serves"));
}

#[tokio::test]
async fn a_changed_provider_gets_a_new_process_and_a_removed_one_none() {
    let (scene, _host) = Scene::with("\"lattice.env.V\" = \"1\"").await;
    let client = scene.client().await;
    let first = pid(&client).await;
    scene.apply("\"lattice.env.V\" = \"2\"").await;
    has_ended(first).await;
    let second = pid(&client).await;
    assert_eq!(client.environment().await.expect("it serves"), ["V=2"]);
    let app = AppName::new("test").expect("a name");
    scene.lattice.delete_app(&app).await.expect("deleted");
    has_ended(second).await;
}

#[tokio::test]
async fn what_a_process_prints_is_the_log_of_its_component() {
    let (scene, _host) = Scene::with("").await;
    let client = scene.client().await;
    let component = ComponentId::new("actor").expect("an id");
    let mut logs = scene
        .lattice
        .logs(Some(component), 0)
        .await
        .expect("a stream");
    let line = async {
        loop {
            // The reader may come after the line.
            client.print(1).await.expect("it serves");
            let next = timeout(Duration::from_millis(500), logs.next()).await;
            if let Ok(Some(LogEvent::Line { line, .. })) = next {
                return line.text;
            }
        }
    };
    let line = timeout(Duration::from_secs(30), line).await;
    assert_eq!(&*line.expect("a line"), "line 0");
}

#[tokio::test]
async fn what_a_process_uses_is_in_the_view_and_in_the_explanation() {
    let (scene, _host) = Scene::with("").await;
    let client = scene.client().await;
    let first = pid(&client).await;
    client.end(7).await.expect_err("its process has ended");
    replaced(&client, first).await;
    let id = ComponentId::new("actor").expect("an id");
    let view = scene.lattice.constellation();
    let process = || {
        let view = view.snapshot();
        let mut replicas = view.replicas_of(&id);
        replicas.find_map(|replica| replica.process.clone())
    };
    let mut found = None;
    until("its host has reported the restart", || {
        found = process().filter(|process| process.restarts == 1 && process.uptime.is_some());
        found.is_some()
    })
    .await;
    let found = found.expect("it was reported");
    assert!(
        found.memory.is_some_and(|bytes| bytes > 1 << 20),
        "{found:?}"
    );
    assert!(found.cpu.is_some(), "{found:?}");
    let last = found.last_exit.expect("the first one has ended");
    assert!(last.contains("exit status: 7"), "{last}");
    let explained = scene.lattice.explain(&Subject::Component(id)).await;
    let explained = explained.to_string();
    assert!(
        explained.contains("was started again 1 time;"),
        "{explained}"
    );
}

#[tokio::test]
async fn a_program_is_taken_from_a_registry() {
    let program = std::fs::read(PROGRAM).expect("it was built");
    let document = manifest(&[("application/octet-stream", &*program)]);
    let contents = Contents::default().blob(&program).manifest("1", &document);
    let registry = Fake::start(move |asked| contents.answer(asked)).await;
    let scene = Scene::new().await;
    let artifacts = plain(registry.address()).build();
    let own = Programs::Registry(registry.address().to_owned());
    let host = Host::builder(&scene.lattice)
        .artifacts(artifacts)
        .programs(own);
    let host = host.start().await.expect("it starts");
    scene
        .apply_text(&format!(
            "name = \"test\"\n[providers.actor]\nimage = \"oci:{}/a:1\"\n",
            registry.address()
        ))
        .await;
    let process = pid(&scene.client().await).await;
    assert_ne!(process, std::process::id());
    assert!(host.shutdown(Duration::from_secs(10)).await.is_clean());
    has_ended(process).await;
}

#[tokio::test]
async fn a_process_needs_a_lattice_that_others_can_join() {
    let lattice = lattice_core::Lattice::in_memory("test")
        .await
        .expect("a lattice");
    let host = Host::builder(&lattice).programs(Programs::Any);
    let host = host.start().await.expect("it starts");
    let text = format!("name = \"test\"\n[providers.actor]\nimage = \"file:{PROGRAM}\"\n");
    let app = lattice_core::app::App::from_toml("app.toml", &text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    let agent = host.agent().expect("it takes part in placement");
    let id = ComponentId::new("actor").expect("an id");
    until("it says why", || {
        let state = agent.state();
        let reason = state
            .components
            .get(&id)
            .and_then(|state| state.reason.as_ref());
        reason.is_some_and(|reason| reason.contains("needs a lattice on NATS"))
    })
    .await;
}

/// Calls until the provider is another process than this one, and returns which.
pub(super) async fn replaced(client: &ActsClient<Caller>, before: u32) -> u32 {
    let again = async {
        loop {
            let now = pid(client).await;
            if now != before {
                return now;
            }
        }
    };
    let again = timeout(Duration::from_secs(30), again).await;
    let now = again.expect("another process serves");
    assert!(runs(now));
    now
}
