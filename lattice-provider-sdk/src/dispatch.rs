//! The steps of serving a call that all generated code shares.

use crate::provider::{Call, Provider};
use bytes::Bytes;
use futures_util::FutureExt;
use lattice_core::{
    call::CallError,
    serve::Answer,
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::future::Future;

/// Decodes the arguments of a call into a tuple. When they don't decode, the error is the call's
/// result.
pub fn arguments<T: Decode>(args: &Bytes) -> Result<T, Answer> {
    from_bytes(args).map_err(|error| {
        Answer::Ready(Err(CallError::BadArguments {
            reason: error.to_string(),
        }))
    })
}

/// Runs a handler. A handler that completes without waiting costs no task and no timer.
pub fn answer<F>(handler: F) -> Answer
where
    F: Future<Output: Encode> + Send + 'static,
{
    let mut answer = handler.map(|result| encode(&result)).boxed();
    match (&mut answer).now_or_never() {
        Some(result) => Answer::Ready(result),
        // The node polls it again, with its own waker.
        None => Answer::Later(answer),
    }
}

/// Returns the error for a function that the world doesn't have. The node rejects such calls
/// before they get here.
pub fn unknown<P: Provider>(call: &Call<P>) -> Answer {
    Answer::Ready(Err(CallError::NotExported {
        component: call.component().clone(),
        interface: call
            .link()
            .map_or_else(String::new, |link| link.interface.to_string()),
        function: format!("the one with key {}", call.function()),
    }))
}

fn encode(result: &impl Encode) -> Result<Bytes, CallError> {
    to_bytes(result).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })
}
