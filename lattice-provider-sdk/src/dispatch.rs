//! The steps of serving a call that all generated code shares.

use crate::{
    flow::{self, Env},
    homes::Arguments,
    provider::{Call, Provider},
};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{self, BoxFuture},
};
use lattice_core::{
    call::CallError,
    serve::Answer,
    stream::{Body, Handles},
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::future::Future;

/// Decodes the arguments of a call into a tuple. When they don't decode, the error is the call's
/// result.
pub fn arguments<T: Decode>(args: &Arguments) -> Result<T, Answer> {
    let decoded = from_bytes(&args.bytes).map_err(|error| error.to_string());
    let decoded = decoded.and_then(|decoded| match args.handles.len() {
        0 => Ok(decoded),
        count => Err(format!("{count} handles were passed for 0 places")),
    });
    decoded.map_err(|reason| Answer::Ready(Err(CallError::BadArguments { reason })))
}

/// Decodes the arguments of a call like [`arguments`], of a function that passes streams or
/// handles.
pub fn passing_arguments<P: Provider, T: Decode>(
    args: Arguments,
    call: &Call<P>,
) -> Result<(T, Env), Answer> {
    let Arguments {
        bytes,
        handles,
        homes,
    } = args;
    let decoded = homes.of_call(call.component(), &handles).and_then(|home| {
        let env = Env::of_provider(home);
        let refuse = |reason| CallError::BadArguments { reason };
        let decoded = flow::decode(&bytes, handles, &env, refuse)?;
        Ok((decoded, env))
    });
    decoded.map_err(|error| Answer::Ready(Err(error)))
}

/// Decodes the arguments of a call that may have streams in them, and no resources, for a service
/// that isn't made of a provider.
pub fn streaming_arguments<T: Decode>(bytes: &Bytes, handles: Handles) -> Result<T, CallError> {
    let refuse = |reason| CallError::BadArguments { reason };
    flow::decode(bytes, handles, &Env::of_streams(), refuse)
}

/// Encodes the result of such a call, and starts its streams. They end with their readers.
pub fn streaming_result<T: Encode>(result: T) -> Result<Body, CallError> {
    let refuse = |reason| CallError::BadResult { reason };
    flow::encode(result, &Env::of_streams(), refuse).map(flow::Encoded::start)
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

/// Runs a handler like [`answer`], of a function that passes streams or handles.
pub fn passing_answer<F>(env: Env, handler: F) -> Answer
where
    F: Future<Output: Encode> + Send + 'static,
{
    let encode = move |result| {
        let refuse = |reason| CallError::BadResult { reason };
        flow::encode(result, &env, refuse).map(flow::Encoded::start)
    };
    let mut answer: BoxFuture<'static, Result<Body, CallError>> = handler.map(encode).boxed();
    match (&mut answer).now_or_never() {
        Some(Ok(body)) if body.handles.is_empty() => Answer::Ready(Ok(body.bytes)),
        Some(Err(error)) => Answer::Ready(Err(error)),
        Some(result) => Answer::Passing(future::ready(result).boxed()),
        None => Answer::Passing(answer),
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
