//! Limits on the resources of a callee.

use crate::quantity::ByteSize;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A limit on the resources of a callee.
///
/// The order of the variants is the wire format: new ones go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Limit {
    /// CPU time of one call.
    Cpu(Duration),
    /// Time of one call, including time that it waits.
    Wall(Duration),
    /// Memory of one instance, in bytes.
    Memory(u64),
    /// Stack of one instance, in bytes.
    Stack(u64),
    /// Elements of all tables of one instance together.
    TableElements(u64),
    /// Memory of all instances of one actor on one host together, in bytes.
    ActorMemory(u64),
    /// Memory of all guests of one host together, in bytes.
    HostMemory(u64),
    /// Resources of one instance that others hold.
    Handles(u64),
    /// Token of one portable resource, in bytes.
    Token(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Cpu(time) => write!(f, "{time:?} of CPU time"),
            Self::Wall(time) => write!(f, "{time:?} for a call"),
            Self::Memory(bytes) => write!(f, "{} of memory", ByteSize::bytes(bytes).up_to_mib()),
            Self::Stack(bytes) => write!(f, "{} of stack", ByteSize::bytes(bytes).up_to_mib()),
            Self::TableElements(count) => write!(f, "{count} table elements"),
            Self::ActorMemory(bytes) => {
                let bytes = ByteSize::bytes(bytes).up_to_mib();
                write!(f, "{bytes} of memory for all of its instances on one host")
            }
            Self::HostMemory(bytes) => {
                let bytes = ByteSize::bytes(bytes).up_to_mib();
                write!(f, "{bytes} of memory for all guests of its host")
            }
            Self::Handles(count) => write!(f, "{count} resources that others hold"),
            Self::Token(bytes) => write!(f, "{bytes} bytes for the token of a portable resource"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::CallError, call::Ran, value};

    const ALL: [(Limit, &[u8], &str); 9] = [
        (
            Limit::Cpu(Duration::from_millis(1_500)),
            b"\x00\x01\x80\xca\xb5\xee\x01",
            "1.5s of CPU time",
        ),
        (
            Limit::Wall(Duration::from_secs(30)),
            b"\x01\x1e\x00",
            "30s for a call",
        ),
        (
            Limit::Memory(64 << 20),
            b"\x02\x80\x80\x80\x20",
            "64 MiB of memory",
        ),
        (
            Limit::Stack(512 << 10),
            b"\x03\x80\x80\x20",
            "512 KiB of stack",
        ),
        (
            Limit::TableElements(1_000),
            b"\x04\xe8\x07",
            "1000 table elements",
        ),
        (
            Limit::ActorMemory(1 << 20),
            b"\x05\x80\x80\x40",
            "1 MiB of memory for all of its instances on one host",
        ),
        (
            Limit::HostMemory(1 << 20),
            b"\x06\x80\x80\x40",
            "1 MiB of memory for all guests of its host",
        ),
        (
            Limit::Handles(1_000),
            b"\x07\xe8\x07",
            "1000 resources that others hold",
        ),
        (
            Limit::Token(1_024),
            b"\x08\x80\x08",
            "1024 bytes for the token of a portable resource",
        ),
    ];

    #[test]
    fn golden_bytes_and_texts() {
        for (limit, golden, words) in ALL {
            assert_eq!(
                value::to_bytes(&limit).expect("encodes"),
                golden,
                "{limit:?}"
            );
            assert_eq!(value::from_bytes(&golden.into()), Ok(limit));
            assert_eq!(limit.to_string(), words);
        }
        assert_eq!(Limit::Memory(1_025).to_string(), "1025 bytes of memory");
        assert_eq!(Limit::Memory(2 << 30).to_string(), "2048 MiB of memory");
    }

    #[test]
    fn only_a_wall_time_limit_can_stop_a_call_before_it_begins() {
        for (limit, ..) in ALL {
            let error = CallError::LimitExceeded {
                limit,
                reason: String::new(),
            };
            let wall = matches!(limit, Limit::Wall(_));
            let expected = if wall { Ran::Maybe } else { Ran::Yes };
            assert_eq!((error.ran(), error.is_retryable()), (expected, wall));
        }
    }
}
