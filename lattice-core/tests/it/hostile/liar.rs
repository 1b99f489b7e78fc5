//! A member of the lattice that speaks its protocol by hand, and doesn't keep to it.

use super::*;
pub(super) use crate::calls::handles::ANY;
use lattice_core::{
    call::FunctionRef,
    wire::{
        self, Body as _, CancelReason, HandleName, Item, Opening, Passed, Probe, ProbeAck,
        ReplyEnvelope, SessionItem, SessionName,
    },
};
use std::collections::VecDeque;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// How many messages may wait for a liar.
const WAITING: usize = 65_536;
/// The deadline of its calls.
const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(5);

/// A boot of a host that has the lattice's key and deals with host `b`. It answers probes until it
/// is dropped.
pub(super) struct Liar {
    wire: Arc<Wire>,
    items: Subscription,
    replies: Subscription,
    /// Items that were read, and that nothing has waited for yet.
    read: VecDeque<SessionItem>,
    calls: mpsc::UnboundedReceiver<Called>,
    last_call: u64,
    last_session: u64,
    _inbox: AbortOnDropHandle<()>,
}

/// What a liar sends with.
struct Wire {
    me: Origin,
    /// The host that it deals with.
    peer: Origin,
    bus: MemoryBus,
    auth: Auth,
    subjects: Subjects,
    sequence: AtomicU64,
}

/// A call that a liar has received.
pub(super) struct Called {
    from: Origin,
    reply: Subject,
    pub(super) call: CallEnvelope,
}

/// A function with this name that can pass handles.
pub(super) fn passing(name: &str) -> FunctionRef {
    function(name, ANY)
}

pub(super) fn chunk(number: u64, elements: u32, bytes: impl Into<Bytes>) -> Item {
    let bytes = bytes.into();
    Item::Chunk {
        number,
        elements,
        bytes,
    }
}

pub(super) fn credit(received: u64, bytes: u64) -> Item {
    Item::Credit {
        received,
        bytes,
        elements: u64::MAX,
        taken: 0,
        gap: false,
    }
}

/// A value with these handles and nothing else.
pub(super) fn passed(names: &[HandleName]) -> Bytes {
    let passed = Passed {
        names: names.to_vec(),
        value: Bytes::from(vec![0; names.len()]),
    };
    passed.encode().expect("it encodes")
}

fn encoded(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut buf = BytesMut::new();
    write(&mut buf);
    buf.freeze()
}

impl Scene {
    /// Joins a liar with this host id.
    pub(super) async fn liar(&self, name: &str) -> Liar {
        let me = Origin::new(host_id(name), 1);
        let subscribe = async |subject| {
            let subscribed = self.attacker.subscribe(subject, WAITING).await;
            subscribed.expect("subscribed")
        };
        let (host, epoch) = (&me.host, me.epoch);
        let inbox = subscribe(self.subjects.call(host, epoch)).await;
        let items = subscribe(self.subjects.session(host, epoch)).await;
        let replies = subscribe(self.subjects.replies(host, epoch)).await;
        let wire = Arc::new(Wire {
            peer: self.two.b.origin().clone(),
            bus: self.attacker.clone(),
            auth: self.auth.clone(),
            subjects: self.subjects.clone(),
            sequence: AtomicU64::new(0),
            me,
        });
        let (sender, calls) = mpsc::unbounded_channel();
        let inbox = tokio::spawn(wire.clone().read(inbox, sender));
        Liar {
            wire,
            items,
            replies,
            read: VecDeque::new(),
            calls,
            last_call: 0,
            last_session: 0,
            _inbox: AbortOnDropHandle::new(inbox),
        }
    }
}

impl Wire {
    /// Sends a frame with these envelopes.
    async fn send(
        &self,
        subject: Subject,
        (kind, to): (Kind, &Origin),
        envelopes: impl IntoIterator<Item = Bytes>,
    ) {
        let mut writer = FrameWriter::new(self.me.clone(), Some(to.clone()), kind, Lane::Small);
        for envelope in envelopes {
            let write = |buf: &mut BytesMut| buf.extend_from_slice(&envelope);
            writer.push(write).expect("room");
        }
        let number = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = writer.seal(&self.auth, number);
        let sent = self.bus.publish(subject, None, bytes).await;
        sent.expect("sent");
        tokio::task::yield_now().await;
    }

    /// Answers probes, and passes calls on.
    async fn read(self: Arc<Self>, mut inbox: Subscription, calls: mpsc::UnboundedSender<Called>) {
        while let Some(message) = inbox.next().await {
            let (Some(reply), Body::Payload(bytes)) = (message.reply, message.body) else {
                continue;
            };
            let frame = Frame::open(&self.auth, bytes).expect("a frame");
            for envelope in frame.envelopes() {
                match frame.kind() {
                    Kind::Probe => {
                        let ack = ProbeAck {
                            nonce: Probe::decode(envelope).expect("a probe").nonce,
                            epoch: self.me.epoch,
                        };
                        let ack = ack.encode().expect("it encodes");
                        let way = (Kind::ProbeAck, frame.sender());
                        self.send(reply.clone(), way, [ack]).await;
                    }
                    Kind::Call => {
                        let called = Called {
                            from: frame.sender().clone(),
                            reply: reply.clone(),
                            call: CallEnvelope::decode(envelope).expect("a call"),
                        };
                        // An error says that the test is over.
                        let _ = calls.send(called);
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Liar {
    pub(super) fn origin(&self) -> &Origin {
        &self.wire.me
    }

    /// Calls a function of a component, and takes handles from it. Returns the id of the call.
    async fn begin(
        &mut self,
        (component, name): (&str, &str),
        change: impl FnOnce(&mut CallEnvelope),
    ) -> u64 {
        self.last_call += 1;
        let mut call = CallEnvelope {
            id: self.last_call,
            function: passing(name).key(),
            deadline_left: LONG,
            target: id(component),
            instance: Some(0),
            has_handles: true,
            args: Bytes::new(),
            ..call_envelope(Source::Operator)
        };
        change(&mut call);
        let id = call.id;
        self.send_calls([encoded(|buf| call.encode_into(buf))])
            .await;
        id
    }

    async fn send_calls(&self, calls: impl IntoIterator<Item = Bytes>) {
        let peer = &self.wire.peer;
        let subject = self.wire.subjects.call(&peer.host, peer.epoch);
        self.wire.send(subject, (Kind::Call, peer), calls).await;
    }

    /// Makes a call with these handles, as one message.
    pub(super) async fn call(&mut self, at: (&str, &str), names: &[HandleName]) -> ReplyEnvelope {
        let id = self.begin(at, |call| call.args = passed(names)).await;
        self.reply(id).await
    }

    /// Makes a call that is changed before it is sent.
    pub(super) async fn call_with(
        &mut self,
        at: (&str, &str),
        change: impl FnOnce(&mut CallEnvelope),
    ) -> ReplyEnvelope {
        let id = self.begin(at, change).await;
        self.reply(id).await
    }

    /// Waits for the reply to a call. Others before it are dropped.
    pub(super) async fn reply(&mut self, id: u64) -> ReplyEnvelope {
        loop {
            let (_, bytes) = next(&mut self.replies).await;
            let frame = Frame::open(&self.wire.auth, bytes).expect("a frame");
            let replies = frame.envelopes();
            let mut replies = replies.map(|one| ReplyEnvelope::decode(one).expect("a reply"));
            if let Some(reply) = replies.find(|reply| reply.id == id) {
                return reply;
            }
        }
    }

    /// Opens a session by a call of `pass`, for arguments of so many bytes. Returns the call and
    /// the session.
    pub(super) async fn open(&mut self, component: &str, size: u64) -> (u64, SessionName) {
        self.last_session += 1;
        let number = self.last_session;
        let opening = Opening {
            session: number,
            size,
        };
        let id = self.begin((component, "pass"), |call| call.session = Some(opening));
        let session = SessionName {
            from_opener: true,
            number,
        };
        (id.await, session)
    }

    /// Opens so many sessions in one message, for arguments of so many bytes. Returns the last
    /// call.
    pub(super) async fn open_many(&mut self, component: &str, (count, size): (u64, u64)) -> u64 {
        let mut calls = Vec::new();
        for _ in 0..count {
            self.last_call += 1;
            self.last_session += 1;
            let call = CallEnvelope {
                id: self.last_call,
                function: passing("pass").key(),
                deadline_left: LONG,
                target: id(component),
                has_handles: true,
                session: Some(Opening {
                    session: self.last_session,
                    size,
                }),
                args: Bytes::new(),
                ..call_envelope(Source::Operator)
            };
            calls.push(encoded(|buf| call.encode_into(buf)));
        }
        self.send_calls(calls).await;
        self.last_call
    }

    /// Passes these handles to a component, in a session.
    pub(super) async fn pass(&mut self, component: &str, names: &[HandleName]) -> SessionName {
        let value = passed(names);
        let (id, session) = self.open(component, value.len() as u64).await;
        self.credit(session, 0).await;
        self.say(session, 0, chunk(0, 0, value)).await;
        self.say(session, 0, Item::End { number: 1 }).await;
        let reply = self.reply(id).await;
        assert!(reply.outcome.is_ok(), "{reply:?}");
        session
    }

    /// Sends an item of a session.
    pub(super) async fn say(&self, session: SessionName, channel: u32, item: Item) {
        let item = SessionItem {
            session,
            channel,
            item,
        };
        let peer = &self.wire.peer;
        let subject = self.wire.subjects.session(&peer.host, peer.epoch);
        let envelope = encoded(|buf| item.encode_into(buf));
        self.wire
            .send(subject, (Kind::Session, peer), [envelope])
            .await;
    }

    /// Waits for an item about a session. What isn't wanted is kept.
    pub(super) async fn told<T>(
        &mut self,
        session: SessionName,
        wanted: impl Fn(u32, &Item) -> Option<T>,
    ) -> T {
        let about = SessionName {
            from_opener: !session.from_opener,
            ..session
        };
        let mut at = 0;
        loop {
            while let Some(one) = self.read.get(at) {
                let is_about = one.session == about;
                let found = wanted(one.channel, &one.item).filter(|_| is_about);
                if let Some(found) = found {
                    self.read.remove(at);
                    return found;
                }
                at += 1;
            }
            let (_, bytes) = next(&mut self.items).await;
            let frame = Frame::open(&self.wire.auth, bytes).expect("a frame");
            let items = frame.envelopes();
            self.read
                .extend(items.map(|one| SessionItem::decode(one).expect("an item")));
        }
    }

    /// Waits for credit in a channel, and returns how many bytes it is for.
    pub(super) async fn credit(&mut self, session: SessionName, of: u32) -> u64 {
        let credited = |channel: u32, item: &Item| match item {
            Item::Credit { bytes, .. } if channel == of => Some(*bytes),
            _ => None,
        };
        self.told(session, credited).await
    }

    /// Waits until a channel or a session is broken off.
    pub(super) async fn cancelled(&mut self, session: SessionName) -> (u32, CancelReason) {
        let cancelled = |channel: u32, item: &Item| match item {
            Item::Cancel { reason, .. } => Some((channel, *reason)),
            _ => None,
        };
        self.told(session, cancelled).await
    }

    /// Waits for a call of this member.
    pub(super) async fn called(&mut self) -> Called {
        let called = timeout(SOON, self.calls.recv()).await;
        called.expect("in time").expect("it reads")
    }

    /// Replies with a result that has handles.
    pub(super) async fn answer(&self, Called { from, reply, call }: Called, result: Bytes) {
        let envelope = ReplyEnvelope {
            has_handles: true,
            ..ReplyEnvelope::plain(call.id, Ok(result))
        };
        let envelope = encoded(|buf| envelope.encode_into(buf));
        self.wire
            .send(reply, (Kind::Reply, &from), [envelope])
            .await;
    }

    /// Sends a message to all members.
    pub(super) async fn announce<B: wire::Body>(&self, subject: Subject, body: &B) {
        let Wire { me, auth, .. } = &*self.wire;
        let number = self.wire.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = FrameWriter::message(auth, me.clone(), None, number, body);
        let bytes = bytes.expect("it encodes");
        let sent = self.wire.bus.publish(subject, None, bytes).await;
        sent.expect("sent");
    }
}
