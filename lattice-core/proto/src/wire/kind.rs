//! What a frame carries, and in which lane.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)+) => {
        /// What the envelopes of a frame are. The numbers are the wire format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)+
        }

        impl Kind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The kind with this number.
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
    /// Answers to calls.
    Reply = 0x02, "reply";
    /// "Are you there?"
    Probe = 0x03, "probe";
    /// "I am."
    ProbeAck = 0x04, "probe ack";
    /// A host's sign of life.
    Beat = 0x05, "beat";
    /// A host's slow report of its components, rates and latencies.
    Report = 0x06, "report";
    /// A host is leaving.
    Goodbye = 0x07, "goodbye";
    /// "Who serves this component?"
    Discover = 0x08, "discover";
    /// Who does.
    Discovered = 0x09, "discovered";
    /// A host tells another what to do. Reserved.
    HostControl = 0x0a, "host-control";
    /// Somebody looks: hosts report at once.
    ReportWanted = 0x0b, "report wanted";
    /// Somebody reads: hosts tell what their components say.
    LogsWanted = 0x0c, "logs wanted";
    /// What components say.
    Logs = 0x0d, "logs";
    /// A host is alive, and as its last beat said.
    KeepAlive = 0x0e, "pulse";
    /// A session begins. Reserved.
    Open = 0x20, "open";
    /// A piece of a stream. Reserved.
    Chunk = 0x21, "chunk";
    /// The reader has room for more. Reserved.
    Credit = 0x22, "credit";
    /// A stream is complete. Reserved.
    End = 0x23, "end";
    /// A stream is given up. Reserved.
    Cancel = 0x24, "cancel";
    /// A range of an artifact is wanted. Reserved.
    ArtifactRequest = 0x30, "artifact request";
    /// A range of an artifact. Reserved.
    ArtifactRange = 0x31, "artifact range";
}

impl Kind {
    /// Whether this version only keeps the number free.
    pub fn is_reserved(self) -> bool {
        matches!(
            self,
            Self::HostControl
                | Self::Open
                | Self::Chunk
                | Self::Credit
                | Self::End
                | Self::Cancel
                | Self::ArtifactRequest
                | Self::ArtifactRange
        )
    }
}

/// Frames to one host travel in lanes, so that a small call does not wait behind a large one. Each is numbered by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Coalesced envelopes, and all that is small.
    Small = 0,
    /// One large envelope per frame.
    Bulk = 1,
}

impl Lane {
    /// Every lane, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Small, Self::Bulk];

    /// The lane with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}
