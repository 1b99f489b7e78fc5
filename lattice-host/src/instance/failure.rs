//! Why a guest ended, in the words of a call's answer.

use super::{HostedActor, guest::Guest, vitals::CpuOverrun};
use crate::transcode::LiftError;
use lattice_core::call::{CallError, Part};
use rustc_demangle::demangle;
use std::fmt::Write as _;
use wasmtime::{Error, FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
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
    if error.downcast_ref() == Some(&LiftError::ResultTooLarge) {
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
        None => told(error),
    };
    if let Some(denied) = guest.allowance.denied() {
        reason = format!("{denied} ({reason})");
    }
    if let Some(frames) = error.downcast_ref::<WasmBacktrace>() {
        append_frames(&mut reason, frames);
    }
    reason
}

/// What an error of the host's own says, without the backtrace that comes first when it went through the guest.
fn told(error: &Error) -> String {
    let skip = usize::from(error.downcast_ref::<WasmBacktrace>().is_some());
    let texts: Vec<String> = error.chain().skip(skip).map(ToString::to_string).collect();
    texts.join(": ")
}

/// The functions that have a name, innermost first.
fn append_frames(reason: &mut String, backtrace: &WasmBacktrace) {
    let frames = backtrace.frames().iter();
    let mut separator = ", in ";
    for name in frames.filter_map(FrameInfo::func_name).take(FRAMES) {
        // Writing to a string never fails.
        let _ = write!(reason, "{separator}`{:#}`", demangle(name));
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
