//! Reads the metrics of a node.

use super::{
    Family, Metrics,
    instruments::{self as is, COMPONENT},
};
use crate::{
    budget::Budget,
    bus::BusState,
    measure::CallSeries,
    name::ComponentId,
    server::component::RunningComponent,
    telemetry::{Telemetry, report::resident_memory},
    trace::SYSTEM,
};
use std::sync::Arc;

impl Telemetry {
    /// Reads the metrics of this node. From now on, the durations of calls are recorded.
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new(self.since);
        self.server.connection.counts.calls.turn_on();
        self.add_calls(&mut metrics);
        self.add_components(&mut metrics);
        self.add_memory(&mut metrics);
        self.add_streams(&mut metrics);
        self.add_bus(&mut metrics);
        self.add_store(&mut metrics);
        self.add_host(&mut metrics);
        metrics
    }

    fn add_calls(&self, metrics: &mut Metrics) {
        let calls = &self.server.connection.counts.calls;
        add_series(metrics.family(&is::CLIENT_CALLS), &calls.client);
        add_series(metrics.family(&is::SERVER_CALLS), &calls.server);
        metrics.set(&is::NOT_GRANTED, calls.not_granted());
    }

    /// Adds what each component in service counts, in the order of their ids, so that the same ones
    /// have series of their own each time.
    fn add_components(&self, metrics: &mut Metrics) {
        let running = self.server.registry.snapshot();
        let mut running: Vec<_> = running.values().collect();
        running.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        for component in running {
            add_component(metrics, component);
            add_process(metrics, component);
        }
    }

    fn add_memory(&self, metrics: &mut Metrics) {
        let budgets = &self.server.connection.budgets;
        let kinds: [(&str, &Budget); 4] = [
            ("received", &budgets.received),
            ("calls", &budgets.calls),
            ("sending", &budgets.sending),
            ("results", &budgets.results),
        ];
        for (kind, budget) in kinds {
            let kind = || [("lattice.message.kind", kind.to_owned())];
            let (used, limit) = (budget.held(), budget.limit());
            metrics.family(&is::MESSAGE_MEMORY).add(kind(), used);
            metrics.family(&is::MESSAGE_MEMORY_LIMIT).add(kind(), limit);
        }
        if let Some(memory) = resident_memory() {
            metrics.set(&is::PROCESS_MEMORY, memory);
        }
    }

    fn add_streams(&self, metrics: &mut Metrics) {
        let transport = &self.server.transport;
        metrics.set(&is::SESSIONS, transport.open_sessions());
        metrics.set(&is::STREAMS, transport.streams.open());
        let ledger = &self.server.connection.handles;
        let (given, held) = ledger.counts(transport.origin());
        let handles = metrics.family(&is::HANDLES);
        for (side, count) in [("given", given), ("held", held)] {
            handles.add([("lattice.handle.side", side.to_owned())], count);
        }
    }

    fn add_bus(&self, metrics: &mut Metrics) {
        let (transport, connection) = (&self.server.transport, &self.server.connection);
        let counts = &connection.counts.bus;
        let directions = [
            ("transmit", counts.sent.read()),
            ("receive", counts.received.read()),
        ];
        for (direction, (messages, bytes)) in directions {
            let direction = || [("network.io.direction", direction.to_owned())];
            metrics.family(&is::BUS_MESSAGES).add(direction(), messages);
            metrics.family(&is::BUS_IO).add(direction(), bytes);
        }
        metrics.set(&is::BUS_REFUSED, transport.endpoint.refused());
        metrics.set(&is::BUS_RECONNECTS, connection.presence.reconnects());
        let is_connected = connection.bus.watch_state().current() == BusState::Connected;
        metrics.set(&is::BUS_CONNECTED, is_connected);
        metrics.set(&is::BUS_IN_FLIGHT, transport.in_flight.len());
        let queued: usize = transport.peers().values().map(|peer| peer.queued()).sum();
        metrics.set(&is::BUS_SEND_QUEUE, queued);
    }

    fn add_store(&self, metrics: &mut Metrics) {
        let (counts, health) = (
            &self.server.connection.counts.store,
            self.server.connection.replica.health(),
        );
        let operations = metrics.family(&is::STORE_OPERATIONS);
        for ((operation, error), (), times) in counts.read().series {
            let operation = ("lattice.store.operation", operation.name().to_owned());
            let error = error.map(|error| ("error.type", error.to_owned()));
            operations.add([operation].into_iter().chain(error), times);
        }
        metrics.set(&is::STORE_FOLLOWS, health.state.is_live());
        metrics.set(&is::STORE_REVISION, health.revision.0);
        let lag = counts.newest().0.saturating_sub(health.revision.0);
        metrics.set(&is::STORE_LAG, lag);
        metrics.set(&is::STORE_REFUSED, health.refused);
    }

    fn add_host(&self, metrics: &mut Metrics) {
        let connection = &self.server.connection;
        let hosts = connection.presence.current().iter().count();
        metrics.set(&is::HOSTS, hosts);
        let names = [
            ("lattice.name", connection.name.to_string()),
            ("lattice.host", self.server.origin().host.to_string()),
        ];
        let uptime = self.statuses.uptime().as_secs_f64();
        metrics.family(&is::UPTIME).add(names, uptime);
    }
}

fn add_series(family: &mut Family, series: &CallSeries) {
    let recorded = series.read();
    for (key, method, times) in recorded.series {
        let attributes = [
            ("rpc.method", method.to_string()),
            ("rpc.system.name", SYSTEM.to_owned()),
        ];
        let error = key.error.map(|error| ("error.type", error.to_owned()));
        family.add(attributes.into_iter().chain(error), times);
    }
    if let Some(other) = recorded.other {
        family.add_other(other);
    }
}

fn add_component(metrics: &mut Metrics, component: &RunningComponent) {
    let of = || of(&component.id);
    let (calls, errors) = component.meter.counts();
    metrics.family(&is::COMPONENT_CALLS).add([of()], calls);
    metrics.family(&is::COMPONENT_ERRORS).add([of()], errors);
    let refused = component.meter.refusals();
    metrics.family(&is::QUEUE_REFUSED).add([of()], refused);
    let (running, waiting) = component.running_and_waiting();
    let queue = metrics.family(&is::QUEUE_CALLS);
    for (state, count) in [("running", running), ("waiting", waiting)] {
        let state = ("lattice.call.state", state.to_owned());
        queue.add([of(), state], count);
    }
    let bytes = component.argument_bytes();
    metrics.family(&is::QUEUE_ARGUMENTS).add([of()], bytes);
}

/// Adds what is known of the process that serves in place of a component, if one does.
fn add_process(metrics: &mut Metrics, component: &Arc<RunningComponent>) {
    let Some(usage) = component.process() else {
        return;
    };
    let of = || of(&component.id);
    let restarts = usage.restarts;
    metrics.family(&is::PROVIDER_RESTARTS).add([of()], restarts);
    if let Some(memory) = usage.memory {
        metrics.family(&is::PROVIDER_MEMORY).add([of()], memory);
    }
    if let Some(cpu) = usage.cpu {
        let cpu = cpu.as_secs_f64();
        metrics.family(&is::PROVIDER_CPU).add([of()], cpu);
    }
}

fn of(component: &ComponentId) -> (&'static str, String) {
    (COMPONENT, component.to_string())
}
