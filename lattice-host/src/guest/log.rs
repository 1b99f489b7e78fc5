//! The log of an actor.

use super::log_limit::{LogLimit, Verdict};
use lattice_core::{
    name::{ComponentId, HostId},
    sync::Mutex,
    telemetry::LogSink,
    wire::LogLevel,
};
use std::time::Instant;
use tracing::Level;

/// Longest line or message, in bytes. Longer messages are cut off, and longer lines continue on the
/// next line.
pub(crate) const MAX_LINE: usize = 8 << 10;

/// The log of one actor on one host. Its lines go to readers of the lattice's logs, and to
/// `tracing`, as events with the target `lattice::actor` and the fields `component`, `host` and
/// `stream` (`stdout`, `stderr` or `log`).
#[derive(Debug)]
pub(crate) struct ActorLog {
    component: ComponentId,
    host: HostId,
    sink: LogSink,
    limit: Mutex<LogLimit>,
}

/// Emits an event with a level that is known only at run time.
macro_rules! emit {
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

impl ActorLog {
    pub(crate) fn new(component: ComponentId, host: HostId, sink: LogSink) -> Self {
        Self {
            component,
            host,
            sink,
            limit: Mutex::new(LogLimit::new(Instant::now())),
        }
    }

    /// Writes one line of output.
    pub(crate) fn line(&self, level: Level, stream: &'static str, line: &str) {
        if self.admits() {
            emit!(level, component = %self.component, host = %self.host, stream, "{line}");
            self.sink.say(&self.component, level_of(level), line);
        }
    }

    /// Writes one message of `wasi:logging`.
    pub(crate) fn message(&self, level: Level, context: &str, message: &str) {
        if self.admits() {
            let (context, message) = (cut(context), cut(message));
            emit!(level, component = %self.component, host = %self.host, stream = "log", context, "{message}");
            let text = match context {
                "" => message,
                context => &format!("{context}: {message}"),
            };
            self.sink.say(&self.component, level_of(level), text);
        }
    }

    /// Returns whether one more line may be written now.
    fn admits(&self) -> bool {
        let verdict = self.limit.lock().admit(Instant::now());
        if let Verdict::PassAfter(dropped) = verdict {
            tracing::warn!(
                target: "lattice::actor",
                component = %self.component,
                host = %self.host,
                dropped,
                "messages were dropped: the actor logs more than its limit"
            );
            let text =
                format!("{dropped} messages were dropped: the actor logs more than its limit");
            self.sink.say(&self.component, LogLevel::Warn, &text);
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

/// Returns the start of a text, up to the longest that is written.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LINE)]
}
