//! Checks the results that services return for calls. This is the only place that decides whether a
//! service may report that a call did not run.

use super::component::RunningComponent;
use crate::{
    call::{CallError, Part, Ran},
    id::{FunctionKey, Source},
    link::Link,
    serve,
    stream::{self, Body, Holder},
};

impl RunningComponent {
    /// Checks the result of a call that came over `link`.
    pub(super) fn checked(
        &self,
        result: Result<Body, CallError>,
        link: Option<&Link>,
    ) -> Result<Body, CallError> {
        let result = serve::checked(self.service(), result);
        let result = result.map_err(|error| self.as_own(error, link))?;
        if result.bytes.len() > self.max_result.as_usize() {
            return Err(CallError::TooLarge {
                what: Part::Result,
                limit: self.max_result.as_u64(),
            });
        }
        Ok(result)
    }

    /// Checks that the type of `function` has places for the handles of a result. They are dropped
    /// if it has none.
    pub(super) fn with_places(
        &self,
        function: FunctionKey,
        result: Body,
    ) -> Result<Body, CallError> {
        let has_places = || {
            let places = self.exports.places_of(function);
            places.is_none_or(|places| places.result)
        };
        if result.handles.is_empty() || has_places() {
            return Ok(result);
        }
        let holder = Holder::Local(Source::Component(self.id.clone()));
        stream::discard(result.handles, &holder);
        Err(stream::unplaced_result())
    }

    /// Returns the error of a call that the service was given. The service has run, so an error
    /// that says otherwise becomes `CalleeFailed`, except for [refusals](Self::may_refuse_with) of
    /// its own.
    fn as_own(&self, error: CallError, link: Option<&Link>) -> CallError {
        match error {
            CallError::DeadlineExceeded { .. } => CallError::DeadlineExceeded { ran: Ran::Maybe },
            error if error.ran() != Ran::No => error,
            error if self.may_refuse_with(&error, link) => error,
            error => serve::ran_and_failed(&error),
        }
    }

    /// Whether a service may refuse a call with this error, as not run.
    fn may_refuse_with(&self, error: &CallError, link: Option<&Link>) -> bool {
        match error {
            CallError::BadArguments { .. }
            | CallError::NotExported { .. }
            | CallError::OperatorDenied
            | CallError::WormholeClosed { .. }
            | CallError::StaleHandle { .. }
            // Of a pool of instances, see `Turns`.
            | CallError::TooManyHops { .. } => true,
            CallError::Overloaded { component } | CallError::Stopping { component } => {
                *component == self.id
            }
            CallError::LinkRejected { source_id, .. } => {
                link.is_some_and(|link| link.source == *source_id)
            }
            _ => false,
        }
    }
}
