//! A large body to an actor on another host, and back.

use super::processes::{FAR, Scene};
use crate::{
    Failure, bars::Bar, bulk::MESSAGE, http::Connection, process, program::START,
    responder::SUBJECT, summary::Row,
};
use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use lattice_benches_common::{figures::median, report::Report};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

pub(super) const RATE: &str = "http.body.rate";
pub(super) const GROWTH: &str = "http.body.growth_MiB";

/// Bytes of one body.
const BODY: u64 = 1 << 30;
/// Bytes of one body in a quick run, and of the warm-up.
const SHORT: u64 = 32 << 20;
/// Rounds with less time than this are those of a quick run.
const QUICK: Duration = Duration::from_millis(100);
/// Messages of the baseline on their way: 8 MiB, as in [`bulk`](crate::bulk).
const AHEAD: u64 = 128;
/// Interval between two measurements of memory. The largest one counts.
const LOOK: Duration = Duration::from_millis(20);
/// Far longer than a body takes.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn compare(report: &mut Report, scene: &Scene) -> Result<(), Failure> {
    let bytes = if report.time() < QUICK { SHORT } else { BODY };
    let mut connection = Connection::open(scene.ingress()?).await?;
    echo(&mut connection, SHORT).await?;
    mirrored(&scene.bare, SHORT).await?;
    let (mut ours, mut baseline, mut grown) = (Vec::new(), Vec::new(), 0);
    for _ in 0..report.rounds() {
        let before = resident(scene)?;
        let (rate, most) = tokio::select! {
            rate = echo(&mut connection, bytes) => (rate?, resident(scene)?),
            failure = watch(scene, before, &mut grown) => return Err(failure),
        };
        ours.push(rate);
        grown = grown.max(growth(before, most));
        baseline.push(mirrored(&scene.bare, bytes).await?);
    }
    let mib = f64::from(1 << 20);
    let [ours, baseline] = [ours, baseline].map(|rates| median(rates.into_iter()) / mib);
    if report.wants(RATE) {
        report.add_row(
            Row::new(RATE, ours, Some(baseline), "MiB/s"),
            Bar::RatioAtLeast(0.5),
        );
    }
    if report.wants(GROWTH) {
        report.add_row(
            Row::new(GROWTH, grown as f64 / mib, None, "MiB"),
            Bar::AtMost(32.0),
        );
    }
    Ok(())
}

/// Returns the bytes per second of a body that comes back.
async fn echo(connection: &mut Connection, bytes: u64) -> Result<f64, Failure> {
    let started = Instant::now();
    let back = timeout(PATIENCE, connection.echo(FAR, bytes)).await??;
    if back == bytes {
        Ok(bytes as f64 / started.elapsed().as_secs_f64())
    } else {
        Err(format!("{back} bytes of {bytes} came back").into())
    }
}

/// Returns the bytes per second of messages that a bare responder sends back.
async fn mirrored(client: &async_nats::Client, bytes: u64) -> Result<f64, Failure> {
    let payload = Bytes::from(vec![7; MESSAGE]);
    let inbox = client.new_inbox();
    let mut back = client.subscribe(inbox.clone()).await?;
    client.flush().await?;
    let (started, messages) = (Instant::now(), bytes / MESSAGE as u64);
    let mut received = 0;
    for sent in 0..messages {
        if sent >= received + AHEAD {
            next(&mut back).await?;
            received += 1;
        }
        let (inbox, payload) = (inbox.clone(), payload.clone());
        client.publish_with_reply(SUBJECT, inbox, payload).await?;
    }
    for _ in received..messages {
        next(&mut back).await?;
    }
    Ok(bytes as f64 / started.elapsed().as_secs_f64())
}

async fn next(messages: &mut Subscriber) -> Result<(), Failure> {
    let message = timeout(START, messages.next()).await?;
    match message
        .ok_or("the connection to the nats-server is closed")?
        .payload
        .len()
    {
        MESSAGE => Ok(()),
        other => Err(format!("{other} bytes came back of {MESSAGE}").into()),
    }
}

/// The memory of the ingress' process, of the actor's, and of the server.
type Resident = [u64; 3];

fn resident(scene: &Scene) -> Result<Resident, Failure> {
    Ok([
        process::resident(scene.near.program.id()?)?,
        process::resident(scene.far.program.id()?)?,
        process::resident(scene.server.program.id()?)?,
    ])
}

/// Returns how much the process has grown that has grown most.
fn growth(before: Resident, now: Resident) -> u64 {
    let each = before
        .iter()
        .zip(now)
        .map(|(before, now)| now.saturating_sub(*before));
    each.max().unwrap_or_default()
}

/// Keeps the largest growth in `most`. Returns only when memory can't be read.
async fn watch(scene: &Scene, before: Resident, most: &mut u64) -> Failure {
    loop {
        match resident(scene) {
            Ok(now) => *most = growth(before, now).max(*most),
            Err(failure) => return failure,
        }
        sleep(LOOK).await;
    }
}
