//! What an actor says, as events of `tracing`.

use super::flood::{Flood, Verdict};
use lattice_core::{
    name::{ComponentId, HostId},
    telemetry::LogSink,
    wire::LogLevel,
};
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};
use tracing::Level;

/// Longest line or message, in bytes; more is cut off, or goes to the next line.
pub(super) const MAX_LINE: usize = 8 << 10;

/// Speaks for one actor on one host, to whoever reads the lattice's logs and as events with the target `lattice::actor` and the fields `component`, `host` and
/// `stream` (`stdout`, `stderr` or `log`).
#[derive(Debug)]
pub(crate) struct Voice {
    component: ComponentId,
    host: HostId,
    sink: LogSink,
    flood: Mutex<Flood>,
}

/// Writes an event whose level is known at run time only.
macro_rules! say {
    ($level:expr, $($event:tt)*) => {
        match $level {
            Level::TRACE => tracing::trace!(target: "lattice::actor", $($event)*),
            Level::DEBUG => tracing::debug!(target: "lattice::actor", $($event)*),
            Level::INFO => tracing::info!(target: "lattice::actor", $($event)*),
            Level::WARN => tracing::warn!(target: "lattice::actor", $($event)*),
            Level::ERROR => tracing::error!(target: "lattice::actor", $($event)*),
        }
    };
}

impl Voice {
    pub(crate) fn new(component: ComponentId, host: HostId, sink: LogSink) -> Self {
        Self {
            component,
            host,
            sink,
            flood: Mutex::new(Flood::new(Instant::now())),
        }
    }

    /// One line of output.
    pub(super) fn line(&self, level: Level, stream: &'static str, line: &str) {
        if self.may_speak() {
            say!(level, component = %self.component, host = %self.host, stream, "{line}");
            self.sink.say(&self.component, level_of(level), line);
        }
    }

    /// One message of `wasi:logging`.
    pub(super) fn log(&self, level: Level, context: &str, message: &str) {
        if self.may_speak() {
            let (context, message) = (cut(context), cut(message));
            say!(level, component = %self.component, host = %self.host, stream = "log", context, "{message}");
            let said = match context {
                "" => message,
                context => &format!("{context}: {message}"),
            };
            self.sink.say(&self.component, level_of(level), said);
        }
    }

    fn may_speak(&self) -> bool {
        let verdict = self
            .flood
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .message(Instant::now());
        if let Verdict::PassAfter(dropped) = verdict {
            tracing::warn!(
                target: "lattice::actor",
                component = %self.component,
                host = %self.host,
                dropped,
                "messages were dropped: the actor says more than the log takes"
            );
            let said =
                format!("{dropped} messages were dropped: the actor says more than the log takes");
            self.sink.say(&self.component, LogLevel::Warn, &said);
        }
        verdict != Verdict::Drop
    }
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::TRACE => LogLevel::Trace,
        Level::DEBUG => LogLevel::Debug,
        Level::INFO => LogLevel::Info,
        Level::WARN => LogLevel::Warn,
        Level::ERROR => LogLevel::Error,
    }
}

/// The start of a text, up to the longest that is passed on.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LINE)]
}
