//! Converts the end of a guest to the error of a call.

use super::{import::CallFailed, state::Guest, usage::CpuOverrun};
use crate::{engine::WASM_STACK, transcode::LiftError};
use lattice_core::call::{CallError, Limit, Part};
use rustc_demangle::demangle;
use std::fmt::Write as _;
use wasmtime::{Error, FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Frames of a trap that are reported: enough to find the place, and few enough for one line of a
/// log.
const FRAMES: usize = 4;

/// How to raise the limits on the memory that guests share.
const BUDGET: &str = "; the memory for all guests of a host is set with `lattice up --guest-memory` or `EngineBuilder::guest_memory`, and one actor may use half of it";

/// Returns the error of the call that ended an instance with `error`. The call may have run
/// whatever the error is: also when the engine had no room for what the guest needed next.
pub(super) fn call_error(error: &Error, guest: &Guest) -> CallError {
    let failure = call_error_of(error, guest);
    guest.note_failure(&failure);
    failure
}

fn call_error_of(error: &Error, guest: &Guest) -> CallError {
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::InstanceLost {
            reason: format!("the engine is full: {}", text(error)),
        };
    }
    if error.downcast_ref() == Some(&LiftError::ResultTooLarge) {
        return CallError::TooLarge {
            what: Part::Result,
            limit: guest.actor.limits.result.as_u64(),
        };
    }
    let mut reason = reason(error, guest);
    match limit(error, guest) {
        Some(limit) => {
            if matches!(limit, Limit::ActorMemory(_) | Limit::HostMemory(_)) {
                reason.push_str(BUDGET);
            }
            CallError::LimitExceeded { limit, reason }
        }
        None => CallError::CalleeFailed { reason },
    }
}

/// Returns the reason for the other calls in an instance that one call ended with `error`.
pub(super) fn loss(error: &CallError) -> String {
    match error {
        CallError::LimitExceeded { limit, reason } => {
            format!("it went over its limit of {limit}: {reason}")
        }
        CallError::CalleeFailed { reason } => reason.clone(),
        other => other.to_string(),
    }
}

/// Returns the limit that the guest hit. Memory that it was denied is the most likely reason for
/// its end, unless another reason is known.
fn limit(error: &Error, guest: &Guest) -> Option<Limit> {
    if let Some(overrun) = error.downcast_ref::<CpuOverrun>() {
        return Some(Limit::Cpu(overrun.budget));
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref() {
        return Some(Limit::Stack(WASM_STACK as u64));
    }
    if error.downcast_ref() == Some(&LiftError::NoRoom) {
        return guest.usage.denied();
    }
    if error.is::<I32Exit>() || error.is::<CallFailed>() || error.is::<LiftError>() {
        return None;
    }
    guest.limiter.denied()
}

fn reason(error: &Error, guest: &Guest) -> String {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return format!("it exited with {code}");
    }
    // Its frames are those of the code that aborts.
    if let Some(Trap::UnreachableCodeReached) = error.downcast_ref()
        && let Some(message) = guest.panic_text.message()
    {
        return format!("it panicked at {message}");
    }
    let mut reason = if let Some(overrun) = error.downcast_ref::<CpuOverrun>() {
        overrun.to_string()
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => "it recursed too deeply".to_owned(),
            Some(trap) => trap.to_string(),
            None => text(error),
        }
    };
    if let Some(frames) = error.downcast_ref::<WasmBacktrace>() {
        append_frames(&mut reason, frames);
    }
    reason
}

/// Returns the text of one of the host's errors, without the backtrace that comes first when the
/// error went through the guest.
fn text(error: &Error) -> String {
    let skip = usize::from(error.downcast_ref::<WasmBacktrace>().is_some());
    let texts: Vec<String> = error.chain().skip(skip).map(ToString::to_string).collect();
    texts.join(": ")
}

/// Appends the functions that have a name, innermost first.
fn append_frames(reason: &mut String, backtrace: &WasmBacktrace) {
    let frames = backtrace.frames().iter();
    let mut separator = ", in ";
    for name in frames.filter_map(FrameInfo::func_name).take(FRAMES) {
        // Writing to a string never fails.
        let _ = write!(reason, "{separator}`{:#}`", demangle(name));
        separator = " < ";
    }
}

/// Returns the error of a call whose instance could not be created: nothing of the call has run.
pub(super) fn start_error(error: &Error, guest: &Guest) -> CallError {
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Overloaded {
            component: guest.actor.id.clone(),
        };
    }
    let mut error = call_error(error, guest);
    if let CallError::CalleeFailed { reason } | CallError::LimitExceeded { reason, .. } = &mut error
    {
        tracing::warn!(component = %guest.actor.id, reason, "an instance could not be started");
        reason.insert_str(0, "an instance could not be started: ");
    }
    error
}
