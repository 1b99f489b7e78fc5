//! One round of one side.

use crate::{Failure, cpu::Processes};
use bytes::Bytes;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Target duration of one loop inside an actor: long enough to hide the cost of starting it, short
/// enough for a round to have many loops.
const LOOP: Duration = Duration::from_micros(500);

/// A side that can be called from many tasks.
pub trait Calls: Send + Sync + 'static {
    /// Sends the body, and returns the length of the reply. `task` is the number of the calling
    /// task.
    fn call(
        &self,
        task: usize,
        body: &Bytes,
    ) -> impl Future<Output = Result<usize, Failure>> + Send;
}

/// An actor that makes calls in a loop.
pub trait Loops: Send + Sync {
    /// Makes `calls` calls with `size` bytes one after the other, and returns the total length of
    /// the replies.
    fn run(&self, calls: u32, size: u32) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// The measurements of one round.
#[derive(Debug, Clone)]
pub struct Round {
    /// How many calls were made.
    pub calls: u64,
    /// How long they took.
    pub wall: Duration,
    /// CPU time of all processes.
    pub cpu: Duration,
    /// Per call, sorted.
    latencies: Vec<Duration>,
}

impl Round {
    /// Returns the calls per second.
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.wall.as_secs_f64()
    }

    /// Returns the latency that this share of the calls did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies
            .get((last as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    }
}

/// Measures calls from as many tasks as there are calls in flight.
///
/// # Errors
/// Fails when a call fails.
pub async fn calls<C: Calls>(
    side: &Arc<C>,
    in_flight: usize,
    size: usize,
    time: Duration,
    processes: &Processes,
) -> Result<Round, Failure> {
    let body = Bytes::from(vec![7; size]);
    let cpu = processes.used()?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..in_flight {
        tasks.spawn(call_until(side.clone(), task, body.clone(), started + time));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies.append(&mut ended??);
    }
    let wall = started.elapsed();
    let cpu = processes.used()?.saturating_sub(cpu);
    latencies.sort_unstable();
    Ok(Round {
        calls: latencies.len() as u64,
        wall,
        cpu,
        latencies,
    })
}

async fn call_until<C: Calls>(
    side: Arc<C>,
    task: usize,
    body: Bytes,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::with_capacity(4_096);
    loop {
        let before = Instant::now();
        if before >= end {
            return Ok(latencies);
        }
        let length = side.call(task, &body).await?;
        latencies.push(before.elapsed());
        expect(length as u64, body.len() as u64)?;
    }
}

/// Measures loops inside an actor, one after the other.
///
/// # Errors
/// Fails when a call fails.
pub async fn loops<L: Loops>(
    side: &L,
    size: usize,
    time: Duration,
    processes: &Processes,
) -> Result<Round, Failure> {
    let size = u32::try_from(size)?;
    let per_loop = calls_per_loop(side, size).await?;
    let cpu = processes.used()?;
    let started = Instant::now();
    let mut latencies = Vec::with_capacity(4_096);
    while started.elapsed() < time {
        let before = Instant::now();
        let sum = side.run(per_loop, size).await?;
        latencies.push(before.elapsed() / per_loop);
        expect(sum, u64::from(per_loop) * u64::from(size))?;
    }
    let wall = started.elapsed();
    let cpu = processes.used()?.saturating_sub(cpu);
    let calls = latencies.len() as u64 * u64::from(per_loop);
    latencies.sort_unstable();
    Ok(Round {
        calls,
        wall,
        cpu,
        latencies,
    })
}

/// Returns how many calls make a loop of [`LOOP`], estimated from the fastest of a few attempts.
async fn calls_per_loop<L: Loops>(side: &L, size: u32) -> Result<u32, Failure> {
    const TRY: u32 = 16;
    let mut fastest = Duration::MAX;
    for _ in 0..8 {
        let before = Instant::now();
        side.run(TRY, size).await?;
        fastest = fastest.min(before.elapsed());
    }
    let fit = LOOP.as_nanos() * u128::from(TRY) / fastest.as_nanos().max(1);
    Ok(u32::try_from(fit)?.clamp(TRY, 10_000))
}

fn expect(found: u64, expected: u64) -> Result<(), Failure> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found} bytes came back of {expected}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_computed_from_the_sorted_calls() {
        let latencies = (1..=100).map(Duration::from_micros).collect();
        let round = Round {
            calls: 100,
            wall: Duration::from_secs(2),
            cpu: Duration::ZERO,
            latencies,
        };
        assert_eq!(round.quantile(0.5), Duration::from_micros(50));
        assert_eq!(round.quantile(0.99), Duration::from_micros(99));
        assert!((round.rate() - 50.0).abs() < 1e-9);
    }

    struct Short;

    impl Calls for Short {
        async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
            Ok(body.len() - 1)
        }
    }

    #[tokio::test]
    async fn a_truncated_reply_ends_the_run() {
        let time = Duration::from_secs(60);
        let failure = calls(&Arc::new(Short), 2, 16, time, &Processes::own())
            .await
            .expect_err("15 bytes instead of 16");
        assert_eq!(failure.to_string(), "15 bytes came back of 16");
    }
}
