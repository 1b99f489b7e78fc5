//! Kinds and lanes of frames.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)+) => {
        /// The kind of the envelopes of a frame. The numbers are the wire format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)+
        }

        impl Kind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the kind with this number.
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)+
                })
            }
        }
    };
}

kinds! {
    /// Calls.
    Call = 0x01, "call";
    /// Replies to calls.
    Reply = 0x02, "reply";
    /// Requests to reply at once, which show whether a host is live.
    Probe = 0x03, "probe";
    /// Replies to probes.
    ProbeAck = 0x04, "probe ack";
    /// A host's heartbeat.
    Beat = 0x05, "beat";
    /// A host's report of its components, rates and latencies, every few seconds.
    Report = 0x06, "report";
    /// A host is leaving.
    Goodbye = 0x07, "goodbye";
    /// Discovery questions: which hosts serve a component.
    Discover = 0x08, "discover";
    /// Replies to discovery questions: the hosts that serve a component.
    Discovered = 0x09, "discovered";
    /// Requests for reports at once.
    ReportWanted = 0x0b, "report wanted";
    /// Requests for the log lines of components.
    LogsWanted = 0x0c, "logs wanted";
    /// Log lines of components.
    Logs = 0x0d, "logs";
    /// A host's heartbeat when nothing has changed since its last beat.
    KeepAlive = 0x0e, "keep-alive";
    /// A part of a heartbeat that doesn't fit one message.
    BeatPart = 0x0f, "beat part";
    /// Steps of sessions.
    Session = 0x20, "session";
    /// Calls whose replies are no longer awaited.
    Cancel = 0x24, "cancel";
}

/// A lane. Frames to one host are sent in lanes, so that a small call doesn't wait behind a large
/// one. Each lane numbers its frames separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Small envelopes, coalesced into frames.
    Small = 0,
    /// One large envelope per frame.
    Bulk = 1,
}

impl Lane {
    /// Every lane, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Small, Self::Bulk];

    /// Returns the lane with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}
