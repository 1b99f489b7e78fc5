//! Connections that have made one request and stay open.

use super::{ACTOR, HELLO, INGRESS, address, answered, open};
use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
};
use crate::{Failure, http::Connection, process, summary::Row};
use tokio::task::JoinSet;

/// Connections of a full run, and of a short one.
const CONNECTIONS: usize = 10_000;
const FEW: usize = 500;
/// Connections that are opened at the same time.
const AT_ONCE: usize = 50;
/// Other files that a process has open, at most.
const OTHERS: usize = 256;

pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let count = options.length.pick(CONNECTIONS, FEW);
    let most = process::most_descriptors()?;
    if most < count + OTHERS {
        note(&format!(
            "http.idle is skipped: it needs {count} connections, and a process may only have {most} files open; raise that with `ulimit -n`"
        ));
        return Ok(());
    }
    let mesh = Mesh::start().await?;
    let mut host = mesh.host("host", &[INGRESS, ACTOR]).await?;
    let address = address(&mut host).await?;
    open(&mesh).await?;
    answered(address).await?;
    let mut connections = Vec::with_capacity(count);
    // What the first requests take, the connections don't keep.
    let mut before = 0;
    while connections.len() < count {
        if connections.len() == AT_ONCE {
            before = process::resident(host.id()?)?;
        }
        let mut opening = JoinSet::new();
        for _ in 0..AT_ONCE {
            opening.spawn(async move {
                let mut connection = Connection::open(address).await?;
                connection.get(HELLO, "/").await?;
                Ok::<_, Failure>(connection)
            });
        }
        for opened in opening.join_all().await {
            connections.push(opened?);
        }
    }
    let after = process::resident(host.id()?)?;
    // Those that were closed would count as idle otherwise.
    for connection in &mut connections {
        connection.get(HELLO, "/").await?;
    }
    let grown = after.saturating_sub(before) as f64 / f64::from(1 << 20);
    note(&format!(
        "http.idle: {count} connections, {grown:.1} MiB more"
    ));
    report.add(
        Row::new("http.idle.growth_MiB", grown, None, "MiB"),
        Bar::AtMost(200.0),
    );
    Ok(())
}
