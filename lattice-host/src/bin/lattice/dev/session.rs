//! The lattice and the host that run a project.

use super::{logs, server::Server, stage::Stage};
use crate::failure::Failure;
use lattice_core::{
    Lattice,
    name::{LatticeName, WormholeId},
    wormhole::WormholeSpec,
};
use lattice_host::{Access, Host, Programs, artifact::Artifacts, http::Ingress};
use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio_util::task::AbortOnDropHandle;

/// Where requests for wormholes are taken, if that is free and nothing else was asked for.
const HTTP: &str = "127.0.0.1:8080";
/// The same on any port.
const ANY_PORT: &str = "127.0.0.1:0";
/// The domain under which every host serves names of one label.
const LOCALHOST: &str = "localhost";

/// What a lattice is started with.
#[derive(Debug)]
pub(super) struct Settings {
    /// Its name.
    pub(super) name: LatticeName,
    /// Where requests for wormholes are taken.
    pub(super) http: Option<String>,
    /// What of this machine the settings of providers may name.
    pub(super) access: Access,
    /// Where images come from.
    pub(super) artifacts: Artifacts,
}

/// A lattice with one host.
pub(super) struct Session {
    pub(super) lattice: Lattice,
    pub(super) host: Host,
    _logs: AbortOnDropHandle<()>,
    // It ends last, after the host has left.
    pub(super) server: Option<Server>,
}

impl Session {
    /// Starts a lattice. It is in this process, unless there is a server: then processes join it.
    ///
    /// # Errors
    /// Fails when the host does not start.
    pub(super) async fn start(
        settings: Settings,
        server: Option<Server>,
        stage: &Stage,
    ) -> Result<Self, Failure> {
        let Settings {
            name,
            http,
            access,
            artifacts,
        } = settings;
        let lattice = match &server {
            None => Lattice::in_memory(name).await?,
            Some(server) => {
                let connect = Lattice::connect(server.url.clone(), name);
                connect.key(server.key.clone()).await?
            }
        };
        let http = http.unwrap_or_else(|| usual_address().to_owned());
        let host = Host::builder(&lattice)
            .id("dev")
            .artifacts(artifacts)
            .provider_access(access)
            .programs(Programs::Folder(stage.folder().into()))
            .ingress(Ingress::http(http))
            .start()
            .await
            .map_err(|error| Failure::failed("the host did not start", &error))?;
        let logs = logs::follow(&lattice).await;
        let logs = logs.map_err(|error| Failure::failed("there are no logs", &error))?;
        Ok(Self {
            lattice,
            host,
            _logs: logs,
            server,
        })
    }

    /// Returns the open wormholes, with where each can be reached.
    pub(super) fn wormholes(&self) -> BTreeSet<(WormholeId, String)> {
        let addresses = self.host.ingress_addresses();
        let all = self.lattice.wormholes().list();
        let open = all.iter().filter(|wormhole| wormhole.spec.is_open());
        open.flat_map(|wormhole| {
            let urls = addresses
                .iter()
                .flat_map(|address| urls(&wormhole.spec, *address));
            urls.map(|url| (wormhole.id.clone(), url))
                .collect::<Vec<_>>()
        })
        .collect()
    }

    /// Stops the host. Calls may finish for a moment.
    pub(super) async fn stop(self, grace: Duration) {
        // What is cut off now was about to end anyway.
        let _ = self.host.shutdown(grace).await;
        drop(self.server);
    }
}

/// Returns the usual address, or one with a free port if that is in use.
fn usual_address() -> &'static str {
    match TcpListener::bind(HTTP) {
        Ok(_) => HTTP,
        Err(_) => ANY_PORT,
    }
}

/// Returns where a wormhole can be reached through an ingress.
fn urls(spec: &WormholeSpec, address: SocketAddr) -> Vec<String> {
    let path = &spec.path;
    let port = address.port();
    if spec.serves_any_host() {
        return vec![format!("http://{address}{path}")];
    }
    let hosts = spec.hosts().map(|host| host.to_string());
    hosts
        .map(|host| {
            if host.contains('.') {
                format!("http://{host}:{port}{path}")
            } else {
                format!("http://{host}.{LOCALHOST}:{port}{path}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wormholes_are_reached_at_their_names_or_at_the_address() {
        let address: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let mut spec = WormholeSpec::new("front".parse().expect("an id"));
        assert_eq!(urls(&spec, address), ["http://127.0.0.1:8080/"]);
        spec.host = Some("front".to_owned());
        spec.domains = ["shop.example".to_owned()].into();
        spec.path = "/api".to_owned();
        assert_eq!(
            urls(&spec, address),
            [
                "http://front.localhost:8080/api",
                "http://shop.example:8080/api"
            ]
        );
    }
}
