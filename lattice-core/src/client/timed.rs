//! Calls as metrics see them: with all their attempts, and how long they took.

use super::{Client, OutgoingCall};
use crate::{measure::CallTimer, server::running::Outcome};
use std::sync::Arc;

impl Client {
    /// Makes one call, and returns its result or a typed error by its deadline. While somebody
    /// reads the metrics of this connection, the call is timed.
    pub(crate) async fn call(self: &Arc<Self>, call: &mut OutgoingCall<'_>) -> Outcome {
        if self.connection.counts.calls.is_on() {
            // Boxed, so that a call which isn't timed carries no state of one that is.
            return Box::pin(self.call_timed(call)).await;
        }
        self.make(call).await
    }

    async fn call_timed(self: &Arc<Self>, call: &mut OutgoingCall<'_>) -> Outcome {
        let timer = CallTimer::begin(&self.connection.counts.calls, call.function);
        let result = self.make(call).await;
        timer.end(&result);
        result
    }
}
