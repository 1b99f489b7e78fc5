//! The queue of a component is full of the largest messages. Measures the effect on calls to
//! another component on its host, and on the host's memory.
//!
//! The comparison makes the same large calls at the same rate, while the queue has room for them.
//! They are made on a connection of their own, as by another host.

use crate::faults::{
    fill::{ask, mib, until},
    host::CALLS,
    mesh::Mesh,
    options::Options,
    paced::Pace,
    report::{Bar, Report},
    slow::{Pair, to_neighbour},
    way::{Echo, Failed, Hold, Way},
};
use crate::{
    Failure,
    native::{ECHO, SILENCE},
    process,
    program::{Program, START},
    summary::Row,
};
use bytes::Bytes;
use lattice_host::ByteSize;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// Nearly the largest arguments that fit a message of nats-server's default size, 1 MiB.
const BODY: usize = 1_000 << 10;
/// What the arguments of one component's calls may take by default.
const ROOM: ByteSize = ByteSize::mib(128);
/// Calls that are made once three quarters of it are taken: many more than fit the rest, so that
/// the host would grow by twice that without the limit.
const REST: usize = 200;
/// Interval between two of the calls that fill the queue, so that the server isn't flooded.
const EVERY: Duration = Duration::from_millis(5);
/// Further large calls in each second, which the full queue refuses.
const MORE: u32 = 10;
/// Deadline of these calls.
const SOON: Duration = Duration::from_secs(1);
/// Deadline of the calls that fill the queue, past the end of a round.
const LONG: Duration = Duration::from_secs(20);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link("neighbour", ECHO, "neighbour", &[]).await?;
    mesh.link("silent", SILENCE, "silent", &[]).await?;
    let components = ["neighbour=echo-actor", "silent=silence"];
    let mut host = mesh.host("a", &components).await?;
    mesh.served("silent", 1).await?;
    let neighbour = Arc::new(Echo::new(&mesh.lattice, "neighbour")?);
    let others = mesh.connect().await?;
    let silent = Arc::new(Hold::new(&others, "silent")?);
    let body = Bytes::from(vec![7; BODY]);
    let (pace, more) = (
        to_neighbour(),
        Pace {
            per_second: MORE,
            body: body.clone(),
            deadline: SOON,
        },
    );
    let time = options
        .length
        .pick(Duration::from_secs(4), Duration::from_secs(2));
    let mut pair = Pair::default();
    let mut grown = 0_u64;
    for round in 1..=options.length.pick(4, 1) {
        let before = process::resident(host.id()?)?;
        let (without, _) = tokio::join!(pace.run(&neighbour, time), more.run(&silent, time));
        let calls = fill(&mut host, &silent, &body).await?;
        let (with, _) = tokio::join!(pace.run(&neighbour, time), more.run(&silent, time));
        let after = process::resident(host.id()?)?;
        grown = grown.max(after.saturating_sub(before));
        // Their callee is told that they were dropped.
        drop(calls);
        until(&mut host, CALLS, |used| used <= ROOM.as_u64() / 4).await?;
        pair.add(&format!("memory, full queue, round {round}"), with, without);
    }
    report.add(
        pair.row("fault.memory.queues_p99"),
        Bar::RatioOrMore(1.5, 2.0),
    );
    report.add(
        Row::new("fault.memory.queues_MiB", mib(grown), None, "MiB"),
        // What was received is counted apart from the calls that it became.
        Bar::AtMost(mib(2 * ROOM.as_u64())),
    );
    Ok(())
}

/// Fills the queue. The calls stay in it until they are dropped.
async fn fill(
    host: &mut Program,
    silent: &Arc<Hold>,
    body: &Bytes,
) -> Result<JoinSet<Result<(), Failed>>, Failure> {
    let mut calls = JoinSet::new();
    let mut add = async || {
        let (silent, body) = (silent.clone(), body.clone());
        calls.spawn(async move { silent.call(&body, LONG).await });
        sleep(EVERY).await;
    };
    let deadline = Instant::now() + START;
    while ask(host, CALLS).await? < ROOM.as_u64() / 4 * 3 {
        if Instant::now() > deadline {
            return Err("the queue does not fill".into());
        }
        add().await;
    }
    for _ in 0..REST {
        add().await;
    }
    Ok(calls)
}
