//! An actor spins. Measures the effect on calls to another actor on its host.

use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report},
    slow::{Pair, to_neighbour},
    traffic::{Kinds, Traffic},
    way::{Echo, Spin},
};
use crate::{
    Failure,
    native::{ECHO, SPIN},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Calls of the spinning actor at a time. Each ends at its CPU limit of 1 s, and then the actor is
/// called again.
const SPINNING: usize = 1;
/// Deadline of the spinning call, which is past its CPU limit.
const LONG: Duration = Duration::from_secs(10);
/// Time after which the actor certainly spins.
const SETTLED: Duration = Duration::from_millis(100);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link("neighbour", ECHO, "neighbour", &[]).await?;
    mesh.link("spinner", SPIN, "spinner", &[]).await?;
    let components = ["neighbour=echo-actor", "spinner=spin-actor"];
    let _host = mesh.host("a", &components).await?;
    mesh.served("spinner", 1).await?;
    let neighbour = Arc::new(Echo::new(&mesh.lattice, "neighbour")?);
    let spinner = [Arc::new(Spin::new(&mesh.lattice, "spinner")?)];
    let pace = to_neighbour();
    let time = options
        .length
        .pick(Duration::from_secs(4), Duration::from_secs(2));
    let mut pair = Pair::default();
    for round in 1..=options.length.pick(4, 1) {
        let without = pace.run(&neighbour, time).await;
        let traffic = Traffic::start(&spinner, SPINNING, &Bytes::new(), LONG);
        sleep(SETTLED).await;
        let with = pace.run(&neighbour, time).await;
        let spun = traffic.stop(LONG).await?;
        let what = format!("spin, round {round} (spinning calls: {})", Kinds::of(&spun));
        pair.add(&what, with, without);
    }
    report.add(
        pair.row("fault.spin.neighbour_p99"),
        Bar::RatioOrMore(1.5, 2.0),
    );
    Ok(())
}
