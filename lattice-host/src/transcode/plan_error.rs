//! Why a function can't be planned.

/// Why a function can't be planned. This is detected when an actor is linked, before any call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("function `{function}` of `{interface}` {reason}")]
pub(crate) struct PlanError {
    /// Interface of the function.
    pub(crate) interface: String,
    /// The function.
    pub(crate) function: String,
    /// The part of its type that can't be planned.
    // This isn't a source, because the message contains it.
    pub(crate) reason: Unplannable,
}

/// The part of a function's type that can't be planned.
///
/// Paths are `parameter.field[].case`, with `result` as the first step of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unplannable {
    /// A type has no wire form yet.
    #[error(
        "has {kind} at `{path}`, which isn't supported yet; use a type made of plain values there"
    )]
    Unsupported {
        /// The place in the function's type.
        path: String,
        /// The type, as WIT names it.
        kind: &'static str,
    },
    /// A stream or future has a borrowed handle in it, which would outlive its call.
    #[error(
        "has a `borrow` in a stream or future at `{path}`, which would outlive its call; give the resource away there"
    )]
    BorrowInChannel {
        /// The place in the function's type.
        path: String,
    },
    /// A resource belongs to the host, or to no interface.
    #[error(
        "has a resource at `{path}` that the host itself serves, or that is in no interface, and that can't be passed to other components; pass what it stands for, or a resource of the interface's own"
    )]
    UnknownResource {
        /// The place in the function's type.
        path: String,
    },
    /// Types are nested too deeply.
    #[error("nests types more than {limit} deep at `{path}`; flatten them")]
    TooDeep {
        /// The place in the function's type.
        path: String,
        /// Deepest nesting allowed.
        limit: usize,
    },
    /// The types have too many parts.
    #[error("has more than {limit} fields and cases in all; split it")]
    TooComplex {
        /// Most nodes, fields and cases.
        limit: usize,
    },
    /// A single value takes too much memory.
    #[error(
        "has a value of {size} bytes at `{path}`, more than {limit}; use a list without a fixed length"
    )]
    TooLarge {
        /// The place in the function's type.
        path: String,
        /// Bytes the value takes in guest memory.
        size: u64,
        /// Most bytes.
        limit: u64,
    },
}
