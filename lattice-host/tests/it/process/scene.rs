//! A host on a real server, which runs a provider in a process of its own.

use crate::{
    host::support::{served, started},
    nats::{NatsConfig, NatsServer},
    wait::until,
};
use lattice_core::{
    Lattice, app::App, auth::LatticeKey, call::CallError, client::Caller, link::Link,
    name::ComponentId,
};
use lattice_host::{Host, HostBuilder, Programs};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

lattice_provider_sdk::client!({
    inline: "
        package test:process@0.1.0;
        interface acts {
            pid: func() -> u32;
            prefixed: func(text: string) -> string;
            environment: func() -> list<string>;
            print: func(lines: u32);
            start-another: func() -> u32;
            can-map: func(mib: u32) -> bool;
            end: func(code: u8);
            block-all: func();
        }
    ",
});
pub(super) use test::process::acts::ActsClient;
use test::process::acts::INTERFACE;

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_lattice-test-provider");

pub(super) struct Scene {
    pub(super) server: NatsServer,
    pub(super) key: LatticeKey,
    pub(super) lattice: Lattice,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let server = NatsConfig::default().jetstream().start().await;
        let key = LatticeKey::generate();
        let lattice = Lattice::connect(server.url(), "default").key(key.clone());
        let lattice = lattice.await.expect("connected");
        Self {
            server,
            key,
            lattice,
        }
    }

    /// A host that may run every program.
    pub(super) fn host(&self) -> HostBuilder {
        Host::builder(&self.lattice).programs(Programs::Any)
    }

    /// A scene with a host, to which an app with this configuration of the provider was applied.
    pub(super) async fn with(config: &str) -> (Self, Host) {
        let scene = Self::new().await;
        let host = started(scene.host().id("keeper")).await;
        scene.apply(config).await;
        (scene, host)
    }

    /// Applies an app with the provider `actor`, configured like this.
    pub(super) async fn apply(&self, config: &str) {
        self.apply_program(Path::new(PROGRAM), config).await;
    }

    /// The same with another program.
    pub(super) async fn apply_program(&self, program: &Path, config: &str) {
        let program = program.display();
        self.apply_text(&format!(
            "name = \"test\"\n[providers.actor]\nimage = \"file:{program}\"\nconfig = {{ {config} }}\n"
        ))
        .await;
    }

    pub(super) async fn apply_text(&self, text: &str) {
        let app = App::from_toml("app.toml", text).expect("a manifest");
        self.lattice.apply(&app).await.expect("applied");
    }

    /// Waits until the provider is served, and returns a client with a link to it.
    pub(super) async fn client(&self) -> ActsClient<Caller> {
        served(&self.lattice, "actor").await;
        self.link("").await;
        self.again()
    }

    pub(super) fn again(&self) -> ActsClient<Caller> {
        ActsClient::new(self.lattice.caller("test").expect("an id"))
    }

    pub(super) async fn link(&self, prefix: &str) {
        self.link_to("actor", "test", prefix).await;
    }

    /// Waits until another provider is served, and returns a client with a link to it.
    pub(super) async fn client_of(&self, provider: &str) -> ActsClient<Caller> {
        served(&self.lattice, provider).await;
        let source = format!("test-{provider}");
        self.link_to(provider, &source, "").await;
        ActsClient::new(self.lattice.caller(&source).expect("an id"))
    }

    async fn link_to(&self, provider: &str, source: &str, prefix: &str) {
        let link = Link::new(source, INTERFACE.name(), provider).expect("a link");
        let config = std::collections::BTreeMap::from([("prefix", prefix)]);
        let link = link.config(&config).expect("JSON");
        self.lattice.links().replace(link).await.expect("put");
    }

    /// Returns what people see of the provider on its host, if it isn't well or did not start.
    pub(super) fn reason(&self) -> Option<String> {
        let view = self.lattice.constellation().snapshot();
        let id = ComponentId::new("actor").expect("an id");
        let mut replicas = view.replicas_of(&id);
        replicas.find_map(|replica| replica.reason.clone())
    }

    /// Waits until people see a reason with this text.
    pub(super) async fn says(&self, text: &str) -> String {
        let mut said = None;
        until(&format!("`{text}` is reported"), || {
            said = self.reason();
            said.as_ref().is_some_and(|reason| reason.contains(text))
        })
        .await;
        said.expect("it was said")
    }
}

/// A process that is killed when it is dropped, also by a test that fails.
pub(super) struct HostProcess(Child);

impl HostProcess {
    pub(super) fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("its end");
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // One that has ended already can't be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the command `lattice` with a host that may run every program.
pub(super) fn host_process(scene: &Scene, id: &str) -> HostProcess {
    let process = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .args(["up", "--id", id, "--programs", "any"])
        .env("LATTICE_NATS", scene.server.url())
        .env("LATTICE_KEY", scene.key.expose_hex().as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    HostProcess(process.expect("the process starts"))
}

/// Returns the process that serves, once one does.
pub(super) async fn pid(client: &ActsClient<Caller>) -> u32 {
    let serving = async {
        loop {
            match client.pid().await {
                Ok(pid) => return pid,
                Err(CallError::NotLinked { .. } | CallError::NotExported { .. }) => {
                    panic!("the scene has linked it")
                }
                // It is being started.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    };
    let within = std::time::Duration::from_secs(60);
    let found = tokio::time::timeout(within, serving).await;
    found.expect("it serves")
}

/// Returns whether a process runs. One that has ended and that nobody waits for doesn't.
pub(super) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        !matches!(state, Some('Z' | 'X'))
    })
}

/// Waits until a process has ended.
pub(super) async fn has_ended(pid: u32) {
    until("the process has ended", || !runs(pid)).await;
}
