//! A host in a process of its own, which can be killed.

use super::{
    client::WORLD,
    scene::{MISCHIEF, address, guest, ingress, opened},
};
use crate::{
    host::support::{path, served},
    nats::{NatsConfig, NatsServer},
};
use lattice_core::{Lattice, app::App, auth::LatticeKey};
use lattice_host::Host;
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// An ingress in this process, and the actor in another one. Dropping this ends both.
pub(super) struct Remote {
    pub(super) address: SocketAddr,
    process: Child,
    _ingress: Host,
    _world: Lattice,
    _server: NatsServer,
}

impl Remote {
    pub(super) async fn start() -> Self {
        let server = NatsConfig::default().jetstream().start().await;
        let key = LatticeKey::generate();
        let world = Lattice::connect(server.url(), "default").key(key.clone());
        let world = world.await.expect("connected");
        let ingress = ingress(&world).await;
        let process = Command::new(env!("CARGO_BIN_EXE_lattice"))
            .args(["up", "--id", "killed"])
            .env("LATTICE_NATS", server.url())
            .env("LATTICE_KEY", key.expose_hex().as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the process starts");
        let app = format!(
            "name = \"world\"\n[actors.{MISCHIEF}]\nimage = \"file:{}\"\n",
            path(&guest()).display()
        );
        let app = App::from_toml("world.toml", &app).expect("a manifest");
        world.apply(&app).await.expect("applied");
        served(&world, MISCHIEF).await;
        opened(&world, WORLD, MISCHIEF).await;
        Self {
            address: address(&ingress),
            process,
            _ingress: ingress,
            _world: world,
            _server: server,
        }
    }

    /// Kills the process as `kill -9` does.
    pub(super) fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("its end");
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
