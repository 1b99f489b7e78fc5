//! A host is killed whose actor holds resources of an actor on another host. Counts the resources
//! that are left when the lease of the holder is over.
//!
//! The resources are desks of one instance of `sink`. The *dealer*, on the same host, has one of
//! them, and makes `holder` on the other host take the rest. It can ask that instance how many
//! desks there are.

use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    way::DRIVER,
};
use crate::{
    Failure,
    flow::{HOARD, RUN, RunClient, SHELF},
    summary::Row,
};
use lattice_core::client::Caller;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The deadline of a call that deals desks.
const LONG: Duration = Duration::from_mins(2);
/// Far longer than a lease, which is half a minute, and the drops after it.
const PATIENCE: Duration = Duration::from_mins(2);
/// Interval between two counts.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.join(DRIVER, RUN, "dealer").await?;
    mesh.join("dealer", SHELF, "sink").await?;
    mesh.join("dealer", HOARD, "holder").await?;
    mesh.join("holder", SHELF, "sink").await?;
    let _owner = mesh.host("a", &["sink=sink", "dealer=source"]).await?;
    let mut holder = mesh.host("b", &["holder=source"]).await?;
    for component in ["sink", "dealer", "holder"] {
        mesh.served(component, 1).await?;
    }
    let run = RunClient::new(mesh.lattice.caller(DRIVER)?);
    let desks = options.length.pick(100_000, 10_000);
    let dealt = run.deal(desks).timeout(LONG).await?;
    if dealt < desks || left(&run).await? != dealt {
        return Err(format!("{dealt} desks were dealt of {desks}, or some were dropped").into());
    }
    holder.kill().await?;
    let killed = Instant::now();
    let mut leaked = dealt;
    while leaked > 0 && killed.elapsed() < PATIENCE {
        sleep(LOOK).await;
        leaked = left(&run).await?;
    }
    note(&format!(
        "resource.lease: {dealt} desks, {leaked} left {:.1} s after their holder was killed",
        killed.elapsed().as_secs_f64()
    ));
    report.add(
        Row::new("resource.lease.leaked", f64::from(leaked), None, "desks"),
        Bar::AtMost(0.0),
    );
    Ok(())
}

/// Returns how many of the dealt desks exist.
async fn left(run: &RunClient<Caller>) -> Result<u32, Failure> {
    let dealt = run.dealt().timeout(LONG).await?;
    Ok(dealt.ok_or("another instance than the one that has dealt was asked")?)
}
