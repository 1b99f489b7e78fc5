//! The names of methods and errors in spans and metrics. There are few of each.

use lattice_core::trace::CANCELLED;
use std::fmt;
use tokio::time::Instant;

/// The methods that are named. Clients can invent others.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
/// The name of all other methods, as the conventions of OpenTelemetry say.
pub(super) const OTHER: &str = "_OTHER";

/// What a request has as its error that was given up at the deadline of its call.
const TIMEOUT: &str = "timeout";

/// Returns what a request that is given up now has as its error.
pub(super) fn given_up(deadline: Instant) -> &'static str {
    if Instant::now() < deadline {
        CANCELLED
    } else {
        TIMEOUT
    }
}

/// Returns the name of a method.
pub(super) fn method(given: &str) -> &'static str {
    let known = METHODS.iter().find(|known| **known == given);
    known.copied().unwrap_or(OTHER)
}

/// Returns the name of an error's variant, without what it has in it, which is different each time.
pub(super) fn variant(error: &dyn fmt::Debug) -> String {
    let mut text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    text.truncate(end.unwrap_or(text.len()));
    text
}
