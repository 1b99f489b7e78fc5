//! The latest calls of one component that have failed, for people who ask which ones did.
//!
//! Only a call that fails costs anything: a text, a lock, and a look at the calls that are kept.
//! Calls that fail alike are kept as one, so that a caller which tries again and again doesn't
//! drive out what failed before.

use super::{Server, component::RunningComponent};
use crate::{
    call::CallError,
    id::{FunctionKey, Source},
    link::Link,
    name::ComponentId,
    serve::Request,
    sync::Mutex,
    wire::{FailedCall, FailedCalls, cut},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Most failures that are kept of one component.
const KEPT: usize = 32;

/// The latest failures of one component, the latest last.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<VecDeque<Failure>>);

#[derive(Debug)]
struct Failure {
    failed: SystemTime,
    function: FunctionKey,
    caller: Source,
    error: &'static str,
    message: String,
    took: Duration,
    times: u64,
}

/// Who makes a call, and by which grant.
pub(super) enum Caller {
    /// The source of this link.
    Link(Arc<Link>),
    /// Something that needs no link.
    Unlinked(Source),
}

impl Caller {
    pub(super) fn of(request: &Request) -> Self {
        match &request.link {
            Some(link) => Self::Link(link.clone()),
            None => Self::Unlinked(request.source.clone()),
        }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            Self::Link(link) => Some(link),
            Self::Unlinked(_) => None,
        }
    }

    fn source(&self) -> Source {
        match self {
            Self::Link(link) => Source::Component(link.source.clone()),
            Self::Unlinked(source) => source.clone(),
        }
    }
}

impl Failures {
    /// Keeps a call that has failed after this time.
    #[cold]
    pub(super) fn keep(
        &self,
        (caller, function): (&Caller, FunctionKey),
        error: &CallError,
        took: Duration,
    ) {
        let mut failure = Failure {
            failed: SystemTime::now(),
            function,
            caller: caller.source(),
            error: error.kind(),
            message: cut(error.to_string()),
            took,
            times: 1,
        };
        let mut kept = self.0.lock();
        if let Some(before) = kept.iter().rposition(|kept| kept.is_like(&failure)) {
            let before = kept.remove(before);
            failure.times += before.map_or(0, |before| before.times);
        } else if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(failure);
    }
}

impl Failure {
    fn is_like(&self, other: &Self) -> bool {
        self.function == other.function
            && self.caller == other.caller
            && self.error == other.error
            && self.message == other.message
    }
}

impl RunningComponent {
    /// Keeps a call that was refused before it began, and counts it among those over its link.
    #[cold]
    pub(crate) fn note_refused(
        &self,
        (source, link): (&Source, Option<&Arc<Link>>),
        function: FunctionKey,
        error: &CallError,
    ) {
        if let Some(calls) = link.and_then(|link| self.links.calls_over(link)) {
            calls.refused();
        }
        let caller = Caller::Unlinked(source.clone());
        let failures = &self.meter.failures;
        failures.keep((&caller, function), error, Duration::ZERO);
    }

    fn failed_calls(&self) -> Vec<FailedCall> {
        let kept = self.meter.failures.0.lock();
        let calls = kept.iter().map(|failure| {
            let since = failure.failed.duration_since(SystemTime::UNIX_EPOCH);
            let method = self.exports.method_of(failure.function);
            FailedCall {
                failed_ms: since.map_or(0, |since| since.as_millis() as u64),
                component: self.id.clone(),
                function: method
                    .map_or("an unknown function", |method| &**method)
                    .to_owned(),
                caller: failure.caller.to_string(),
                error: failure.error.to_owned(),
                message: failure.message.clone(),
                took_us: failure.took.as_micros() as u64,
                times: failure.times,
            }
        });
        calls.collect()
    }
}

impl Server {
    /// Returns the latest calls that have failed here, of all components in service or of one.
    pub(crate) fn failed_calls(&self, component: Option<&ComponentId>) -> FailedCalls {
        let components = self.registry.snapshot();
        let wanted = components
            .values()
            .filter(|running| component.is_none_or(|id| *id == running.id));
        let mut calls: Vec<FailedCall> =
            wanted.flat_map(|running| running.failed_calls()).collect();
        calls.sort_by_key(|call| call.failed_ms);
        calls.drain(..calls.len().saturating_sub(FailedCalls::MAX));
        FailedCalls { calls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Ran;

    const FUNCTION: FunctionKey = FunctionKey(1);
    const LATE: CallError = CallError::DeadlineExceeded { ran: Ran::Maybe };

    fn failed(failures: &Failures, caller: &Source, error: &CallError) {
        let caller = Caller::Unlinked(caller.clone());
        failures.keep((&caller, FUNCTION), error, Duration::from_secs(1));
    }

    fn crashed(number: usize) -> CallError {
        CallError::CalleeFailed {
            reason: number.to_string(),
        }
    }

    #[test]
    fn the_latest_failures_are_kept_and_no_more() {
        let failures = Failures::default();
        for number in 0..KEPT + 5 {
            failed(&failures, &Source::Operator, &crashed(number));
        }
        let kept = failures.0.lock();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].message, crashed(5).to_string());
        assert_eq!(kept[KEPT - 1].message, crashed(KEPT + 4).to_string());
        assert!(kept.iter().all(|failure| failure.times == 1));
    }

    #[test]
    fn calls_that_fail_alike_drive_out_no_others() {
        let failures = Failures::default();
        failed(&failures, &Source::Operator, &crashed(7));
        let web = Source::Component(ComponentId::new("web").expect("an id"));
        for _ in 0..1_000 {
            failed(&failures, &Source::Operator, &LATE);
            failed(&failures, &web, &LATE);
        }
        let kept = failures.0.lock();
        let kept: Vec<_> = kept
            .iter()
            .map(|failure| (failure.error, failure.caller.clone(), failure.times))
            .collect();
        assert_eq!(
            kept,
            [
                ("callee-failed", Source::Operator, 1),
                ("deadline-exceeded", Source::Operator, 1_000),
                ("deadline-exceeded", web, 1_000),
            ]
        );
    }

    #[test]
    fn a_long_message_is_cut() {
        let failures = Failures::default();
        let reason = "é".repeat(10_000);
        failed(
            &failures,
            &Source::Operator,
            &CallError::CalleeFailed { reason },
        );
        assert!(failures.0.lock()[0].message.len() <= crate::wire::MAX_REASON);
    }
}
