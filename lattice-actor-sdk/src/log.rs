//! Messages to the host's log.
//!
//! They arrive in the host's `tracing`, with the actor's id, at the level of the macro. The context is the path of the module that
//! logs.
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
// A macro is exported from the crate's root whatever its module, so it has a name there that is in nobody's way.
#[doc(inline)]
pub use crate::{
    __log_critical as critical, __log_debug as debug, __log_error as error, __log_info as info,
    __log_trace as trace, __log_warn as warn,
};

/// Logs `message` under a `context` of your own.
pub fn log(level: Level, context: &str, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::wasi::logging::logging::log(level, context, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?} {context}: {message}");
}

/// Logs values and steps, to follow an actor as it runs. Takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($arguments:tt)+) => { $crate::__log!(Trace, $($arguments)+) };
}

/// Logs what helps to find a fault. Takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($arguments:tt)+) => { $crate::__log!(Debug, $($arguments)+) };
}

/// Logs what is worth knowing of a healthy actor. Takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($arguments:tt)+) => { $crate::__log!(Info, $($arguments)+) };
}

/// Logs something that may become a fault. Takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($arguments:tt)+) => { $crate::__log!(Warn, $($arguments)+) };
}

/// Logs a failure. Takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($arguments:tt)+) => { $crate::__log!(Error, $($arguments)+) };
}

/// Logs that the actor can't go on. Takes what [`format!`] takes.
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
