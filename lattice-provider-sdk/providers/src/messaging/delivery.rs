//! Passing messages to handlers.

use super::{
    bindings::wasmcloud::messaging::{handler::HandlerClient, types::BrokerMessage},
    spans::{self, Arrival},
};
use crate::{outgoing::OutgoingLink, period::Period};
use futures_util::FutureExt as _;
use lattice_core::call::{Context, Ran};
use lattice_provider_sdk::WorkSpan;
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::time::sleep;

/// The pauses between attempts while no host can take a message.
const AWAY: (Period, Duration) = (
    Period::new(Duration::from_millis(50)),
    Duration::from_secs(2),
);
/// The longest pause before a message is delivered again.
const LONGEST: Duration = Duration::from_secs(60);

/// The values of `error.type` for a handler that returns an error, whose text is its own, and for a
/// panic of the provider.
const HANDLER: &str = "_OTHER";
const PANICKED: &str = "panic";

/// How a delivery ended.
#[derive(Debug)]
pub(super) enum Delivered {
    Handled,
    /// The handler failed, or may have: this counts as one delivery.
    Failed(String),
    /// No host could take the message before the link's task had to end. The handler did not run.
    NotTaken,
}

/// Passes a message to the handler at the end of `link`. Waits while no host can take it, which
/// doesn't count as a delivery: an actor that is being started or moved loses nothing by it.
pub(super) async fn deliver(
    link: &OutgoingLink,
    message: &BrokerMessage,
    arrival: &Arrival<'_>,
    within: Period,
) -> Delivered {
    let span = spans::processing(message, arrival, within.length());
    let delivery = ended(attempts(link, message, within, &span), &span);
    span.run(delivery).await
}

/// Returns how a delivery ends. A panic counts as a failure: else the message would be held,
/// neither acknowledged nor given back.
async fn ended(delivery: impl Future<Output = Delivered>, span: &WorkSpan) -> Delivered {
    let ended = AssertUnwindSafe(delivery).catch_unwind().await;
    ended.unwrap_or_else(|_| {
        span.failed(PANICKED);
        Delivered::Failed("the provider panicked".to_owned())
    })
}

async fn attempts(
    link: &OutgoingLink,
    message: &BrokerMessage,
    within: Period,
    span: &WorkSpan,
) -> Delivered {
    let handler = HandlerClient::new(link.caller.clone());
    let mut waits = 0;
    loop {
        let mut context = Context::new(within.length());
        context.trace = span.context().trace;
        let error = match handler.handle_message(message).with_context(context).await {
            Ok(Ok(())) => {
                link.problem.clear();
                return Delivered::Handled;
            }
            Ok(Err(reason)) => {
                link.problem.clear();
                span.failed(HANDLER);
                return Delivered::Failed(format!("the handler returned an error: {reason}"));
            }
            Err(error) => error,
        };
        if error.ran() != Ran::No {
            span.failed(error.kind());
            return Delivered::Failed(error.to_string());
        }
        link.problem.set(error.to_string());
        if !error.is_retryable() {
            span.failed(error.kind());
            return Delivered::Failed(error.to_string());
        }
        waits += 1;
        let (first, longest) = AWAY;
        tokio::select! {
            () = link.ending.cancelled() => {
                span.failed(error.kind());
                return Delivered::NotTaken;
            }
            () = sleep(pause(first, waits).min(longest)) => span.retried(waits, error.kind()),
        }
    }
}

/// Returns the pause after this many deliveries of a message have failed: `first`, doubled each
/// time, and a minute at most.
pub(super) fn pause(first: Period, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = first.length().saturating_mul(1 << doublings);
    pause.min(LONGEST.max(first.length()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_delivery() {
        let span = WorkSpan::start(Context::default(), tracing::Span::none);
        let panics = ended(async { panic!("a test") }, &span).await;
        assert!(matches!(panics, Delivered::Failed(reason) if reason.contains("panicked")));
        let handled = ended(async { Delivered::Handled }, &span).await;
        assert!(matches!(handled, Delivered::Handled));
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses = [1, 2, 3, 7, 60].map(|failures| pause(Period::seconds(1), failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 60, 60]);
        assert_eq!(pause(Period::seconds(90), 3).as_secs(), 90);
    }
}
