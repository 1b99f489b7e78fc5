//! Where a call goes, and whether it may be retried. Pure: no I/O, no clock, no lock.
//!
//! | question | rule |
//! | --- | --- |
//! | Which replica? | [`choose`]: the better of two random ones by own calls in flight, as the locality policy allows |
//! | Which ones are avoided? | [`Cooling`]: hosts that were overloaded a moment ago, or no longer served it |
//! | May it be tried elsewhere? | [`may_go_elsewhere`]: it did not run, or may run twice |
//! | And if it waits for itself? | [`is_full_of_chain`]: elsewhere, too, and that host isn't avoided |
//! | May it be retried now? | [`RetryBudget`]: retries are a share of recent calls |
//! | Which error does the caller get? | [`worst`]: the one that leaves most open |

mod budget;
mod choose;
mod cooldown;

pub(crate) use budget::RetryBudget;
pub(crate) use choose::{Candidates, Choice, choose};
#[cfg(test)]
pub(crate) use cooldown::COOLDOWN;
pub(crate) use cooldown::Cooling;

use crate::call::{CallError, MAX_HOPS, Ran};

/// Whether another replica may succeed: the error is about that host alone, and the call did not
/// run, or may run twice.
pub(crate) fn may_go_elsewhere(error: &CallError, idempotent: bool) -> bool {
    match error.ran() {
        Ran::No => matches!(
            error,
            CallError::NotServed { .. }
                | CallError::Stopping { .. }
                | CallError::Overloaded { .. }
                | CallError::LinkTableBehind
                | CallError::HostGone { .. }
        ),
        Ran::Maybe => {
            idempotent
                && matches!(
                    error,
                    CallError::HostLost { .. } | CallError::InstanceLost { .. }
                )
        }
        Ran::Yes => false,
    }
}

/// Whether the call's own chain holds all turns of the callee on that host. It did not run, and
/// another replica may have a turn for it. Others may go on calling that host.
pub(crate) fn is_full_of_chain(error: &CallError) -> bool {
    matches!(error, CallError::TooManyHops { limit } if *limit != MAX_HOPS)
}

/// The error to return after several attempts: if an earlier one may have run, that the latest did
/// not is of no help.
pub(crate) fn worst(earlier: Option<CallError>, latest: CallError) -> CallError {
    match earlier {
        Some(earlier) if earlier.ran() != Ran::No && latest.ran() == Ran::No => earlier,
        _ => latest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{ComponentId, HostId};

    #[test]
    fn a_chain_that_holds_all_turns_of_a_host_may_go_on_elsewhere() {
        let too_many = |limit| CallError::TooManyHops { limit };
        assert!(is_full_of_chain(&too_many(16)));
        assert!(!is_full_of_chain(&too_many(MAX_HOPS)), "it is too long");
        assert!(!may_go_elsewhere(&too_many(16), true), "and avoids no host");
    }

    #[test]
    fn only_calls_that_did_not_run_or_are_idempotent_are_retried_elsewhere() {
        let host = HostId::new("h1").expect("valid");
        let component = ComponentId::new("c").expect("valid");
        let lost = CallError::HostLost { host: host.clone() };
        let gone = CallError::HostGone { host };
        let overloaded = CallError::Overloaded { component };
        let failed = CallError::CalleeFailed {
            reason: "x".to_owned(),
        };
        let late = CallError::DeadlineExceeded { ran: Ran::Maybe };
        for (error, once, twice) in [
            (lost, false, true),
            (gone, true, true),
            (overloaded, true, true),
            (failed, false, false),
            (late, false, false),
        ] {
            assert_eq!(may_go_elsewhere(&error, false), once, "{error}");
            assert_eq!(may_go_elsewhere(&error, true), twice, "{error}");
        }
    }
}
