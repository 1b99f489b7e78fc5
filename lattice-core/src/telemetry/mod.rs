//! What is known of a node while it runs: its [metrics], what it sends to watchers, which are
//! reports of its components and their log lines, and which calls have failed on it.

pub(crate) mod failures;
pub(crate) mod logs;
pub mod metrics;
mod periods;
pub(crate) mod report;

pub use logs::LogSink;
pub use metrics::Metrics;

use crate::{
    name::ComponentId,
    server::Server,
    transport::Endpoint,
    wire::{ComponentStatus, MemoryUse},
};
use report::Statuses;
use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

/// Reads the memory of guests.
pub(crate) type ReadMemory = Box<dyn Fn() -> MemoryUse + Send + Sync>;

/// The reports and logs of one node.
pub(crate) struct Telemetry {
    server: Arc<Server>,
    statuses: Statuses,
    logs: LogSink,
    /// Reads the memory of the guests, if the host runs some.
    guest_memory: OnceLock<ReadMemory>,
    /// When the node joined.
    since: SystemTime,
}

impl Telemetry {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            statuses: Statuses::new(),
            logs: LogSink::default(),
            guest_memory: OnceLock::new(),
            since: SystemTime::now(),
        }
    }

    /// The sink for the log lines of components.
    pub(crate) fn log_sink(&self) -> &LogSink {
        &self.logs
    }

    pub(crate) fn set_status(&self, component: &ComponentId, status: ComponentStatus) {
        self.statuses.set(component, status);
    }

    pub(crate) fn clear_status(&self, component: &ComponentId) {
        self.statuses.clear(component);
    }

    /// Reports the memory of guests from now on. Only the first reader counts.
    pub(crate) fn report_guest_memory(&self, read: ReadMemory) {
        let _ = self.guest_memory.set(read);
    }

    fn guest_memory(&self) -> Option<MemoryUse> {
        self.guest_memory.get().map(|read| read())
    }

    fn endpoint(&self) -> &Endpoint {
        &self.server.transport.endpoint
    }
}
