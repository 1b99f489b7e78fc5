//! The names of methods and errors in metrics. There are few of each.

use crate::{
    call::CallError,
    name::{FunctionName, InterfaceName},
};

/// The method of calls to functions that don't exist, by the conventions of OpenTelemetry. Their
/// names come from callers, and there is no end to them.
pub const UNKNOWN_METHOD: &str = "_OTHER";

/// Returns the name of a method: `package/interface/function`, without a version.
pub(super) fn method(interface: &InterfaceName, function: &FunctionName) -> String {
    format!("{}/{function}", interface.path())
}

/// Returns the value of `error.type` for the error of a call.
pub fn error_type(error: &CallError) -> &'static str {
    match error {
        CallError::NotLinked { .. } => "not_linked",
        CallError::LinkRejected { .. } => "link_rejected",
        CallError::NotServed { .. } => "not_served",
        CallError::NotExported { .. } => "not_exported",
        CallError::SchemaMismatch { .. } => "schema_mismatch",
        CallError::Overloaded { .. } => "overloaded",
        CallError::TooLarge { .. } => "too_large",
        CallError::LinkTableBehind => "link_table_behind",
        CallError::DeadlineExceeded { .. } => "deadline_exceeded",
        CallError::TooManyHops { .. } => "too_many_hops",
        CallError::BadArguments { .. } => "bad_arguments",
        CallError::BadResult { .. } => "bad_result",
        CallError::CalleeFailed { .. } => "callee_failed",
        CallError::InstanceLost { .. } => "instance_lost",
        CallError::HostLost { .. } => "host_lost",
        CallError::HostGone { .. } => "host_gone",
        CallError::Stopping { .. } => "stopping",
        CallError::Disconnected { .. } => "disconnected",
        CallError::OperatorDenied => "operator_denied",
        CallError::StoreUnavailable { .. } => "store_unavailable",
        CallError::InvalidName(_) => "invalid_name",
        CallError::LimitExceeded { .. } => "limit_exceeded",
        CallError::StaleHandle { .. } => "stale_handle",
        CallError::TooManySessions { .. } => "too_many_sessions",
        CallError::WormholeClosed { .. } => "wormhole_closed",
        // `Unrecognised`, and what is newer than this.
        _ => "_OTHER",
    }
}

/// Whether the error says that there is no such method.
pub(super) fn is_of_no_method(error: &CallError) -> bool {
    matches!(
        error,
        CallError::NotExported { .. } | CallError::SchemaMismatch { .. }
    )
}
