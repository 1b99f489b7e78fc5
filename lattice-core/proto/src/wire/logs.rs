//! Log lines of components, sent while readers request them.
//!
//! Bodies as in `body.rs`, with the fields of each struct below, in order.

use super::{
    EnvelopeError, Kind,
    body::{self, Body},
};
use crate::{name::ComponentId, value::bounded};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Longest text of a line in bytes; a longer one is cut.
pub const MAX_TEXT: usize = 2_048;

/// Requests that hosts send the log lines of their components, to all members, until the lease
/// ends. Asking again before the end extends the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsWanted {
    /// Limits the request to this component.
    pub component: Option<ComponentId>,
    /// The length of the lease, in milliseconds.
    pub lease_ms: u32,
    /// How many earlier lines are wanted too. A host sends them once for each sender and epoch, to
    /// that sender alone.
    pub recent: u32,
}

/// Lines of components on one host, in the order in which they were logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// How many lines this boot has dropped so far, because more was logged than is sent.
    pub dropped: u64,
    /// The lines.
    #[serde(deserialize_with = "bounded::list::<_, _, { Logs::MAX_LINES }>")]
    pub lines: Vec<LogLine>,
}

/// A line that a component logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number among all lines of this boot of the host, from 1.
    pub number: u64,
    /// When it was logged, by the host's clock, in milliseconds since 1970. For people only, since
    /// clocks disagree.
    pub said_ms: u64,
    /// The component that logged it.
    pub component: ComponentId,
    /// The level.
    pub level: LogLevel,
    /// The text, cut to 2,048 bytes.
    #[serde(deserialize_with = "read_text")]
    pub text: String,
}

/// The level of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
#[non_exhaustive]
#[repr(u8)]
pub enum LogLevel {
    /// Details of a single call.
    Trace = 0,
    /// Details that help to find a bug.
    Debug = 1,
    /// Normal events. Standard output has this level too.
    Info = 2,
    /// Something is wrong. Standard error has this level too.
    Warn = 3,
    /// Something failed.
    Error = 4,
}

impl Logs {
    /// Most lines in one envelope. So many take at most 64 KiB in memory, however short they are in
    /// bytes.
    pub const MAX_LINES: usize = 400;
}

impl LogLine {
    /// Creates a line. A text over 2,048 bytes is cut.
    pub fn new(
        number: u64,
        said_ms: u64,
        component: ComponentId,
        level: LogLevel,
        text: &str,
    ) -> Self {
        Self {
            number,
            said_ms,
            component,
            level,
            text: cut(text),
        }
    }
}

impl LogLevel {
    /// Every level, the least severe first.
    pub const ALL: [Self; 5] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
    ];
}

impl From<LogLevel> for u8 {
    fn from(level: LogLevel) -> Self {
        level as Self
    }
}

/// Levels of newer versions, which have higher numbers, become errors.
impl From<u8> for LogLevel {
    fn from(number: u8) -> Self {
        let level = Self::ALL.get(usize::from(number));
        level.copied().unwrap_or(Self::Error)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

impl Body for LogsWanted {
    const KIND: Kind = Kind::LogsWanted;
}

impl Body for Logs {
    const KIND: Kind = Kind::Logs;
    /// A number, a time, an id of one character with its length, a level, and an empty text.
    const SMALLEST_ELEMENT: usize = 1 + 1 + 2 + 1 + 1;

    fn check(&self) -> Result<(), EnvelopeError> {
        body::at_most("lines", self.lines.len(), Self::MAX_LINES)
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

fn read_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let mut text = String::deserialize(from)?;
    if text.len() > MAX_TEXT {
        text = cut(&text);
    }
    Ok(text)
}
