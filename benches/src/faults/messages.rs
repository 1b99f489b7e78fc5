//! Messages of a stream, while hosts of the provider and of the actor are killed in turn. Counts
//! those that the actor never got, and those that it got twice without a reason.
//!
//! A message that was being handled when a host was killed may come twice: at most `IN_FLIGHT` for
//! each kill.

use crate::faults::{
    mesh::Mesh,
    options::Options,
    record::Record,
    report::{Bar, Report, note},
};
use crate::{Failure, summary::Row};
use async_nats::jetstream;
use lattice_core::link::Link;
use lattice_providers::messaging::HANDLER;
use serde_json::json;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The component ids of provider and actor, and the stream.
const MESSAGES: &str = "messages";
const RECORDER: &str = "recorder";
const STREAM: &str = "WORK";
const SUBJECT: &str = "work";
/// Messages that are handled at once.
const IN_FLIGHT: usize = 64;
/// The time between two kills.
const BETWEEN: Duration = Duration::from_millis(1_500);
/// Publishes that wait for their acknowledgement at once.
const WINDOW: usize = 500;
/// Far longer than any run takes.
const PATIENCE: Duration = Duration::from_mins(5);
/// A message whose acknowledgement was lost comes again within this time: `ack-wait`, and a second.
const LATE: Duration = Duration::from_secs(3);
/// Interval between two looks at the stream.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let count = options.length.pick(100_000, 5_000);
    let mesh = Mesh::start().await?;
    let record = Record::create(&mesh.server.url)?;
    let config = json!({
        "subjects": SUBJECT, "stream": STREAM, "create-stream": true, "max-in-flight": IN_FLIGHT,
        "ack-wait": "2s", "backoff": "100ms", "max-deliver": 1_000,
    });
    let link = Link::new(MESSAGES, HANDLER, RECORDER)?.config(&config)?;
    mesh.lattice.links().put(link).await?;
    let kinds = ["messages=messages", "recorder=recorder"].repeat(2);
    let mut hosts = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        hosts.push(mesh.host(&format!("m{number}"), &[kind]).await?);
    }
    mesh.served(MESSAGES, 2).await?;
    mesh.served(RECORDER, 2).await?;
    let sending = tokio::spawn(send(mesh.server.url.clone(), count));

    let (begun, mut kills) = (Instant::now(), 0);
    loop {
        sleep(BETWEEN).await;
        let lines = record.lines()?;
        let distinct = lines.iter().collect::<HashSet<_>>().len();
        if distinct >= count || begun.elapsed() > PATIENCE {
            break;
        }
        // The last messages come in peace, so that all kills are over in the end.
        if distinct < count - count / 10 {
            let next = kills % hosts.len();
            hosts[next].kill().await?;
            let id = format!("m{}", hosts.len() + kills);
            hosts[next] = mesh.host(&id, &[kinds[next]]).await?;
            kills += 1;
        }
    }
    sending.await??;
    let took = begun.elapsed();
    sleep(LATE).await;
    let lines = record.lines()?;
    let distinct = lines.iter().collect::<HashSet<_>>().len();
    let (lost, twice) = (count - distinct.min(count), lines.len() - distinct);
    let explained = kills * IN_FLIGHT;
    note(&format!(
        "messaging.jetstream: {count} messages in {:.1} s, {kills} kills, {lost} lost, {twice} twice",
        took.as_secs_f64()
    ));
    let lost = Row::new("messaging.jetstream.lost", lost as f64, None, "messages");
    report.add(lost, Bar::AtMost(0.0));
    let twice = twice.saturating_sub(explained) as f64;
    let twice = Row::new("messaging.jetstream.twice", twice, None, "messages");
    report.add(twice, Bar::AtMost(0.0));
    Ok(())
}

/// Publishes numbered messages, and waits until the stream has stored each of them.
async fn send(url: String, count: usize) -> Result<(), Failure> {
    let streams = jetstream::new(async_nats::connect(url).await?);
    let deadline = Instant::now() + PATIENCE;
    // The provider creates the stream.
    while streams.get_stream(STREAM).await.is_err() {
        if Instant::now() > deadline {
            return Err("the provider has not created the stream".into());
        }
        sleep(LOOK).await;
    }
    let mut waiting = Vec::with_capacity(WINDOW);
    for number in 0..count {
        waiting.push(streams.publish(SUBJECT, number.to_string().into()).await?);
        if waiting.len() == WINDOW {
            for stored in waiting.drain(..) {
                stored.await?;
            }
        }
    }
    for stored in waiting {
        stored.await?;
    }
    Ok(())
}
