//! One of two hosts with the actor is killed while clients of a third one's ingress load.

use super::{ACTOR, CONNECTIONS, DEADLINE, HELLO, INGRESS, address, answered, open};
use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    traffic::{Kinds, Traffic},
};
use crate::{Failure, http::Pool, summary::Row};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long requests are made before and after the kill.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(2);

pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    let mut ingress = mesh.host("ingress", &[INGRESS]).await?;
    let address = address(&mut ingress).await?;
    let _alive = mesh.host("alive", &[ACTOR]).await?;
    open(&mesh).await?;
    let mut failed = 0;
    for round in 1..=options.length.pick(5, 1) {
        let mut mortal = mesh.host("mortal", &[ACTOR]).await?;
        mesh.served(HELLO, 2).await?;
        answered(address).await?;
        let pool = Arc::new(Pool::new(vec![address], HELLO));
        let traffic = Traffic::start(&[pool], CONNECTIONS, &Bytes::new(), DEADLINE);
        let begun = Instant::now();
        sleep(BEFORE).await;
        mortal.kill().await?;
        sleep(AFTER).await;
        let records = traffic.stop(AFTER).await?;
        failed += records
            .iter()
            .filter(|record| record.failed_after(begun))
            .count();
        note(&format!(
            "http.kill, round {round}: {}",
            Kinds::of(&records)
        ));
    }
    report.add(
        Row::new("http.kill.failed", failed as f64, None, "requests"),
        Bar::AtMost(0.0),
    );
    Ok(())
}
