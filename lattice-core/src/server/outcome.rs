//! Checks the results that services return for calls.

use super::component::RunningComponent;
use crate::{
    call::{CallError, Part, Ran},
    link::Link,
    transport::CallResult,
};

impl RunningComponent {
    /// Checks the result of a call that came over `link`.
    pub(super) fn checked(&self, result: CallResult, link: Option<&Link>) -> CallResult {
        let result = result.map_err(|error| self.as_own(error, link))?;
        if result.len() > self.max_result.as_usize() {
            return Err(CallError::TooLarge {
                what: Part::Result,
                limit: self.max_result.as_u64(),
            });
        }
        Ok(result)
    }

    /// Returns the error of a call that the service was given. Errors from nested calls become
    /// `CalleeFailed`, unless they mean that something may have run: this component did run,
    /// whatever happened to the nested call.
    fn as_own(&self, error: CallError, link: Option<&Link>) -> CallError {
        match error {
            CallError::BadArguments { .. }
            | CallError::NotExported { .. }
            | CallError::OperatorDenied => error,
            CallError::Overloaded { ref component } | CallError::Stopping { ref component }
                if *component == self.id =>
            {
                error
            }
            CallError::LinkRejected { ref source_id, .. }
                if link.is_some_and(|link| link.source == *source_id) =>
            {
                error
            }
            CallError::DeadlineExceeded { .. } => CallError::DeadlineExceeded { ran: Ran::Maybe },
            CallError::TooLarge {
                what: Part::Arguments,
                ..
            } => CallError::CalleeFailed {
                reason: error.to_string(),
            },
            error if error.ran() == Ran::No => CallError::CalleeFailed {
                reason: error.to_string(),
            },
            error => error,
        }
    }
}
