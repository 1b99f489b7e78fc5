//! The result of an orderly shutdown.

use std::fmt;

/// Whether the running calls finished before the grace period ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it reports whether calls were cut off"]
pub enum Drained {
    /// Every call finished.
    Clean,
    /// Some calls were still running and were cut off.
    CutOff(CutOff),
}

/// What a shutdown has cut off, counted at the end of its grace period.
///
/// All counts are zero when it isn't known what was cut off: because it ended in that very moment,
/// or because the shutdown itself was interrupted.
///
/// ```
/// use lattice_core::CutOff;
///
/// let mut cut_off = CutOff::default();
/// assert_eq!(cut_off.to_string(), "an unknown number of calls");
/// cut_off.calls = 2;
/// cut_off.streams = 1;
/// assert_eq!(cut_off.to_string(), "2 calls, 1 stream");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutOff {
    /// Calls that ran, or waited for their turn, at components of this process.
    pub calls: usize,
    /// Open streams: those to and from other hosts, when a node leaves. All streams that calls of
    /// one provider have returned count as one, when only that provider stops.
    pub streams: usize,
    /// Requests over HTTP: of an ingress, or of the page. Those of one connection count as one. The
    /// calls that they made are counted as well, where those ran.
    pub requests: usize,
}

impl Drained {
    /// Returns whether every call finished.
    pub fn is_clean(self) -> bool {
        self == Self::Clean
    }

    /// Returns the result of two shutdowns: clean if both were, and otherwise what both have cut
    /// off.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::CutOff(one), Self::CutOff(other)) => Self::CutOff(one.and(other)),
            (cut_off @ Self::CutOff(_), Self::Clean) | (Self::Clean, cut_off) => cut_off,
        }
    }
}

impl CutOff {
    /// Returns a count of nothing but requests.
    pub fn of_requests(requests: usize) -> Self {
        Self {
            requests,
            ..Self::default()
        }
    }

    /// Returns the sum of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            streams: self.streams + other.streams,
            requests: self.requests + other.requests,
        }
    }
}

/// As in `2 calls, 1 stream`.
impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("an unknown number of calls");
        }
        let counts = [
            (self.calls, "call"),
            (self.streams, "stream"),
            (self.requests, "request"),
        ];
        let mut separator = "";
        for (count, what) in counts {
            if count > 0 {
                let plural = if count == 1 { "" } else { "s" };
                write!(f, "{separator}{count} {what}{plural}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shutdowns_together_have_cut_off_what_each_has() {
        let calls = Drained::CutOff(CutOff {
            calls: 2,
            streams: 1,
            requests: 0,
        });
        let requests = Drained::CutOff(CutOff::of_requests(1));
        assert_eq!(Drained::Clean.and(Drained::Clean), Drained::Clean);
        assert_eq!(Drained::Clean.and(calls), calls);
        assert_eq!(calls.and(Drained::Clean), calls);
        let Drained::CutOff(both) = calls.and(requests) else {
            panic!("both were cut off");
        };
        assert_eq!(both.to_string(), "2 calls, 1 stream, 1 request");
    }
}
