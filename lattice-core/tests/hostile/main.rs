//! What an attacker on the bus, a broken peer and a broken store can do: nothing but be refused.

mod forged;
mod garbage;
mod replayed;

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use lattice_core::{
    Lattice,
    auth::{Auth, LatticeKey},
    bus::{
        Body, Bus, Subscription,
        memory::{MemoryBus, MemoryNetwork},
    },
    name::LinkName,
    store::{Incarnation, MemoryStore, Revision, Store},
    subject::{Subject, Subjects},
    wire::{CallEnvelope, FrameWriter, Kind, Lane, Origin, Source},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use support::*;

/// A keyed lattice with a callee on host `b`, a caller on host `a`, and an attacker on the same bus and store.
struct Scene {
    two: Two,
    attacker: MemoryBus,
    store: Arc<dyn Store>,
    subjects: Subjects,
}

impl Scene {
    async fn set() -> Self {
        let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
        let lattice = Lattice::on(Arc::new(network.connect()), store.clone(), "prod")
            .key(LatticeKey::generate())
            .await
            .expect("it opens");
        Self {
            subjects: Subjects::new(lattice.name()),
            two: Two::on(lattice).await,
            attacker: network.connect(),
            store,
        }
    }

    /// Everything still works, and the callee ran just once for it.
    async fn still_works(&self) {
        let before = self.two.api.calls.load(Ordering::SeqCst);
        assert_eq!(self.two.say().await, Ok(text("x")));
        assert_eq!(self.two.api.calls.load(Ordering::SeqCst), before + 1);
    }

    async fn send(&self, to: Subject, bytes: Bytes) {
        self.attacker.publish(to, None, bytes).await.expect("sent");
    }

    /// Listens in.
    async fn tap(&self, subject: Subject) -> Subscription {
        self.attacker
            .subscribe(subject, 1_024)
            .await
            .expect("subscribed")
    }

    /// Where calls to the callee's host go.
    fn inbox(&self) -> Subject {
        let b = self.two.b.origin();
        self.subjects.call(&b.host, b.epoch)
    }

    fn other_keys(&self) -> [Auth; 2] {
        [
            Auth::keyed(self.two.lattice.name(), &LatticeKey::generate()),
            Auth::trusting(),
        ]
    }
}

fn stranger() -> Origin {
    Origin::new(host_id("stranger"), 7)
}

/// A call of `echo` in the name of `source`.
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

/// The next frame that was listened in on, and where its answer is to go.
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
