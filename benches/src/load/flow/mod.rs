//! Values that flow: streams, resources, and arguments that don't fit one message.
//!
//! | row | ours | baseline |
//! | --- | --- | --- |
//! | `stream.local.GiBps` | a `stream<u8>` from one actor to another of the host, in writes of 64 KiB | none |
//! | `stream.local.record.ns` | a `stream<record>` of four fields between the same actors | the same records in one `list` argument |
//! | `resource.method.local` | a method of a resource that the calling actor keeps, 16 B | a plain call between warm actors, 16 B |
//! | `stream.nats.rate` | a `stream<u8>` from an actor to one in another process | messages of 64 KiB, published with bare async-nats |
//! | `stream.nats.beside_p99` | calls of 16 B to the other process next to such a stream | requests of 16 B next to such messages, on one connection |
//! | `call.large.rate` | one argument of 16 MiB after another to a provider in the other process | messages of 64 KiB, as above |
//!
//! Each side is measured in rounds, in turns with the other one, after a warm-up. Figures are
//! medians of the rounds.

mod local;
mod nats;

use crate::Failure;
use lattice_benches_common::{compare::WARM_UP, figures::median, report::Report};
use std::time::{Duration, Instant};

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    local::compare(report).await?;
    nats::compare(report).await
}

/// The rates of both sides, one for each round.
#[derive(Debug, Default)]
struct Rates {
    ours: Vec<f64>,
    baseline: Vec<f64>,
}

impl Rates {
    fn medians(self) -> (f64, f64) {
        (
            median(self.ours.into_iter()),
            median(self.baseline.into_iter()),
        )
    }
}

/// Repeats `once` for this time, after a warm-up. It returns how much it has moved. Returns how
/// much that is in a second.
async fn rate<F>(time: Duration, mut once: impl FnMut() -> F) -> Result<f64, Failure>
where
    F: Future<Output = Result<u64, Failure>>,
{
    let started = Instant::now();
    while started.elapsed() < time / WARM_UP {
        once().await?;
    }
    let (started, mut moved) = (Instant::now(), 0);
    while started.elapsed() < time {
        moved += once().await?;
    }
    Ok(moved as f64 / started.elapsed().as_secs_f64())
}

/// Returns `moved` if that is everything.
fn all(moved: u64, expected: u64) -> Result<u64, Failure> {
    if moved == expected {
        Ok(moved)
    } else {
        Err(format!("{moved} arrived of {expected}").into())
    }
}
