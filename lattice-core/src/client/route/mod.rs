//! Where a call goes, and whether it may go a second time. Pure: no I/O, no clock, no lock.
//!
//! | question | answered by |
//! | --- | --- |
//! | which replica? | [`choose`]: the better of two random ones by own calls in flight, as the locality policy allows |
//! | which ones rather not? | [`Resting`]: hosts that were overloaded a moment ago, or served it no longer |
//! | may it be tried elsewhere? | [`may_go_elsewhere`]: surely did not run, or may run twice |
//! | is there anything left to try it with? | [`RetryBudget`]: a share of recent calls |
//! | what is said in the end? | [`worst`]: the failure that leaves most open |

mod budget;
mod choose;
mod cooldown;

pub(crate) use budget::RetryBudget;
pub(crate) use choose::{Candidates, Choice, choose};
pub(crate) use cooldown::Resting;

use crate::call::{CallError, Ran};

/// Whether another replica may do better: the reason is that host's alone, and the call did not run, or may run twice.
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

/// What to say after several attempts: that the latest did not run undoes nothing that an earlier one may have done.
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
    fn only_what_did_not_run_or_may_run_twice_goes_elsewhere() {
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
