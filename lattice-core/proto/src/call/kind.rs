//! A short name for each kind of error.

use super::CallError;

impl CallError {
    /// Returns the name of the error's kind, which is the same for all errors of one variant and in
    /// every version: `not-linked`, `deadline-exceeded`. For metrics and traces, which group by it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotLinked { .. } => "not-linked",
            Self::LinkRejected { .. } => "link-rejected",
            Self::NotServed { .. } => "not-served",
            Self::NotExported { .. } => "not-exported",
            Self::SchemaMismatch { .. } => "schema-mismatch",
            Self::Overloaded { .. } => "overloaded",
            Self::TooLarge { .. } => "too-large",
            Self::LinkTableBehind => "link-table-behind",
            Self::DeadlineExceeded { .. } => "deadline-exceeded",
            Self::TooManyHops { .. } => "too-many-hops",
            Self::BadArguments { .. } => "bad-arguments",
            Self::BadResult { .. } => "bad-result",
            Self::CalleeFailed { .. } => "callee-failed",
            Self::InstanceLost { .. } => "instance-lost",
            Self::HostLost { .. } => "host-lost",
            Self::HostGone { .. } => "host-gone",
            Self::Stopping { .. } => "stopping",
            Self::Disconnected { .. } => "disconnected",
            Self::OperatorDenied => "operator-denied",
            Self::StoreUnavailable { .. } => "store-unavailable",
            Self::InvalidName(_) => "invalid-name",
            Self::Unrecognised { .. } => "unrecognised",
            Self::LimitExceeded { .. } => "limit-exceeded",
            Self::StaleHandle { .. } => "stale-handle",
            Self::TooManySessions { .. } => "too-many-sessions",
            Self::WormholeClosed { .. } => "wormhole-closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Ran;

    #[test]
    fn a_kind_is_that_of_the_variant() {
        for ran in [Ran::No, Ran::Maybe] {
            let late = CallError::DeadlineExceeded { ran };
            assert_eq!(late.kind(), "deadline-exceeded");
        }
        assert_eq!(CallError::LinkTableBehind.kind(), "link-table-behind");
    }
}
