//! Every metric there is: its name, unit, kind and attributes, and what it means.
//!
//! Those of calls, HTTP and processes are the conventions of OpenTelemetry, and their names are
//! too. The others begin with `lattice.`.

/// A metric, as all hosts have it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instrument {
    /// Its name for OpenTelemetry: `lattice.queue.calls`.
    pub name: &'static str,
    /// Its unit by UCUM: `s`, `By`, or what is counted, in braces.
    pub unit: &'static str,
    /// What kind of values it has.
    pub kind: Kind,
    /// The names of the attributes that its series may have.
    pub attributes: &'static [&'static str],
    /// What it means, in one sentence.
    pub about: &'static str,
}

/// The kind of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A sum that only rises, until the process or what is counted starts anew.
    Counter,
    /// A number that rises and falls, of which the sum over all series makes sense.
    Level,
    /// A number that rises and falls, of which the sum makes none.
    Gauge,
    /// Durations in seconds.
    Histogram,
}

/// The id of a component.
pub const COMPONENT: &str = "lattice.component";

macro_rules! instruments {
    ($($id:ident: $kind:ident $name:literal [$unit:literal] ($($attribute:literal),*) $about:literal)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $about)]
            pub static $id: Instrument = Instrument {
                name: $name,
                unit: $unit,
                kind: Kind::$kind,
                attributes: &[$($attribute),*],
                about: $about,
            };
        )*

        /// All of them.
        pub static INSTRUMENTS: &[&Instrument] = &[$(&$id),*];
    };
}

instruments! {
    CLIENT_CALLS: Histogram "rpc.client.call.duration" ["s"]
        ("rpc.method", "rpc.system.name", "error.type")
        "How long the calls that were made here took, with all attempts."
    SERVER_CALLS: Histogram "rpc.server.call.duration" ["s"]
        ("rpc.method", "rpc.system.name", "error.type")
        "How long the calls of components here took, with the wait for their turn."
    NOT_GRANTED: Counter "lattice.call.not_granted" ["{call}"] ()
        "Calls that were not made, because no link and no open wormhole allows them."

    COMPONENT_CALLS: Counter "lattice.component.calls" ["{call}"] ("lattice.component")
        "Calls that a component here took or refused, since it was put into service."
    COMPONENT_ERRORS: Counter "lattice.component.errors" ["{call}"] ("lattice.component")
        "Those of them that ended in an error."
    QUEUE_CALLS: Level "lattice.queue.calls" ["{call}"] ("lattice.component", "lattice.call.state")
        "Calls in the queue of a component: those that have their turn, `running`, and those that wait for it, `waiting`."
    QUEUE_REFUSED: Counter "lattice.queue.refused" ["{call}"] ("lattice.component")
        "Calls that a component refused before they began, because its queue was full or it was stopping."
    QUEUE_ARGUMENTS: Level "lattice.queue.arguments" ["By"] ("lattice.component")
        "Bytes of the arguments of the calls in the queue of a component."

    INSTANCES: Level "lattice.instance.count" ["{instance}"] ("lattice.component", "lattice.instance.state")
        "Instances of an actor: those that serve a call, `busy`, those that wait for the next one, `idle`, and those that stay for what they have given away, `kept`."
    INSTANCES_STARTED: Counter "lattice.instance.started" ["{instance}"] ("lattice.component")
        "Instances of an actor that were started."
    INSTANCES_FAILED: Counter "lattice.instance.failed" ["{instance}"] ("lattice.component", "error.type")
        "Instances of an actor that ended with a trap, or over a limit."
    GUEST_MEMORY: Level "lattice.guest.memory" ["By"] ()
        "Memory that the guests of the engine use."
    GUEST_MEMORY_LIMIT: Gauge "lattice.guest.memory.limit" ["By"] ()
        "Memory that the guests of the engine may use together."
    MESSAGE_MEMORY: Level "lattice.message.memory" ["By"] ("lattice.message.kind")
        "Memory that messages take: `received`, `calls`, `sending`, `results`."
    MESSAGE_MEMORY_LIMIT: Gauge "lattice.message.memory.limit" ["By"] ("lattice.message.kind")
        "Memory that the messages of a kind may take."
    PROCESS_MEMORY: Level "process.memory.usage" ["By"] ()
        "Resident memory of the host's process."

    SESSIONS: Level "lattice.session.count" ["{session}"] ()
        "Sessions with other hosts that are open."
    STREAMS: Level "lattice.stream.count" ["{stream}"] ()
        "Ends of streams to and from other hosts that are open."
    HANDLES: Level "lattice.handle.count" ["{handle}"] ("lattice.handle.side")
        "Handles of resources across hosts: `given` to other hosts, and `held` of theirs."

    BUS_MESSAGES: Counter "lattice.bus.messages" ["{message}"] ("network.io.direction")
        "Messages that were given to the bus, `transmit`, and taken from it, `receive`."
    BUS_IO: Counter "lattice.bus.io" ["By"] ("network.io.direction")
        "Bytes of those messages, without what the bus adds."
    BUS_REFUSED: Counter "lattice.bus.refused" ["{message}"] ()
        "Messages that were dropped because they were forged, repeated, malformed, or not for this host."
    BUS_RECONNECTS: Counter "lattice.bus.reconnects" ["{reconnect}"] ()
        "How often the bus was lost and is back."
    BUS_CONNECTED: Gauge "lattice.bus.connected" ["{connection}"] ()
        "1 while the bus is connected, and 0 while it is not."
    BUS_IN_FLIGHT: Level "lattice.bus.in_flight" ["{call}"] ()
        "Calls to other hosts that wait for their reply."
    BUS_SEND_QUEUE: Level "lattice.bus.send_queue" ["By"] ()
        "Bytes of calls to other hosts that wait to be sent."

    STORE_OPERATIONS: Histogram "lattice.store.operation.duration" ["s"]
        ("lattice.store.operation", "error.type")
        "How long operations of the store took: `read`, `commit`, `lease`. A commit that another writer came before has the error `conflict`."
    STORE_FOLLOWS: Gauge "lattice.store.follows" ["{store}"] ()
        "1 while this process follows the store, and 0 while it works with what it knew."
    STORE_REVISION: Gauge "lattice.store.revision" ["{revision}"] ()
        "The newest revision of the store that this process has taken in."
    STORE_LAG: Gauge "lattice.store.watch.lag" ["{revision}"] ()
        "How many revisions this process is behind the newest one that it has written or received."
    STORE_REFUSED: Counter "lattice.store.refused" ["{value}"] ()
        "Values in the store that were refused: forged, malformed, too new, or repeated."

    PLACEMENT_REPLICAS: Level "lattice.placement.replicas" ["{replica}"]
        ("lattice.component", "lattice.replica.state")
        "Replicas of this host's share: `wanted`, `serving`, and `failed`, those that fail again and again."
    PLACEMENT_PLAN: Gauge "lattice.placement.plan.duration" ["s"] ()
        "How long the last computation of the placement took."
    PLACEMENT_LEASES: Level "lattice.placement.leases" ["{lease}"] ()
        "Leases that this host holds, of components that run once."
    HOSTS: Gauge "lattice.host.live" ["{host}"] ()
        "Live hosts, as this one sees them."
    UPTIME: Gauge "lattice.host.uptime" ["s"] ("lattice.name", "lattice.host")
        "How long the host has been up."

    HTTP_SERVER: Histogram "http.server.request.duration" ["s"]
        ("http.request.method", "url.scheme", "http.response.status_code", "error.type", "lattice.wormhole")
        "How long requests took that came in through wormholes, until the head of their response."
    HTTP_ACTIVE: Level "http.server.active_requests" ["{request}"] ("url.scheme")
        "Requests that have come in and have no response yet."
    HTTP_CLIENT: Histogram "http.client.request.duration" ["s"]
        ("http.request.method", "http.response.status_code", "error.type")
        "How long requests took that were sent to the web, until the head of their response. One that was given up has the error type cancelled, or timeout at the deadline of its call."

    PROVIDER_CPU: Counter "lattice.provider.cpu.time" ["s"] ("lattice.component")
        "CPU time that the process of a provider has used, since it was started."
    PROVIDER_MEMORY: Level "lattice.provider.memory.usage" ["By"] ("lattice.component")
        "Resident memory of the process of a provider."
    PROVIDER_RESTARTS: Counter "lattice.provider.restarts" ["{restart}"] ("lattice.component")
        "How often the process of a provider was started again."
}
