//! What an attacker on the bus, a broken peer and a broken store can do: nothing but be refused.

#[path = "support/service.rs"]
mod service;

use bytes::Bytes;
use futures_util::StreamExt;
use lattice_core::{
    Lattice,
    auth::{Auth, LatticeKey},
    bus::{
        Body, Bus, Message, Subscription,
        memory::{MemoryBus, MemoryNetwork},
    },
    call::{CallError, Context},
    link::Link,
    name::{HostId, LatticeName, LinkName},
    node::{Node, NodeOptions, ServeLimits, Serving},
    store::{Expect, Incarnation, MemoryStore, Op, Revision, Store, StoreKey, record::Records},
    subject::Subjects,
    types::Digest,
    value::from_bytes,
    wire::{
        Beat, CallEnvelope, FrameWriter, Kind, Lane, Origin, ReplyEnvelope, Served, Source,
        Versions,
    },
};
use service::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// A keyed lattice with a callee on host `b`, a caller on host `a`, and an attacker on the same bus and store.
struct Scene {
    lattice: Lattice,
    a: Node,
    b: Node,
    api: Arc<Api>,
    _serving: Serving,
    attacker: MemoryBus,
    store: Arc<dyn Store>,
    subjects: Subjects,
    name: LatticeName,
}

async fn scene() -> Scene {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let lattice = Lattice::on(Arc::new(network.connect()), store.clone(), "prod")
        .key(LatticeKey::generate())
        .await
        .expect("it opens");
    let join = async |name| {
        let options = NodeOptions::default().host(HostId::new(name).expect("an id"));
        lattice.node(options).await.expect("it joins")
    };
    let (a, b) = (join("a").await, join("b").await);
    let api = Arc::new(Api::default());
    let service = Arc::new(Serve(api.clone()));
    let serving = b
        .serve(id("callee"), service, ServeLimits::default())
        .await
        .expect("it serves");
    lattice
        .links()
        .put(Link::new("caller", API, "callee").expect("a link"))
        .await
        .expect("put");
    let name = lattice.name().clone();
    let subjects = Subjects::new(&name);
    Scene {
        lattice,
        a,
        b,
        api,
        _serving: serving,
        attacker: network.connect(),
        store,
        subjects,
        name,
    }
}

impl Scene {
    async fn call(&self) -> Result<String, CallError> {
        let caller = self.a.caller(id("caller"));
        let answer = caller
            .call(&echo(), &LinkName::default(), text("x"), Context::default())
            .await?;
        Ok(from_bytes(&answer).expect("a string"))
    }

    /// Everything still works, and the callee ran just once for it.
    async fn still_works(&self) {
        let before = self.api.calls.load(Ordering::SeqCst);
        assert_eq!(self.call().await.as_deref(), Ok("x"));
        assert_eq!(self.api.calls.load(Ordering::SeqCst), before + 1);
    }

    async fn send(&self, to: lattice_core::subject::Subject, bytes: Bytes) {
        self.attacker.publish(to, None, bytes).await.expect("sent");
    }

    fn inbox(&self) -> lattice_core::subject::Subject {
        self.subjects.call(self.b.host_id(), self.b.origin().epoch)
    }

    /// Subjects that someone listens on.
    fn subjects(&self) -> Vec<lattice_core::subject::Subject> {
        let (a, b) = (self.a.origin(), self.b.origin());
        vec![
            self.inbox(),
            self.subjects.call(&a.host, a.epoch),
            self.subjects.reply(&a.host, a.epoch, 1, 1),
            self.subjects.reply(&b.host, b.epoch, 1, 1),
            self.subjects.beat(),
            self.subjects.serves(&id("callee")),
        ]
    }

    fn other_keys(&self) -> [Auth; 2] {
        [
            Auth::keyed(&self.name, &LatticeKey::generate()),
            Auth::trusting(),
        ]
    }
}

fn stranger() -> Origin {
    Origin::new(HostId::new("stranger").expect("an id"), 7)
}

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
    write: impl FnOnce(&mut bytes::BytesMut),
) -> Bytes {
    let mut writer = FrameWriter::new(from, to, kind, Lane::Small);
    writer.push(write).expect("room");
    writer.seal(auth, 1)
}

fn payload(message: Message) -> Bytes {
    match message.body {
        Body::Payload(bytes) => bytes,
        Body::NoResponders => panic!("a payload"),
    }
}

async fn next(subscription: &mut Subscription) -> Message {
    tokio::time::timeout(Duration::from_secs(5), subscription.next())
        .await
        .expect("in time")
        .expect("a message")
}

#[tokio::test]
async fn a_call_forged_without_the_key_does_not_run() {
    let scene = scene().await;
    let before = scene.b.refused();
    for auth in scene.other_keys() {
        for source in [Source::Operator, Source::Component(id("caller"))] {
            let call = call_envelope(source);
            let bytes = frame(
                &auth,
                stranger(),
                Some(scene.b.origin().clone()),
                Kind::Call,
                |buf| call.encode_into(buf),
            );
            scene.send(scene.inbox(), bytes).await;
        }
    }
    eventually("all four are refused", async || {
        scene.b.refused() == before + 4
    })
    .await;
    assert_eq!(scene.api.calls.load(Ordering::SeqCst), 0);
    scene.still_works().await;
}

#[tokio::test]
async fn a_replayed_frame_runs_once() {
    let scene = scene().await;
    let mut tap = scene
        .attacker
        .subscribe(scene.inbox(), 64)
        .await
        .expect("subscribed");
    assert_eq!(scene.call().await.as_deref(), Ok("x"));
    let recorded = payload(next(&mut tap).await);
    let before = scene.b.refused();
    for _ in 0..5 {
        scene.send(scene.inbox(), recorded.clone()).await;
    }
    eventually("all five are refused", async || {
        scene.b.refused() == before + 5
    })
    .await;
    assert_eq!(scene.api.calls.load(Ordering::SeqCst), 1);
    scene.still_works().await;
}

#[tokio::test]
async fn a_frame_for_another_boot_is_refused() {
    let scene = scene().await;
    let mut tap = scene
        .attacker
        .subscribe(scene.inbox(), 64)
        .await
        .expect("subscribed");
    assert_eq!(scene.call().await.as_deref(), Ok("x"));
    let recorded = payload(next(&mut tap).await);
    let before = scene.a.refused();
    scene
        .send(
            scene
                .subjects
                .call(scene.a.host_id(), scene.a.origin().epoch),
            recorded,
        )
        .await;
    eventually("it is refused", async || scene.a.refused() == before + 1).await;
    scene.still_works().await;
}

#[tokio::test]
async fn a_beat_forged_without_the_key_is_not_heard() {
    let scene = scene().await;
    for auth in scene.other_keys() {
        let beat = Beat {
            sent_ms: 0,
            interval_ms: 60_000,
            versions: Versions::OURS,
            incarnation: Incarnation::default(),
            revision: Revision(0),
            labels: BTreeMap::new(),
            components: vec![Served {
                id: id("callee"),
                digest: Digest([0; 32]),
            }],
        };
        let bytes = FrameWriter::message(&auth, stranger(), None, 1, &beat).expect("encodes");
        scene.send(scene.subjects.beat(), bytes).await;
    }
    for _ in 0..16 {
        scene.still_works().await;
    }
    assert!(!scene.lattice.peers().contains(&stranger()));
}

#[tokio::test]
async fn a_reply_forged_without_the_key_is_not_believed() {
    let scene = scene().await;
    let mut tap = scene
        .attacker
        .subscribe(scene.inbox(), 64)
        .await
        .expect("subscribed");
    let caller = scene.a.caller(id("caller"));
    let running = tokio::spawn(async move {
        caller
            .call(
                &wait(),
                &LinkName::default(),
                Bytes::new(),
                Context::default(),
            )
            .await
    });
    let reply_to = next(&mut tap)
        .await
        .reply
        .expect("a frame of calls names where replies go");
    let before = scene.a.refused();
    for auth in scene.other_keys() {
        for call in 0..64 {
            let reply = ReplyEnvelope {
                id: call,
                outcome: Ok(Bytes::from_static(b"forged")),
            };
            let (from, to) = (scene.b.origin().clone(), Some(scene.a.origin().clone()));
            scene
                .send(
                    reply_to.clone(),
                    frame(&auth, from, to, Kind::Reply, |buf| reply.encode_into(buf)),
                )
                .await;
        }
    }
    eventually("all are refused", async || {
        scene.a.refused() == before + 128
    })
    .await;
    scene.api.release.notify_one();
    assert_eq!(
        running.await.expect("joined"),
        Ok(Bytes::new()),
        "the true reply"
    );
}

#[tokio::test]
async fn a_link_forged_without_the_key_grants_nothing() {
    let scene = scene().await;
    for (n, auth) in scene.other_keys().into_iter().enumerate() {
        let source = format!("thief-{n}");
        let link = Link::new(&source, API, "callee").expect("a link");
        let key = StoreKey::link(&link.source, &link.interface, &link.name);
        let incarnation = scene.store.incarnation().await.expect("there");
        let records = Records::new(scene.store.clone(), auth);
        let value = records
            .encode(incarnation, &key, 1, &link)
            .expect("encodes");
        let op = Op {
            key,
            value: Some(value),
            expect: Expect::Any,
        };
        scene
            .store
            .commit(vec![op])
            .await
            .expect("the store itself takes anything");
        // A link put after it has been seen, so the forged one has been too.
        let marker = Link::new(&format!("marker-{n}"), API, "callee").expect("a link");
        scene.lattice.links().put(marker).await.expect("put");
        let caller = scene.a.caller(id(&source));
        let answer = caller
            .call(&echo(), &LinkName::default(), text("x"), Context::default())
            .await;
        assert!(
            matches!(answer, Err(CallError::NotLinked { .. })),
            "{answer:?}"
        );
    }
    scene.still_works().await;
}

#[tokio::test]
async fn garbage_on_every_subject_harms_nothing() {
    let scene = scene().await;
    let mut tap = scene
        .attacker
        .subscribe(scene.inbox(), 64)
        .await
        .expect("subscribed");
    assert_eq!(scene.call().await.as_deref(), Ok("x"));
    let real = payload(next(&mut tap).await);
    for subject in scene.subjects() {
        for cut in 0..real.len() {
            scene.send(subject.clone(), real.slice(..cut)).await;
        }
        for bit in 0..real.len() * 8 {
            let mut bytes = real.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            scene.send(subject.clone(), bytes.into()).await;
        }
        for size in [0, 1, 80, 4_096, 1 << 20] {
            scene.send(subject.clone(), vec![0xa5; size].into()).await;
        }
    }
    scene.still_works().await;
    assert_eq!(scene.api.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn garbage_in_store_keys_harms_nothing() {
    let scene = scene().await;
    let put = async |key: StoreKey, bytes: &[u8]| {
        let op = Op {
            key,
            value: Some(Bytes::copy_from_slice(bytes)),
            expect: Expect::Any,
        };
        scene.store.commit(vec![op]).await.expect("taken");
    };
    let link = Link::new("victim", API, "callee").expect("a link");
    for bytes in [&b""[..], b"\0", b"garbage", &[0xff; 4_096]] {
        put(StoreKey::for_test("foreign"), bytes).await;
        put(
            StoreKey::link(&link.source, &link.interface, &link.name),
            bytes,
        )
        .await;
        put(
            StoreKey::link_status(&link.source, &link.interface, &link.name),
            bytes,
        )
        .await;
        put(StoreKey::component(&id("victim")), bytes).await;
        put(StoreKey::types(&"0".repeat(64)), bytes).await;
    }
    scene.still_works().await;
    let victim = scene.a.caller(id("victim"));
    let answer = victim
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    scene
        .lattice
        .links()
        .replace(link)
        .await
        .expect("a good link replaces the garbage");
    victim
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await
        .expect("and grants");
}

#[tokio::test]
async fn the_target_checks_the_grant_from_its_own_table() {
    // The caller's host believes in a link that the target's host has never seen: a key holder that lies, or a bug.
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let key = LatticeKey::generate();
    let hex = key.expose_hex();
    let lattice = async |store: Arc<MemoryStore>| {
        let key = LatticeKey::from_hex(&hex).expect("a key");
        Lattice::on(Arc::new(network.connect()), store, "prod")
            .key(key)
            .await
            .expect("it opens")
    };
    let (honest, lying) = (
        lattice(store).await,
        lattice(Arc::new(MemoryStore::new())).await,
    );
    let api = Arc::new(Api::default());
    let _serving = honest
        .serve(
            id("callee"),
            Arc::new(Serve(api.clone())),
            ServeLimits::default(),
        )
        .await
        .expect("it serves");
    lying
        .links()
        .put(Link::new("caller", API, "callee").expect("a link"))
        .await
        .expect("put");
    let node = lying.node(NodeOptions::default()).await.expect("it joins");
    let caller = node.caller(id("caller"));
    let answer = caller
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    assert!(
        matches!(
            answer,
            Err(CallError::NotLinked { .. } | CallError::LinkTableBehind)
        ),
        "{answer:?}"
    );
    assert_eq!(api.calls.load(Ordering::SeqCst), 0);
}
