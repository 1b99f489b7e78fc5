//! The steps of a call that generated code shares.

use crate::{Call, Provider};
use bytes::Bytes;
use futures_util::FutureExt;
use lattice_core::{
    call::CallError,
    serve::Answer,
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::future::Future;

/// The arguments of a call, as a tuple; else what it is answered with.
pub fn arguments<T: Decode>(args: &Bytes) -> Result<T, Answer> {
    from_bytes(args).map_err(|error| {
        Answer::Ready(Err(CallError::BadArguments {
            reason: error.to_string(),
        }))
    })
}

/// The answer that a handler's future gives: at once when it has nothing to wait for, which then costs no task and no timer.
pub fn answer<F>(handler: F) -> Answer
where
    F: Future<Output: Encode> + Send + 'static,
{
    let mut answer = handler.map(|result| encode(&result)).boxed();
    match (&mut answer).now_or_never() {
        Some(result) => Answer::Ready(result),
        // Whoever drives it polls it again, and is woken then.
        None => Answer::Later(answer),
    }
}

/// The answer to a call of a function that the world doesn't have. A node lets none through.
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
