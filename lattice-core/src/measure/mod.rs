//! What the layers above count and time: histograms, series of them, and the durations of calls.
//!
//! Nothing here knows how values are named or sent. [`telemetry::metrics`](crate::telemetry) reads
//! them as one reading.

mod calls;
mod histogram;
mod series;

pub use calls::{CallKey, CallSeries};
pub(crate) use calls::{CallTimer, CallTimes, Methods};
pub use histogram::{Distribution, Histogram, SECONDS};
pub use series::{DurationSeries, MOST_SERIES, Recorded};
