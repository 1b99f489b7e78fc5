//! The life of a provider: start, links and calls, health, stop.

use lattice_provider_sdk::{
    Call, Caller, Instance, Lattice, Link, Provider, Refusal, ServeError, serve,
};
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::time::timeout;

lattice_provider_sdk::provider!({
    inline: "
        package test:lives@0.1.0;
        interface bell { ring: func() -> string; }
        interface ear { heard: func(by: string); }
        world app {
            import bell;
            import ear;
            export bell;
            export ear;
        }
    ",
});

use test::lives::{
    bell::{Bell, BellClient},
    ear::{Ear, EarClient},
};

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, what: &str) {
    log.lock().expect("no panic holds it").push(what.to_owned());
}

/// Rings, and lets another component hear it, in its own name.
struct Tower {
    log: Log,
    instance: OnceLock<Instance>,
    refuses: bool,
}

impl Tower {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            instance: OnceLock::new(),
            refuses: false,
        }
    }
}

impl Provider for Tower {
    type World = World;
    type Config = ();
    type Binding = ();

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        note(&self.log, "start");
        if self.refuses {
            return Err(Refusal::new("`clapper` is missing; set it"));
        }
        let instance = self.instance.get_or_init(|| instance.clone());
        assert_eq!(instance.lattice().name().as_str(), "test");
        Ok(())
    }

    async fn stop(&self) {
        tokio::task::yield_now().await;
        note(&self.log, "stop");
    }

    async fn link(&self, _: &Link, (): ()) -> Result<(), Refusal> {
        note(&self.log, "link");
        Ok(())
    }

    fn unlink(&self, _: &Link, (): &()) {
        note(&self.log, "unlink");
    }
}

impl Bell for Tower {
    async fn ring(&self, _: &Call<Self>) -> String {
        let instance = self.instance.get().expect("it was started");
        let ear = EarClient::new(instance.caller());
        // The call is the provider's own, in a task that handles nobody's call.
        let by = instance.id().to_string();
        let heard = tokio::spawn(async move { ear.heard(&by).await });
        let heard = heard.await.expect("no panic");
        heard.map_or_else(|error| error.to_string(), |()| "heard".to_owned())
    }
}

impl Ear for Tower {
    async fn heard(&self, call: &Call<Self>, by: String) {
        let caller = call.caller().map(ToString::to_string);
        assert_eq!(caller, Some(by));
        note(&self.log, "heard");
    }
}

async fn linked(lattice: &Lattice, source: &str, interface: &str, target: &str) {
    let interface = format!("test:lives/{interface}@0.1.0");
    let link = Link::new(source, &*interface, target).expect("valid");
    lattice.links().put(link).await.expect("put");
}

fn bell(lattice: &Lattice) -> BellClient<Caller> {
    BellClient::new(lattice.caller("app").expect("an id"))
}

#[tokio::test]
async fn a_provider_starts_calls_in_its_own_name_and_stops_after_its_links() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let (log, ear) = (Log::default(), Log::default());
    let _ear = serve(&lattice, "ear", Tower::new(&ear))
        .await
        .expect("served");
    let serving = serve(&lattice, "tower", Tower::new(&log)).await;
    let serving = serving.expect("served");
    linked(&lattice, "app", "bell", "tower").await;
    linked(&lattice, "tower", "ear", "ear").await;
    assert_eq!(bell(&lattice).ring().await.expect("it rings"), "heard");
    assert!(serving.shutdown(Duration::from_secs(5)).await.is_clean());
    let logged = log.lock().expect("no panic holds it").clone();
    assert_eq!(logged, ["start", "link", "unlink", "stop"]);
    let heard = ear.lock().expect("no panic holds it").clone();
    assert_eq!(heard, ["start", "link", "heard"]);
}

#[tokio::test]
async fn a_provider_that_refuses_to_start_is_not_served() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let log = Log::default();
    let tower = Tower {
        refuses: true,
        ..Tower::new(&log)
    };
    let error = serve(&lattice, "tower", tower)
        .await
        .expect_err("it refuses");
    assert!(matches!(error, ServeError::Start { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "component `tower` did not start: `clapper` is missing; set it"
    );
    let logged = log.lock().expect("no panic holds it").clone();
    assert_eq!(logged, ["start"]);
}

#[tokio::test]
async fn a_provider_that_is_dropped_stops_and_is_freed() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let log = Log::default();
    drop(
        serve(&lattice, "tower", Tower::new(&log))
            .await
            .expect("served"),
    );
    let freed = async {
        while Arc::strong_count(&log) > 1 {
            tokio::task::yield_now().await;
        }
    };
    let freed = timeout(Duration::from_secs(5), freed).await;
    freed.expect("an instance that a provider keeps doesn't keep the provider");
    let logged = log.lock().expect("no panic holds it").clone();
    assert_eq!(logged, ["start", "stop"]);
}
