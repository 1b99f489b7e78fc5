//! The log lines of components on this node: kept for a while, and sent while there are readers.
//!
//! ```text
//!   log ──► the last lines, numbered ──┬── first request of a reader ──► those, to this reader alone
//!                                      └── leases of readers ──────────► new lines, to all members
//! ```
//! Nothing leaves the host while there is no reader. Lines that come faster than they are sent are
//! dropped, the oldest first, and counted.

use super::Telemetry;
use crate::{
    bus::{Message, Subscription},
    name::ComponentId,
    sync::Mutex,
    wire::{Body as _, Frame, Kind, LogLevel, LogLine, Logs, LogsWanted, Origin},
};
use futures_util::StreamExt as _;
use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

/// How many lines are kept: enough for those before a failure, and those between two batches.
const KEPT: usize = 1_000;
/// How many bytes of text are kept at most.
const KEPT_BYTES: usize = 512 * 1_024;
/// Bytes of texts in one frame.
const BATCH_BYTES: usize = 32 * 1_024;
/// Lines that come within this time are sent together.
const GATHER: Duration = Duration::from_millis(50);
/// Requests that may wait.
const WAITING: usize = 64;
/// Most readers at a time. Others have to wait until one has left.
const READERS: usize = 32;
/// Longest lease.
const LONGEST: Duration = Duration::from_mins(1);
/// The pause after a failed subscription.
const RETRY: Duration = Duration::from_secs(1);

/// Takes the log lines of one node's components. Cheap to clone; it does not keep the node alive.
#[derive(Debug, Clone, Default)]
pub struct LogSink(Arc<SharedLines>);

#[derive(Debug, Default)]
struct SharedLines {
    lines: Mutex<Lines>,
    /// There are lines to send.
    added: Notify,
}

/// Pure: the caller passes the time in.
#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    bytes: usize,
    /// Lines logged so far.
    logged: u64,
    /// Lines sent so far, or logged while there was no reader.
    sent: u64,
    dropped: u64,
    readers: Vec<Reader>,
}

#[derive(Debug)]
struct Reader {
    who: Origin,
    component: Option<ComponentId>,
    until: Instant,
}

impl LogSink {
    /// Logs a line. It is sent to current readers, and kept for a while for later ones.
    pub fn say(&self, component: &ComponentId, level: LogLevel, text: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let said_ms = now.map_or(0, |since| since.as_millis() as u64);
        if self.lock().say(component, level, text, said_ms) {
            self.0.added.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock()
    }
}

impl Lines {
    /// Adds a line. Returns whether there are readers.
    fn say(&mut self, component: &ComponentId, level: LogLevel, text: &str, said_ms: u64) -> bool {
        self.logged += 1;
        let line = LogLine::new(self.logged, said_ms, component.clone(), level, text);
        self.bytes += line.text.len();
        self.kept.push_back(line);
        while self.kept.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(gone) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= gone.text.len();
            if gone.number > self.sent && self.is_wanted(&gone.component) {
                self.dropped += 1;
            }
        }
        !self.readers.is_empty()
    }

    /// Takes the request of a reader. Returns the earlier lines for it if it is new, and `None` if
    /// it is known, or if there are too many. New lines for others have to be sent before.
    fn request(&mut self, who: &Origin, wanted: LogsWanted, now: Instant) -> Option<Vec<LogLine>> {
        self.forget(now);
        let lease = Duration::from_millis(wanted.lease_ms.into()).min(LONGEST);
        let known = self.readers.iter_mut().find(|reader| reader.who == *who);
        if let Some(reader) = known {
            reader.component = wanted.component;
            reader.until = now + lease;
            return None;
        }
        if self.readers.len() == READERS {
            return None;
        }
        let recent = self.kept.iter().rev();
        let recent = recent.filter(|line| {
            let of = wanted.component.as_ref();
            of.is_none_or(|component| *component == line.component)
        });
        let mut recent: Vec<LogLine> = recent.take(wanted.recent as usize).cloned().collect();
        recent.reverse();
        if self.readers.is_empty() {
            self.sent = self.logged;
        }
        self.readers.push(Reader {
            who: who.clone(),
            component: wanted.component,
            until: now + lease,
        });
        Some(recent)
    }

    /// Returns the lines to send to all members now.
    fn take(&mut self, now: Instant) -> Vec<LogLine> {
        self.forget(now);
        let sent = std::mem::replace(&mut self.sent, self.logged);
        if self.readers.is_empty() {
            return Vec::new();
        }
        let new = self.kept.iter().filter(|line| line.number > sent);
        new.filter(|line| self.is_wanted(&line.component))
            .cloned()
            .collect()
    }

    fn forget(&mut self, now: Instant) {
        self.readers.retain(|reader| reader.until > now);
    }

    fn is_wanted(&self, component: &ComponentId) -> bool {
        let mut readers = self.readers.iter();
        readers.any(|reader| reader.component.as_ref().is_none_or(|of| of == component))
    }
}

/// Sends lines while there are readers.
pub(crate) async fn run(telemetry: Arc<Telemetry>) {
    let mut requests = None;
    loop {
        if requests.is_none() {
            requests = telemetry.subscribe_to_readers().await;
        }
        let again = Instant::now() + RETRY;
        tokio::select! {
            () = telemetry.logs.0.added.notified() => {
                sleep(GATHER).await;
                telemetry.send_new_lines().await;
            }
            request = next(&mut requests) => match request {
                Some(message) => if let Some(frame) = telemetry.endpoint().open(message) {
                    telemetry.take_request(&frame).await;
                },
                None => requests = None,
            },
            () = sleep_until(again), if requests.is_none() => {}
        }
    }
}

async fn next(requests: &mut Option<Subscription>) -> Option<Message> {
    match requests {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}

impl Telemetry {
    async fn subscribe_to_readers(&self) -> Option<Subscription> {
        let subject = self.endpoint().subjects().logs_wanted();
        match self.endpoint().subscribe(subject, WAITING).await {
            Ok(requests) => Some(requests),
            Err(error) => {
                tracing::debug!(%error, "could not subscribe to requests for logs; trying again");
                None
            }
        }
    }

    async fn take_request(&self, frame: &Frame) {
        for envelope in frame.envelopes() {
            let wanted = match LogsWanted::decode(envelope) {
                Ok(wanted) if frame.kind() == Kind::LogsWanted => wanted,
                _ => {
                    let what = "a frame among the requests for logs that isn't one";
                    return self.endpoint().refuse(what);
                }
            };
            self.send_new_lines().await;
            let recent = self
                .logs
                .lock()
                .request(frame.sender(), wanted, Instant::now());
            if let Some(recent) = recent {
                // Also when there is none: the reader learns that new lines will follow.
                self.send_lines(Some(frame.sender()), recent).await;
            }
        }
    }

    async fn send_new_lines(&self) {
        let lines = self.logs.lock().take(Instant::now());
        if !lines.is_empty() {
            self.send_lines(None, lines).await;
        }
    }

    async fn send_lines(&self, to: Option<&Origin>, lines: Vec<LogLine>) {
        for lines in batches(lines) {
            let dropped = self.logs.lock().dropped;
            let body = Logs { dropped, lines };
            let subject = self.endpoint().subjects().logs();
            let sent = self.endpoint().send(subject, None, to, &body);
            if let Err(error) = sent.await {
                tracing::debug!(%error, "log lines were not sent");
                return;
            }
        }
    }
}

/// Returns at least one batch, so that a reader gets a response even if there are no lines.
fn batches(lines: Vec<LogLine>) -> Vec<Vec<LogLine>> {
    let (mut batches, mut bytes) = (vec![Vec::new()], 0);
    for line in lines {
        let last = batches.last_mut();
        let is_full = |batch: &&mut Vec<LogLine>| {
            batch.len() == Logs::MAX_LINES || bytes + line.text.len() > BATCH_BYTES
        };
        if let Some(batch) = last.filter(|batch| !is_full(batch)) {
            bytes += line.text.len();
            batch.push(line);
        } else {
            bytes = line.text.len();
            batches.push(vec![line]);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).expect("an id")
    }

    fn who(epoch: u64) -> Origin {
        Origin::new(HostId::new("reader").expect("an id"), epoch)
    }

    fn wanted(component: Option<&str>, recent: u32) -> LogsWanted {
        LogsWanted {
            component: component.map(id),
            lease_ms: 1_000,
            recent,
        }
    }

    fn numbers(lines: &[LogLine]) -> Vec<u64> {
        lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn without_a_reader_nothing_is_sent_and_the_last_lines_are_kept() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        for at in 0..KEPT + 10 {
            assert!(!lines.say(&id("a"), LogLevel::Info, &at.to_string(), 0));
        }
        assert!(lines.take(now).is_empty());
        assert_eq!((lines.kept.len(), lines.dropped), (KEPT, 0));
        let recent = lines
            .request(&who(1), wanted(None, 2), now)
            .expect("an answer");
        assert_eq!(numbers(&recent), [1_009, 1_010]);
        assert!(lines.say(&id("a"), LogLevel::Info, "new", 0));
        assert_eq!(numbers(&lines.take(now)), [1_011]);
        assert!(lines.take(now).is_empty(), "each once");
        assert_eq!(
            lines.request(&who(1), wanted(None, 2), now),
            None,
            "only once"
        );
    }

    #[test]
    fn only_requested_lines_are_sent_until_the_request_expires() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        lines.say(&id("a"), LogLevel::Info, "1", 0);
        lines.say(&id("b"), LogLevel::Info, "2", 0);
        let recent = lines
            .request(&who(1), wanted(Some("b"), 9), now)
            .expect("an answer");
        assert_eq!(numbers(&recent), [2]);
        lines.say(&id("a"), LogLevel::Info, "3", 0);
        lines.say(&id("b"), LogLevel::Info, "4", 0);
        assert_eq!(numbers(&lines.take(now)), [4]);
        lines.request(&who(2), wanted(None, 0), now);
        lines.say(&id("a"), LogLevel::Info, "5", 0);
        assert_eq!(numbers(&lines.take(now)), [5]);
        lines.say(&id("a"), LogLevel::Info, "6", 0);
        assert!(lines.take(now + Duration::from_secs(1)).is_empty());
        assert!(lines.readers.is_empty());
    }

    #[test]
    fn lines_over_the_rate_are_counted_and_memory_is_bounded() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        lines.request(&who(1), wanted(Some("a"), 0), now);
        let long = "é".repeat(10_000);
        for _ in 0..KEPT + 10 {
            lines.say(&id("a"), LogLevel::Info, &long, 0);
            lines.say(&id("b"), LogLevel::Info, "not wanted", 0);
        }
        assert!(lines.bytes <= KEPT_BYTES);
        let sent = lines.take(now);
        assert!(sent.iter().all(|line| line.component == id("a")));
        assert_eq!(lines.dropped as usize + sent.len(), KEPT + 10);
        for epoch in 2..100 {
            lines.request(&who(epoch), wanted(None, 0), now);
        }
        assert_eq!(lines.readers.len(), READERS);
    }

    #[test]
    fn batches_hold_all_lines_in_order_and_fit_a_message() {
        let line = |number, text: &str| LogLine::new(number, 0, id("a"), LogLevel::Info, text);
        assert_eq!(batches(Vec::new()), [Vec::new()]);
        let long = "x".repeat(10_000);
        let lines: Vec<LogLine> = (1..=50).map(|at| line(at, &long)).collect();
        let short = (51..=1_000).map(|at| line(at, ""));
        let all: Vec<LogLine> = lines.into_iter().chain(short).collect();
        let batches = batches(all.clone());
        assert_eq!(batches.concat(), all);
        for batch in &batches {
            let bytes: usize = batch.iter().map(|line| line.text.len()).sum();
            assert!(bytes <= BATCH_BYTES && batch.len() <= Logs::MAX_LINES);
        }
    }
}
