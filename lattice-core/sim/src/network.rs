//! The simulated bus: every message is in flight for some time, and may be lost, duplicated or cut
//! off.
//!
//! The fate of a message depends on the seed, on its sender and receiver, and on how many messages
//! of its kind were sent that way before. It doesn't depend on other hosts, so one message more or
//! less leaves the fate of the others unchanged.

use super::schedule::HostIndex;
use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use lattice_core::{
    __private::{QueueReader, QueueWriter, Random, queue},
    Watch,
    bus::{Body, Bus, BusError, BusState, Message, Subscription},
    subject::Subject,
    sync::Mutex,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    pin::Pin,
    sync::{Arc, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The default of a NATS server.
const MAX_PAYLOAD: usize = 1024 * 1024;
/// How long the subscriptions of a host remain after its machine has lost power.
const LINGER: Duration = Duration::from_secs(10);

/// The treatment of messages from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Open,
    /// They are lost silently.
    Drops,
    /// The bus reports that there is no receiver.
    NoResponders,
}

/// Random faults of messages between hosts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noise {
    pub(super) lose: u8,
    pub(super) double: u8,
    pub(super) delay: u16,
}

/// Which hosts are cut off from the others.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub(super) side: BTreeSet<HostIndex>,
    pub(super) way: Path,
}

/// Everything between the hosts. It has one lock, and is only used from the thread that runs the
/// simulation.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<Traffic>>);

struct Traffic {
    seed: u64,
    now: Duration,
    tick: Duration,
    hosts: Vec<watch::Sender<BusState>>,
    subscribers: BTreeMap<u64, Subscriber>,
    next: u64,
    /// By arrival time, then by the order in which they were sent.
    flights: BTreeMap<(Duration, u64), Flight>,
    /// When the last message from a host to a subscription arrives: none overtakes another.
    last: HashMap<(HostIndex, u64), Duration>,
    /// How many messages of each kind went from one host to another.
    sent: HashMap<(HostIndex, HostIndex, u8), u64>,
    noise: Noise,
    cuts: BTreeMap<u64, Cut>,
    /// The host that is losing power.
    losing_power: Option<HostIndex>,
}

struct Subscriber {
    host: HostIndex,
    subject: Subject,
    group: Option<Box<str>>,
    /// `None` after its host has lost power.
    writer: Option<QueueWriter<Message>>,
    gone_at: Option<Duration>,
}

struct Flight {
    from: HostIndex,
    to: u64,
    message: Message,
}

/// One host's connection.
pub(super) struct SimBus {
    network: Network,
    host: HostIndex,
}

impl Network {
    pub(super) fn new(seed: u64, tick: Duration) -> Self {
        Self(Arc::new(Mutex::new(Traffic {
            seed,
            now: Duration::ZERO,
            tick,
            hosts: Vec::new(),
            subscribers: BTreeMap::new(),
            next: 0,
            flights: BTreeMap::new(),
            last: HashMap::new(),
            sent: HashMap::new(),
            noise: Noise::default(),
            cuts: BTreeMap::new(),
            losing_power: None,
        })))
    }

    /// Adds a host.
    pub(super) fn add(&self) {
        let mut state = self.lock();
        state.hosts.push(watch::Sender::new(BusState::Connected));
    }

    pub(super) fn connection(&self, host: HostIndex) -> SimBus {
        SimBus {
            network: self.clone(),
            host,
        }
    }

    /// Advances time, and delivers the messages that have arrived.
    pub(super) fn advance(&self, now: Duration) {
        let mut state = self.lock();
        state.now = now;
        let gone = |subscriber: &Subscriber| subscriber.gone_at.is_some_and(|at| at <= now);
        state.subscribers.retain(|_, subscriber| !gone(subscriber));
        while let Some(first) = state.flights.first_entry() {
            if first.key().0 > now {
                break;
            }
            let flight = first.remove();
            state.land(flight);
        }
    }

    pub(super) fn set_noise(&self, change: impl FnOnce(&mut Noise)) {
        change(&mut self.lock().noise);
    }

    /// Cuts off some hosts, until [`mend`](Self::mend) is called with the same number.
    pub(super) fn cut(&self, number: u64, cut: Cut) {
        self.lock().cuts.insert(number, cut);
    }

    pub(super) fn mend(&self, number: u64) {
        self.lock().cuts.remove(&number);
    }

    pub(super) fn set_connection(&self, host: HostIndex, connection: BusState) {
        let state = self.lock();
        if let Some(known) = state.hosts.get(host.0)
            && *known.borrow() != connection
        {
            known.send_replace(connection);
        }
    }

    /// Returns whether messages pass from one host to another.
    pub(super) fn is_open(&self, from: HostIndex, to: HostIndex) -> bool {
        let state = self.lock();
        let is_up = |host| state.state(host) == BusState::Connected;
        is_up(from) && is_up(to) && state.way(from, to) == Path::Open
    }

    /// Returns whether a host reaches the store, which is never on the side that is cut off.
    pub(super) fn reaches_store(&self, host: HostIndex) -> bool {
        let state = self.lock();
        !state.cuts.values().any(|cut| cut.side.contains(&host))
    }

    /// Runs `falls`, during which the subscriptions of `host` stay and swallow their messages.
    pub(super) fn during_power_loss<T>(&self, host: HostIndex, falls: impl FnOnce() -> T) -> T {
        self.lock().losing_power = Some(host);
        let fallen = falls();
        self.lock().losing_power = None;
        fallen
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock()
    }
}

impl Traffic {
    fn way(&self, from: HostIndex, to: HostIndex) -> Path {
        let separates = |cut: &&Cut| cut.side.contains(&from) != cut.side.contains(&to);
        let ways = self.cuts.values().filter(separates).map(|cut| cut.way);
        ways.reduce(|way, other| {
            if way == Path::NoResponders {
                other
            } else {
                way
            }
        })
        .unwrap_or(Path::Open)
    }

    fn state(&self, host: HostIndex) -> BusState {
        let state = self.hosts.get(host.0).map(|state| *state.borrow());
        state.unwrap_or(BusState::Closed)
    }

    fn check(&self, host: HostIndex) -> Result<(), BusError> {
        match self.state(host) {
            BusState::Connected => Ok(()),
            BusState::Disconnected => Err(BusError::Disconnected),
            _ => Err(BusError::Closed),
        }
    }

    fn publish(
        &mut self,
        from: HostIndex,
        subject: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> Result<(), BusError> {
        self.check(from)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(BusError::TooLarge {
                size: payload.len(),
                limit: MAX_PAYLOAD,
            });
        }
        let to = self.receivers(from, &subject);
        let message = Message {
            subject,
            reply,
            body: Body::Payload(payload),
            received: Instant::now(),
        };
        for id in &to {
            self.send(from, *id, &message);
        }
        if to.is_empty()
            && let Some(reply) = message.reply
        {
            self.send_no_responders(from, reply);
        }
        Ok(())
    }

    /// Returns the subscriptions to a subject that the sender's side of the bus knows, with one
    /// member of each queue group.
    fn receivers(&self, from: HostIndex, subject: &Subject) -> Vec<u64> {
        let mut groups: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut each = Vec::new();
        for (id, subscriber) in &self.subscribers {
            let is_there = self.state(subscriber.host) == BusState::Connected
                && self.way(from, subscriber.host) != Path::NoResponders;
            if !is_there || !subscriber.subject.matches(subject) {
                continue;
            }
            match &subscriber.group {
                None => each.push(*id),
                Some(group) => groups.entry(group).or_default().push(*id),
            }
        }
        for members in groups.into_values() {
            let turn = self.sent.values().sum::<u64>();
            let mut random = Random::new(self.seed ^ turn);
            each.push(members[random.below(members.len() as u64) as usize]);
        }
        each
    }

    fn send_no_responders(&mut self, publisher: HostIndex, reply: Subject) {
        let message = Message {
            subject: reply,
            reply: None,
            body: Body::NoResponders,
            received: Instant::now(),
        };
        let own = |(id, subscriber): (&u64, &Subscriber)| {
            let hears =
                subscriber.host == publisher && subscriber.subject.matches(&message.subject);
            hears.then_some(*id)
        };
        let own: Vec<u64> = self.subscribers.iter().filter_map(own).collect();
        for id in own {
            self.send(publisher, id, &message);
        }
    }

    /// Decides the fate of one message to one subscription.
    fn send(&mut self, from: HostIndex, id: u64, message: &Message) {
        let Some(to) = self.subscribers.get(&id).map(|subscriber| subscriber.host) else {
            return;
        };
        let kind = kind(&message.subject);
        let number = self.sent.entry((from, to, kind)).or_default();
        *number += 1;
        let way = (from.0 as u64) << 16 | (to.0 as u64) << 8 | u64::from(kind);
        let mut random = Random::new(self.seed ^ Random::new(way << 32 ^ *number).next());
        let noise = if from == to {
            Noise::default()
        } else {
            self.noise
        };
        if random.chance(f64::from(noise.lose) / 100.0) {
            return;
        }
        let copies = 1 + u8::from(random.chance(f64::from(noise.double) / 100.0));
        for _ in 0..copies {
            let delay = random.up_to(Duration::from_millis(u64::from(noise.delay)));
            let last = self.last.entry((from, id)).or_default();
            let due = (self.now + self.tick + delay).max(*last);
            *last = due;
            self.next += 1;
            let flight = Flight {
                from,
                to: id,
                message: message.clone(),
            };
            self.flights.insert((due, self.next), flight);
        }
    }

    fn land(&mut self, flight: Flight) {
        let Some(subscriber) = self.subscribers.get(&flight.to) else {
            return;
        };
        let arrives = self.way(flight.from, subscriber.host) == Path::Open
            && self.state(subscriber.host) == BusState::Connected;
        if arrives && let Some(writer) = &subscriber.writer {
            writer.push(flight.message);
        }
    }

    fn leave(&mut self, id: u64) {
        let losing_power = self.losing_power;
        let now = self.now;
        self.last.retain(|(_, to), _| *to != id);
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        if losing_power == Some(subscriber.host) {
            subscriber.writer = None;
            subscriber.gone_at = Some(now + LINGER);
        } else {
            self.subscribers.remove(&id);
        }
    }
}

/// Messages of different kinds have independent fates.
fn kind(subject: &Subject) -> u8 {
    let text = subject.as_str();
    match text.rsplit('.').next() {
        _ if text.contains(".reply.") => 0,
        Some("call") => 1,
        Some("beat") => 2,
        Some("report") => 3,
        Some("session") => 5,
        _ => 4,
    }
}

/// The reading end of a subscription.
struct Reader {
    items: QueueReader<Message>,
    network: Network,
    id: u64,
}

impl Stream for Reader {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let message = std::task::ready!(Pin::new(&mut self.items).poll_next(cx));
        // Only the reader's own runtime has the simulated time.
        Poll::Ready(message.map(|message| Message {
            received: Instant::now(),
            ..message
        }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.network.lock().leave(self.id);
    }
}

impl SimBus {
    fn open(
        &self,
        subject: Subject,
        group: Option<&str>,
        capacity: usize,
    ) -> Result<Subscription, BusError> {
        let mut state = self.network.lock();
        state.check(self.host)?;
        let (writer, items) = queue(capacity);
        state.next += 1;
        let id = state.next;
        let subscriber = Subscriber {
            host: self.host,
            subject,
            group: group.map(Into::into),
            writer: Some(writer),
            gone_at: None,
        };
        state.subscribers.insert(id, subscriber);
        drop(state);
        let dropped = items.dropped();
        let reader = Reader {
            items,
            network: self.network.clone(),
            id,
        };
        Ok(Subscription::new(reader, dropped))
    }
}

impl Bus for SimBus {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move { self.network.lock().publish(self.host, to, reply, payload) })
    }

    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        Box::pin(async move { self.open(subject, None, capacity) })
    }

    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let group: Box<str> = group.into();
        Box::pin(async move { self.open(subject, Some(&group), capacity) })
    }

    fn watch_state(&self) -> Watch<BusState> {
        let state = self.network.lock();
        let states = match state.hosts.get(self.host.0) {
            Some(known) => known.subscribe(),
            None => watch::Sender::new(BusState::Closed).subscribe(),
        };
        states.into()
    }

    fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move { self.network.lock().check(self.host) })
    }
}

impl fmt::Debug for SimBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBus")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
