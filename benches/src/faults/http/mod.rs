//! Requests through wormholes while hosts are killed, restarted and updated, beside clients that
//! read nothing, and with many connections that are idle.

mod idle;
mod kill;
mod rolling;
mod stalled;

use crate::faults::{
    host::ADDRESS,
    mesh::Mesh,
    options::Options,
    report::Report,
    way::{Failed, Way},
};
use crate::{
    Failure,
    http::Pool,
    program::{Program, START},
};
use bytes::Bytes;
use lattice_core::wormholes::NewWormhole;
use std::{net::SocketAddr, time::Duration};
use tokio::time::{sleep, timeout};

/// The actor, and the host name of the wormhole that leads to it.
const HELLO: &str = "hello";
/// What the hosts of these scenarios serve: the actor and an ingress.
const ACTOR: &str = "hello=hello";
const INGRESS: &str = "world=ingress";
/// Connections of clients, each with one request at a time.
const CONNECTIONS: usize = 64;
const DEADLINE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    if options.wants("http.kill") {
        kill::measure(options, report).await?;
    }
    if options.wants("http.rolling") {
        rolling::measure(options, report).await?;
    }
    if options.wants("http.stalled") {
        stalled::measure(options, report).await?;
    }
    if options.wants("http.idle") {
        idle::measure(options, report).await?;
    }
    Ok(())
}

impl Way for Pool {
    async fn call(&self, _: &Bytes, deadline: Duration) -> Result<(), Failed> {
        match timeout(deadline, self.get()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failed(error.to_string())),
            Err(_) => Err(Failed("no response in time".to_owned())),
        }
    }
}

/// Opens the wormhole.
async fn open(mesh: &Mesh) -> Result<(), Failure> {
    let wormhole = NewWormhole::new(HELLO)?.host(HELLO);
    mesh.lattice.wormholes().create(wormhole).await?;
    Ok(())
}

/// Returns the address of a host's ingress.
async fn address(host: &mut Program) -> Result<SocketAddr, Failure> {
    Ok(host.ask(ADDRESS, START).await?.parse()?)
}

/// Waits until requests are answered.
async fn answered(address: SocketAddr) -> Result<(), Failure> {
    let pool = Pool::new(vec![address], HELLO);
    let answered = async {
        while pool.get().await.is_err() {
            sleep(LOOK).await;
        }
    };
    timeout(START, answered)
        .await
        .map_err(|_| "the ingress did not serve the wormhole in time".into())
}
