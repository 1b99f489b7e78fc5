//! The log lines of the components of a lattice, as a stream.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::StreamExt as _;
//! use lattice_core::{Lattice, logs::{LogEvent, LogLevel}, node::NodeOptions};
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let node = lattice.node(NodeOptions::default()).await?;
//! node.log_sink().say(&"greeter".parse()?, LogLevel::Info, "hello");
//!
//! let mut logs = lattice.logs(None, 100).await?;
//! let Some(LogEvent::Line { line, .. }) = logs.next().await else { panic!("the stream ended") };
//! assert_eq!(line.text, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! Hosts send nothing without a reader. A reader repeats its request every few seconds, and a host
//! that gets no request for longer stops sending. The lines of one host arrive in their order and
//! once; those of several hosts are interleaved as they arrive. Lost lines are counted.

pub use crate::telemetry::LogSink;
#[doc(inline)]
pub use crate::wire::{LogLevel, LogLine};

use crate::{
    Lattice,
    bus::{BusError, Message, Subscription},
    connection::Connection,
    name::{ComponentId, HostId},
    transport::{Endpoint, receiver::Refused},
    wire::{Body as _, Kind, Logs, LogsWanted, Origin},
};
use futures_util::{Stream, StreamExt as _, stream};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How long a host keeps sending without another request.
const LEASE: Duration = Duration::from_secs(10);
/// How often hosts receive a request. A request may be lost, and a host that has just joined should
/// reply soon.
const ASK: Duration = Duration::from_secs(2);
/// Most messages that are queued for the reader.
const WAITING: usize = 1_024;
/// Most hosts that are followed; lines of others are ignored.
const HOSTS: usize = 4_096;

/// An event of a log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogEvent {
    /// A component logged a line.
    Line {
        /// The host that it ran on.
        host: HostId,
        /// The line.
        line: LogLine,
    },
    /// Lines were lost on this host, because there were more than it sends.
    Dropped {
        /// The host.
        host: HostId,
        /// The number of lines.
        lines: u64,
    },
    /// Messages with lines of any host were lost, because this reader was too slow.
    Missed {
        /// The number of messages.
        messages: u64,
    },
}

impl Lattice {
    /// Returns the lines that components log from now on, of all components or of one, after up to
    /// `recent` earlier lines that each host has kept.
    ///
    /// The stream ends when the connection is closed. After it is dropped, hosts stop sending
    /// within ten seconds.
    ///
    /// # Errors
    /// Fails with [`BusError`].
    pub async fn logs(
        &self,
        component: Option<ComponentId>,
        recent: u32,
    ) -> Result<impl Stream<Item = LogEvent> + Send + Unpin + use<>, BusError> {
        let reader = LogReader::new(&self.shared().connection, component, recent).await?;
        Ok(stream::unfold(reader, async |mut reader| {
            reader.next().await.map(|event| (event, reader))
        })
        .boxed())
    }
}

struct LogReader {
    endpoint: Endpoint,
    component: Option<ComponentId>,
    recent: u32,
    lines: Subscription,
    ask: Interval,
    missed: u64,
    hosts: HashMap<Origin, HostCursor>,
    pending: VecDeque<LogEvent>,
}

/// The lines received from one boot of a host that has responded.
#[derive(Debug, Default)]
struct HostCursor {
    /// The number of the last received line.
    last: u64,
    dropped: u64,
}

impl LogReader {
    async fn new(
        connection: &Connection,
        component: Option<ComponentId>,
        recent: u32,
    ) -> Result<Self, BusError> {
        // Subscribes before the request is sent, so that no response is lost.
        let endpoint = Endpoint::observer(connection.medium(), |kind, _| kind == Kind::Logs);
        let subject = endpoint.subjects().logs();
        let lines = endpoint.subscribe(subject, WAITING).await?;
        let mut ask = interval(ASK);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            endpoint,
            component,
            recent,
            lines,
            ask,
            missed: 0,
            hosts: HashMap::new(),
            pending: VecDeque::new(),
        })
    }

    async fn next(&mut self) -> Option<LogEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            tokio::select! {
                message = self.lines.next() => {
                    self.receive(message?);
                    self.count_missed();
                }
                _ = self.ask.tick() => self.ask().await,
            }
        }
    }

    async fn ask(&mut self) {
        let wanted = LogsWanted {
            component: self.component.clone(),
            lease_ms: LEASE.as_millis() as u32,
            recent: self.recent,
        };
        let subject = self.endpoint.subjects().logs_wanted();
        if let Err(error) = self.endpoint.send(subject, None, None, &wanted).await {
            tracing::debug!(%error, "could not request logs; trying again");
        }
    }

    fn receive(&mut self, message: Message) {
        if let Err(reason) = self.take(message) {
            tracing::debug!(reason, "refused a message with log lines");
        }
    }

    fn take(&mut self, message: Message) -> Result<(), String> {
        let frame = match self.endpoint.try_open(message) {
            Ok((frame, _)) => frame,
            // This includes lines that were sent for another reader.
            Err(Refused::NoPayload | Refused::OtherReceiver) => return Ok(()),
            Err(refused) => return Err(refused.to_string()),
        };
        let is_answer = frame.target().is_some();
        for envelope in frame.envelopes() {
            let logs = Logs::decode(envelope).map_err(|error| error.to_string())?;
            self.take_logs(frame.sender(), is_answer, logs);
        }
        Ok(())
    }

    fn take_logs(&mut self, from: &Origin, is_answer: bool, logs: Logs) {
        if is_answer && !self.hosts.contains_key(from) && self.hosts.len() < HOSTS {
            // Lines that were lost before are not reported.
            let dropped = logs.dropped;
            self.hosts
                .insert(from.clone(), HostCursor { last: 0, dropped });
        }
        // Lines that a host sends to other readers before its reply to this one are part of the
        // reply.
        let Some(cursor) = self.hosts.get_mut(from) else {
            return;
        };
        let dropped = logs.dropped.saturating_sub(cursor.dropped);
        if dropped > 0 {
            cursor.dropped = logs.dropped;
            self.pending.push_back(LogEvent::Dropped {
                host: from.host.clone(),
                lines: dropped,
            });
        }
        for line in logs.lines {
            let is_wanted = self
                .component
                .as_ref()
                .is_none_or(|component| *component == line.component);
            if line.number <= cursor.last || !is_wanted {
                continue;
            }
            cursor.last = line.number;
            self.pending.push_back(LogEvent::Line {
                host: from.host.clone(),
                line,
            });
        }
    }

    fn count_missed(&mut self) {
        let missed = self.lines.dropped();
        let new = missed.saturating_sub(self.missed);
        if new > 0 {
            self.missed = missed;
            self.pending.push_back(LogEvent::Missed { messages: new });
        }
    }
}
