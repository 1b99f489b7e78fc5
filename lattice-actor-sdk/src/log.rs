//! Messages to the host's log.
//!
//! The host passes each message to `tracing`, with the actor's id and the level of the macro. The
//! context is the path of the module that logs.
//!
//! ```
//! use lattice_actor_sdk::log;
//!
//! let guest = "Ada";
//! log::info!("{guest} checked in");
//! log::warn!("{} rooms left", 3);
//! log::log(log::Level::Debug, "door", "opened");
//! ```

pub use crate::bindings::wasi::logging::logging::Level;
// An exported macro is always in the crate's root, so its name there is one that can't clash.
#[doc(inline)]
pub use crate::{
    __log_critical as critical, __log_debug as debug, __log_error as error, __log_info as info,
    __log_trace as trace, __log_warn as warn,
};

/// Logs `message` under the given `context`.
pub fn log(level: Level, context: &str, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::wasi::logging::logging::log(level, context, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?} {context}: {message}");
}

/// Logs values and steps, to follow an actor as it runs. Takes the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($arguments:tt)+) => { $crate::__log!(Trace, $($arguments)+) };
}

/// Logs information that helps to find a fault. Takes the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($arguments:tt)+) => { $crate::__log!(Debug, $($arguments)+) };
}

/// Logs an event of normal operation. Takes the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($arguments:tt)+) => { $crate::__log!(Info, $($arguments)+) };
}

/// Logs an event that may lead to a failure. Takes the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($arguments:tt)+) => { $crate::__log!(Warn, $($arguments)+) };
}

/// Logs a failure. Takes the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($arguments:tt)+) => { $crate::__log!(Error, $($arguments)+) };
}

/// Logs that the actor can't continue. Takes the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_critical {
    ($($arguments:tt)+) => { $crate::__log!(Critical, $($arguments)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($arguments:tt)+) => {
        $crate::log::log(
            $crate::log::Level::$level,
            ::core::module_path!(),
            &::std::format!($($arguments)+),
        )
    };
}
