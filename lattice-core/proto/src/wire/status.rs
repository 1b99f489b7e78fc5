//! The status of a component on one host.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest reason in bytes; a longer one is cut. That is a few sentences, since reports are sent
/// every few seconds.
pub const MAX_REASON: usize = 1_024;

/// The status of a component on one host, as set by what runs it there with `Node::set_status` of
/// `lattice-core`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ComponentStatus {
    /// Its phase.
    pub phase: Phase,
    /// Its generation, if it has one.
    pub generation: Option<u64>,
    /// The last thing that went wrong. At most [`MAX_REASON`] bytes.
    pub reason: Option<String>,
}

impl ComponentStatus {
    /// Creates a status with this phase alone.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            generation: None,
            reason: None,
        }
    }

    /// Sets the generation.
    pub fn generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Sets the last thing that went wrong, cut to [`MAX_REASON`] bytes.
    pub fn reason(mut self, reason: impl fmt::Display) -> Self {
        self.reason = Some(cut(reason.to_string()));
        self
    }
}

/// The phase of a component on one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// It takes calls.
    #[default]
    Serving,
    /// It is being fetched, compiled or started.
    Starting,
    /// The old generation serves while the new one is started.
    Updating,
    /// It serves until another host has taken over.
    HandingOver,
    /// It runs once in the lattice, and another host holds its lease.
    WaitingForLease,
    /// It keeps failing, and is restarted with growing delays.
    CrashLooping {
        /// Failures in a row.
        failures: u32,
    },
    /// It takes no new calls and finishes running ones.
    Draining,
    /// This generation failed to start and was rolled back; the previous one serves, if there was
    /// one.
    Rejected,
    /// A phase of a newer version.
    Unknown,
}

impl Phase {
    /// Returns whether calls reach it.
    pub fn is_serving(self) -> bool {
        matches!(self, Self::Serving | Self::Updating | Self::HandingOver)
    }

    /// Returns its number on the wire, and how often it has failed.
    pub fn to_wire(self) -> (u8, u32) {
        match self {
            Self::Serving => (0, 0),
            Self::Starting => (1, 0),
            Self::Updating => (2, 0),
            Self::HandingOver => (3, 0),
            Self::WaitingForLease => (4, 0),
            Self::CrashLooping { failures } => (5, failures),
            Self::Draining => (6, 0),
            Self::Rejected => (7, 0),
            Self::Unknown => (u8::MAX, 0),
        }
    }

    /// Returns the phase with this number on the wire.
    pub fn from_wire((number, failures): (u8, u32)) -> Self {
        match number {
            0 => Self::Serving,
            1 => Self::Starting,
            2 => Self::Updating,
            3 => Self::HandingOver,
            4 => Self::WaitingForLease,
            5 => Self::CrashLooping { failures },
            6 => Self::Draining,
            7 => Self::Rejected,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => "serving",
            Self::Starting => "starting",
            Self::Updating => "updating",
            Self::HandingOver => "handing over",
            Self::WaitingForLease => "waiting for its lease",
            Self::CrashLooping { failures } => return write!(f, "crash-looping ({failures}×)"),
            Self::Draining => "draining",
            Self::Rejected => "rejected",
            Self::Unknown => "in a phase that this version does not know",
        })
    }
}

/// Returns the text, cut to [`MAX_REASON`] bytes. Its start stays, which says what is wrong, and
/// its end, which says what to do.
pub fn cut(reason: String) -> String {
    if reason.len() <= MAX_REASON {
        return reason;
    }
    let room = MAX_REASON - '…'.len_utf8();
    let end = reason.ceil_char_boundary(reason.len() - room / 2);
    let start = reason.floor_char_boundary(room - room / 2);
    format!("{}…{}", &reason[..start], &reason[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_keep_their_numbers() {
        for number in 0..=u8::MAX {
            let phase = Phase::from_wire((number, 7));
            let known = (0..8).contains(&number);
            assert_eq!(phase != Phase::Unknown, known, "{number}");
            if known {
                assert_eq!(phase.to_wire().0, number);
            }
            assert_eq!(Phase::from_wire(phase.to_wire()), phase);
        }
        let failing = Phase::CrashLooping { failures: 7 };
        assert_eq!(Phase::from_wire((5, 7)), failing);
    }

    #[test]
    fn long_reasons_are_cut_at_a_character_boundary_and_before_their_advice() {
        let long = format!("what is wrong: {}; what to do", "é".repeat(MAX_REASON));
        let status = ComponentStatus::new(Phase::Rejected).reason(long);
        let reason = status.reason.expect("there is one");
        assert!(reason.len() <= MAX_REASON && reason.contains("é…é"));
        assert!(reason.starts_with("what is wrong: ") && reason.ends_with("; what to do"));
        assert_eq!(cut(reason.clone()), reason, "cut once");
    }
}
