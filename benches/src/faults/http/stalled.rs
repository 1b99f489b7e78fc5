//! Clients that read nothing of a body without an end, beside clients that make requests. The actor
//! is on another host than the ingress.

use super::{ACTOR, CONNECTIONS, HELLO, INGRESS, address, answered, open};
use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
};
use crate::{
    Failure,
    http::{Connection, Gets, HELLO as GREETING},
    summary::Row,
};
use hyper::{Response, body::Incoming};
use lattice_benches_common::{cpu::Processes, figures::median, measure};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Clients that read nothing.
const STALLED: usize = 16;
/// Time in which everything between actor and client fills up.
const FILLED: Duration = Duration::from_millis(500);

pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    let mut ingress = mesh.host("ingress", &[INGRESS]).await?;
    let address = address(&mut ingress).await?;
    let _actor = mesh.host("actor", &[ACTOR]).await?;
    mesh.served(HELLO, 1).await?;
    open(&mesh).await?;
    answered(address).await?;
    let gets = Arc::new(Gets::open(address, HELLO, CONNECTIONS).await?);
    let time = options
        .length
        .pick(Duration::from_secs(1), Duration::from_millis(500));
    let p99 = async || {
        let (size, processes) = (GREETING.len(), Processes::own());
        let round = measure::calls(&gets, CONNECTIONS, size, time, &processes).await?;
        Ok::<_, Failure>(round.quantile(0.99).as_secs_f64() * 1e3)
    };
    p99().await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 1..=options.length.pick(5, 1) {
        without.push(p99().await?);
        let stalled = stall(address).await?;
        sleep(FILLED).await;
        with.push(p99().await?);
        drop(stalled);
        note(&format!(
            "http.stalled, round {round}: p99 {:.2} ms with, {:.2} ms without",
            with[round - 1],
            without[round - 1]
        ));
    }
    let [with, without] = [with, without].map(|all| median(all.into_iter()));
    report.add(
        Row::new("http.stalled.p99", with, Some(without), "ms"),
        Bar::Ratio(1.5),
    );
    Ok(())
}

/// Starts requests, and reads no more than the heads of their responses.
async fn stall(address: SocketAddr) -> Result<Vec<(Connection, Response<Incoming>)>, Failure> {
    let mut stalled = Vec::with_capacity(STALLED);
    for _ in 0..STALLED {
        let mut connection = Connection::open(address).await?;
        let head = connection.get_head(HELLO, "/endless").await?;
        stalled.push((connection, head));
    }
    Ok(stalled)
}
