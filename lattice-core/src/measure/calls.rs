//! How long calls take, by method and error, at both of their ends.
//!
//! Nothing is recorded until the first reading of [`Node::metrics`](crate::node::Node::metrics): a
//! lattice whose metrics are not read pays one relaxed load for each end of a call. From then on, a
//! call costs two readings of the clock, one lookup and two additions at each end.

use super::{DurationSeries, MOST_SERIES};
use crate::{
    call::{CallError, FunctionRef},
    trace::{self, error_type},
    wire::FunctionKey,
};
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The method of calls to functions that don't exist, by the conventions of OpenTelemetry. Their
/// names come from callers, and there is no end to them.
const UNKNOWN_METHOD: &str = "_OTHER";
/// The key of methods that don't exist. No function has it, unless its hash happens to be zero.
const NO_FUNCTION: FunctionKey = FunctionKey(0);

/// What the durations of calls are told apart by: the function, and the error, if it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallKey {
    function: FunctionKey,
    /// The value of `error.type`.
    pub error: Option<&'static str>,
}

/// The durations of calls, with the names of their methods.
pub type CallSeries = DurationSeries<CallKey, Arc<str>>;

/// The durations of the calls of one connection's nodes.
#[derive(Debug)]
pub(crate) struct CallTimes {
    is_on: AtomicBool,
    /// Calls as those see them that make them, with all attempts.
    pub(crate) client: CallSeries,
    /// Calls as the components see them that are called.
    pub(crate) server: CallSeries,
    /// Calls that no link and no wormhole allows. They are refused before they are calls.
    not_granted: AtomicU64,
}

impl Default for CallTimes {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(false),
            client: DurationSeries::new(MOST_SERIES),
            server: DurationSeries::new(MOST_SERIES),
            not_granted: AtomicU64::new(0),
        }
    }
}

impl CallTimes {
    /// Whether durations are recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Records durations from now on.
    pub(crate) fn turn_on(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Counts a call that nothing allows.
    pub(crate) fn count_not_granted(&self) {
        self.not_granted.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls so far that nothing allowed.
    pub(crate) fn not_granted(&self) -> u64 {
        self.not_granted.load(Ordering::Relaxed)
    }
}

/// Times one call of a client. Dropping it records a call that nothing waits for any more.
pub(crate) struct CallTimer<'t> {
    times: &'t CallTimes,
    function: &'t FunctionRef,
    began: Instant,
    is_over: bool,
}

impl<'t> CallTimer<'t> {
    /// Begins with the call.
    pub(crate) fn begin(times: &'t CallTimes, function: &'t FunctionRef) -> Self {
        Self {
            times,
            function,
            began: Instant::now(),
            is_over: false,
        }
    }

    /// Records the end of the call.
    pub(crate) fn end<T>(mut self, result: &Result<T, CallError>) {
        self.is_over = true;
        let error = result.as_ref().err();
        self.record(error.is_some_and(is_of_no_method), error.map(error_type));
    }

    fn record(&self, is_of_no_method: bool, error: Option<&'static str>) {
        let function = if is_of_no_method {
            NO_FUNCTION
        } else {
            self.function.key()
        };
        let key = CallKey { function, error };
        let label = || {
            if is_of_no_method {
                UNKNOWN_METHOD.into()
            } else {
                trace::method(self.function).into()
            }
        };
        self.times.client.record(&key, self.began.elapsed(), label);
    }
}

impl Drop for CallTimer<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.record(false, Some(trace::CANCELLED));
        }
    }
}

/// Records the calls of one component, whose methods it knows.
#[derive(Debug)]
pub(crate) struct Methods {
    times: Arc<CallTimes>,
    names: HashMap<FunctionKey, Arc<str>, RandomState>,
}

impl Methods {
    /// Those that a component exports, with their names.
    pub(crate) fn of(
        names: impl IntoIterator<Item = (FunctionKey, Arc<str>)>,
        times: &Arc<CallTimes>,
    ) -> Self {
        Self {
            times: times.clone(),
            names: names.into_iter().collect(),
        }
    }

    /// Whether durations are recorded.
    pub(crate) fn are_timed(&self) -> bool {
        self.times.is_on()
    }

    /// Records a call that has ended.
    pub(crate) fn record(&self, function: FunctionKey, took: Duration, error: Option<&CallError>) {
        let name = self.names.get(&function);
        let key = CallKey {
            // Callers choose the keys of functions that don't exist.
            function: name.map_or(NO_FUNCTION, |_| function),
            error: error.map(error_type),
        };
        let label = || name.cloned().unwrap_or_else(|| UNKNOWN_METHOD.into());
        self.times.server.record(&key, took, label);
    }
}

/// Whether the error says that there is no such method.
fn is_of_no_method(error: &CallError) -> bool {
    matches!(
        error,
        CallError::NotExported { .. } | CallError::SchemaMismatch { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        call::Ran,
        name::{FunctionName, InterfaceName},
    };

    fn function(name: &str) -> FunctionRef {
        let interface = InterfaceName::new("example:hello/greeter@0.1.0").expect("valid");
        FunctionRef::new(interface, FunctionName::new(name).expect("valid"), "func()")
    }

    fn recorded(series: &CallSeries) -> Vec<(String, Option<&'static str>, u64)> {
        let read = series.read();
        assert_eq!(read.other, None);
        let mut all: Vec<_> = read
            .series
            .into_iter()
            .map(|(key, method, durations)| (method.to_string(), key.error, durations.count()))
            .collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn a_call_is_recorded_by_method_and_error_and_one_that_is_abandoned_too() {
        let (times, greet) = (CallTimes::default(), function("greet"));
        let late = CallError::DeadlineExceeded { ran: Ran::No };
        CallTimer::begin(&times, &greet).end(&Ok(()));
        CallTimer::begin(&times, &greet).end::<()>(&Err(late));
        drop(CallTimer::begin(&times, &greet));
        let method = || "example:hello/greeter/greet".to_owned();
        assert_eq!(
            recorded(&times.client),
            [
                (method(), None, 1),
                (method(), Some("cancelled"), 1),
                (method(), Some("deadline-exceeded"), 1),
            ]
        );
    }

    #[tokio::test]
    async fn functions_that_do_not_exist_are_one_series() {
        let times = Arc::new(CallTimes::default());
        let component = crate::name::ComponentId::new("greeter").expect("valid");
        for number in 0..100 {
            let made_up = function(&format!("f{number}"));
            let error =
                CallError::not_exported(&component, made_up.interface(), made_up.function());
            CallTimer::begin(&times, &made_up).end::<()>(&Err(error.clone()));
            let methods = Methods::of([], &times);
            methods.record(made_up.key(), Duration::ZERO, Some(&error));
        }
        let one = [("_OTHER".to_owned(), Some("not-exported"), 100)];
        assert_eq!(recorded(&times.client), one);
        assert_eq!(recorded(&times.server), one);
    }
}
