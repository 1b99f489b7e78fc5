//! An attacker on the bus, a broken peer and a broken store can do no harm: their messages are
//! rejected.

mod flood;
mod forged;
mod formats;
mod garbage;
mod handles;
mod liar;
mod misplaced;
mod notices;
mod onlooker;
mod opens;
mod parcels;
mod reading;
mod replayed;
mod sessions;
mod streams;

use crate::{
    chance::{Dice, Seed},
    support::*,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use lattice_core::{
    Lattice,
    auth::{Auth, LatticeKey},
    bus::{
        Body, Bus, Subscription,
        memory::{MemoryBus, MemoryNetwork},
    },
    name::{LatticeName, LinkName},
    quantity::ByteSize,
    store::{Incarnation, MemoryStore, Revision, Store},
    subject::{Subject, Subjects},
    wire::{CallEnvelope, Frame, FrameWriter, Kind, Lane, Origin, Source},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A lattice with a callee on host `b`, a caller on host `a`, and an attacker on the same bus and
/// store.
struct Scene {
    two: Two,
    attacker: MemoryBus,
    store: Arc<dyn Store>,
    subjects: Subjects,
    /// The authentication of the lattice's own frames.
    auth: Auth,
    strangers: AtomicU64,
}

impl Scene {
    /// Opens a lattice with a key.
    async fn set() -> Self {
        Self::with(Some(key()), None).await
    }

    /// Opens a lattice that trusts every client of the bus.
    async fn trusting() -> Self {
        Self::with(None, None).await
    }

    /// Opens a lattice with a key, and with the least memory for messages.
    async fn small() -> Self {
        Self::with(Some(key()), Some(ByteSize::mib(16))).await
    }

    async fn with(key: Option<LatticeKey>, memory: Option<ByteSize>) -> Self {
        let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
        let name = LatticeName::new("prod").expect("a name");
        let auth = key
            .as_ref()
            .map_or_else(Auth::trusting, |key| Auth::keyed(&name, key));
        let connect = Lattice::on(Arc::new(network.connect()), store.clone(), "prod");
        let connect = match key {
            Some(key) => connect.key(key),
            None => connect.trust_bus(),
        };
        let connect = match memory {
            Some(memory) => connect.message_memory(memory),
            None => connect,
        };
        Self {
            two: Two::on(connect.await.expect("it opens")).await,
            attacker: network.connect(),
            store,
            subjects: Subjects::new(&name),
            auth,
            strangers: AtomicU64::new(0),
        }
    }

    /// Checks that calls still work, and that the callee ran once for this check.
    async fn still_works(&self) {
        let before = self.two.api.calls.load(Ordering::SeqCst);
        assert_eq!(self.two.say().await, Ok(text("x")));
        assert_eq!(self.two.api.calls.load(Ordering::SeqCst), before + 1);
    }

    async fn send(&self, to: Subject, bytes: Bytes) {
        self.attacker.publish(to, None, bytes).await.expect("sent");
        tokio::task::yield_now().await;
    }

    /// Subscribes as the attacker.
    async fn tap(&self, subject: Subject) -> Subscription {
        self.attacker
            .subscribe(subject, 1_024)
            .await
            .expect("subscribed")
    }

    /// Sends a frame of an unknown host, sealed with the lattice's own key, and returns the reply
    /// to it.
    async fn ask(
        &self,
        subject: Subject,
        to: Option<&Origin>,
        kind: Kind,
        envelope: impl FnOnce(&mut BytesMut),
    ) -> Frame {
        let number = self.strangers.fetch_add(1, Ordering::Relaxed);
        let asker = Origin::new(host_id(&format!("asker-{number}")), 1);
        let mut replies = self
            .tap(self.subjects.replies(&asker.host, asker.epoch))
            .await;
        let bytes = frame(&self.auth, asker, to.cloned(), kind, envelope);
        self.send(subject, bytes).await;
        let (_, reply) = next(&mut replies).await;
        Frame::open(&self.auth, reply).expect("a frame")
    }

    /// Returns the subject of calls to a host.
    fn inbox(&self, of: &Origin) -> Subject {
        self.subjects.call(&of.host, of.epoch)
    }

    fn inbox_of_b(&self) -> Subject {
        self.inbox(self.two.b.origin())
    }

    fn other_keys(&self) -> [Auth; 2] {
        [
            Auth::keyed(self.two.lattice.name(), &LatticeKey::generate()),
            Auth::trusting(),
        ]
    }
}

/// The key of the lattice, which its attackers don't have.
fn key() -> LatticeKey {
    LatticeKey::from_hex(&"5a".repeat(32)).expect("a key")
}

fn unknown_host() -> Origin {
    Origin::new(host_id("unknown-host"), 7)
}

/// Returns a call of `echo` in the name of `source`.
fn call_envelope(source: Source) -> CallEnvelope {
    CallEnvelope {
        id: 1,
        function: echo().key(),
        deadline_left: Duration::from_secs(2),
        source,
        target: id("callee"),
        link: LinkName::default(),
        incarnation: Incarnation::default(),
        link_revision: Revision(0),
        fence: 0,
        hops: 0,
        attempt: 0,
        idempotent: false,
        trace: None,
        instance: None,
        marks: Vec::new(),
        has_handles: false,
        session: None,
        args: text("forged"),
    }
}

fn frame(
    auth: &Auth,
    from: Origin,
    to: Option<Origin>,
    kind: Kind,
    write: impl FnOnce(&mut BytesMut),
) -> Bytes {
    let mut writer = FrameWriter::new(from, to, kind, Lane::Small);
    writer.push(write).expect("room");
    writer.seal(auth, 1)
}

/// Returns the next observed frame and its reply subject.
async fn next(tap: &mut Subscription) -> (Option<Subject>, Bytes) {
    let message = tokio::time::timeout(Duration::from_secs(5), tap.next())
        .await
        .expect("in time")
        .expect("a message");
    match message.body {
        Body::Payload(bytes) => (message.reply, bytes),
        Body::NoResponders => panic!("a payload"),
    }
}
