//! Reports and logs of a node.

pub(crate) mod logs;
pub(crate) mod report;

pub use logs::LogSink;
