//! Why a guest ended, in the words of a call's answer.

use super::{HostedActor, guest::Guest, vitals::CpuOverrun};
use crate::transcode::LiftError;
use lattice_core::call::{CallError, Part};
use std::fmt::Write as _;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Frames of a trap that are told: enough to find the place, and one line of a log.
const FRAMES: usize = 4;

/// The answer to the call that ended an instance with `error`.
pub(super) fn call_error(error: &Error, guest: &Guest) -> CallError {
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Overloaded {
            component: guest.actor.id.clone(),
        };
    }
    // With a backtrace it was something that the guest passed to an import, not its result.
    if error.downcast_ref() == Some(&LiftError::TooLarge)
        && error.downcast_ref::<WasmBacktrace>().is_none()
    {
        return CallError::TooLarge {
            what: Part::Result,
            limit: guest.actor.limits.result.as_u64(),
        };
    }
    CallError::CalleeFailed {
        reason: reason(error, guest),
    }
}

/// What happened to an instance, for calls that were not the cause.
pub(super) fn reason(error: &Error, guest: &Guest) -> String {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return format!("it exited with {code}");
    }
    if let Some(overrun) = error.downcast_ref::<CpuOverrun>() {
        return overrun.to_string();
    }
    let mut reason = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "it recursed too deeply: the stack is full".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    if let Some(denied) = guest.allowance.denied() {
        reason = format!("{denied} ({reason})");
    }
    if let Some(frames) = error.downcast_ref::<WasmBacktrace>() {
        append_frames(&mut reason, frames);
    }
    reason
}

/// The functions that have a name, innermost first.
fn append_frames(reason: &mut String, backtrace: &WasmBacktrace) {
    let frames = backtrace.frames().iter();
    let named = frames.filter_map(|frame| {
        let symbol = frame
            .symbols()
            .first()
            .and_then(wasmtime::FrameSymbol::name);
        symbol.or_else(|| frame.func_name()).map(str::to_owned)
    });
    let mut separator = ", in ";
    for name in named.take(FRAMES) {
        // Writing to a string never fails.
        let _ = write!(reason, "{separator}`{name}`");
        separator = " < ";
    }
}

/// The answer to a call whose instance could not be made.
pub(super) fn start_error(error: &Error, guest: &Guest, actor: &HostedActor) -> CallError {
    match call_error(error, guest) {
        CallError::CalleeFailed { reason } => {
            tracing::warn!(component = %actor.id, reason, "an instance could not be started");
            CallError::CalleeFailed {
                reason: format!("an instance could not be started: {reason}"),
            }
        }
        other => other,
    }
}
