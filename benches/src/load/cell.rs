//! The cells of the table: a path, the number of calls in flight, and their size.

use std::fmt;

/// The caller, the callee, and the transport between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Provider,
    ActorWarm,
    ActorFresh,
    Memory,
    Nats,
    /// One small caller over NATS while others send large calls.
    BesideBulk,
}

impl Path {
    /// Returns the name that rows have for this path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provider => "local.provider",
            Self::ActorWarm => "local.actor.warm",
            Self::ActorFresh => "local.actor.fresh",
            Self::Memory => "memory",
            Self::Nats => "nats",
            Self::BesideBulk => "nats.small_beside_bulk",
        }
    }

    /// Returns the cells of this path, the small ones first.
    pub(crate) fn cells(self) -> impl Iterator<Item = Cell> {
        let (counts, sizes): (&[usize], &[usize]) = match self {
            Self::BesideBulk => (&[1], &[16]),
            _ => (&[1, 64, 256], &[16, 1 << 10, 64 << 10]),
        };
        let of = move |in_flight: &usize| {
            let in_flight = *in_flight;
            sizes.iter().map(move |size| Cell {
                path: self,
                in_flight,
                size: *size,
            })
        };
        counts.iter().flat_map(of)
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) path: Path,
    /// Concurrent calls.
    pub(crate) in_flight: usize,
    /// Bytes that are sent, and returned.
    pub(crate) size: usize,
}

/// A number of bytes, displayed with a unit.
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.path.name(), self.load())
    }
}

impl Cell {
    /// Returns the number of calls in flight and their size, as `64x16B`.
    pub(crate) fn load(&self) -> String {
        format!("{}x{}", self.in_flight, Size(self.size)).replace(' ', "")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} B"),
        }
    }
}
