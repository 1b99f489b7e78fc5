//! Calls, replies, beats and links that are forged without the key, or by a malicious key holder.

use super::*;
use lattice_core::{
    call::{CallError, Context, MAX_HOPS},
    logs::LogEvent,
    store::{Expect, Op, StoreKey, record::Records},
    types::Digest,
    wire::{
        Beat, Cancel, LogLevel, LogLine, Logs, LogsWanted, ReplyEnvelope, Served, Versions,
        envelope_id,
    },
};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_call_forged_without_the_key_does_not_run() {
    let scene = Scene::set().await;
    let b = &scene.two.b;
    let before = b.refused();
    for auth in scene.other_keys() {
        for source in [Source::Operator, Source::Component(id("caller"))] {
            let call = call_envelope(source);
            let to = Some(b.origin().clone());
            let bytes = frame(&auth, unknown_host(), to, Kind::Call, |buf| {
                call.encode_into(buf);
            });
            scene.send(scene.inbox_of_b(), bytes).await;
        }
    }
    eventually("all four are refused", async || b.refused() == before + 4).await;
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 0);
    scene.still_works().await;
}

#[tokio::test]
async fn a_beat_forged_without_the_key_is_ignored() {
    let scene = Scene::set().await;
    for auth in scene.other_keys() {
        let beat = Beat {
            duty: lattice_core::wire::Duty::Works,
            sent_ms: 0,
            interval_ms: 60_000,
            versions: Versions::OURS,
            incarnation: Incarnation::default(),
            revision: Revision(0),
            labels: BTreeMap::new(),
            components: vec![Served {
                id: id("callee"),
                digest: Digest([1; 32]),
                fence: 0,
                replica_counts: Vec::new(),
            }],
        };
        let bytes = FrameWriter::message(&auth, unknown_host(), None, 1, &beat).expect("encodes");
        scene.send(scene.subjects.beat(), bytes).await;
    }
    for _ in 0..16 {
        scene.still_works().await;
    }
    assert!(!scene.two.lattice.peers().contains(&unknown_host()));
}

#[tokio::test]
async fn log_requests_and_lines_forged_without_the_key_are_ignored() {
    let scene = Scene::set().await;
    let (b, callee) = (&scene.two.b, id("callee"));
    let before = b.refused();
    let mut tap = scene.tap(scene.subjects.logs()).await;
    let wanted = LogsWanted {
        component: None,
        lease_ms: 60_000,
        recent: 10,
    };
    for auth in scene.other_keys() {
        let bytes = FrameWriter::message(&auth, unknown_host(), None, 1, &wanted).expect("encodes");
        scene.send(scene.subjects.logs_wanted(), bytes).await;
    }
    eventually("both are refused", async || b.refused() == before + 2).await;
    b.log_sink().say(&callee, LogLevel::Info, "a secret");

    let mut logs = scene.two.lattice.logs(None, 10).await.expect("reads");
    for auth in scene.other_keys() {
        for to in [None, Some(unknown_host())] {
            let line = LogLine {
                number: 1,
                said_ms: 0,
                component: callee.clone(),
                level: LogLevel::Error,
                text: "forged".to_owned(),
            };
            let lines = Logs {
                dropped: 7,
                lines: vec![line],
            };
            let from = b.origin().clone();
            let bytes = FrameWriter::message(&auth, from, to, 1, &lines).expect("encodes");
            scene.send(scene.subjects.logs(), bytes).await;
        }
    }
    let heard = tokio::time::timeout(Duration::from_secs(5), logs.next()).await;
    let Ok(Some(LogEvent::Line { host, line })) = heard else {
        panic!("{heard:?}");
    };
    assert_eq!((&host, &*line.text), (b.host_id(), "a secret"));
    // The host has sent its first lines to the reader that has the key.
    loop {
        let (_, bytes) = next(&mut tap).await;
        if let Ok(frame) = Frame::open(&scene.auth, bytes) {
            assert!(frame.target().is_some_and(|to| *to != unknown_host()));
            break;
        }
    }
}

#[tokio::test]
async fn a_reply_forged_without_the_key_is_ignored() {
    let scene = Scene::set().await;
    let Two { a, b, .. } = &scene.two;
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    let running = begin_wait(&scene.two.caller, Context::default());
    let (reply_to, _) = next(&mut tap).await;
    let reply_to = reply_to.expect("a frame of calls names where replies go");
    let before = a.refused();
    for auth in scene.other_keys() {
        for call in 0..64 {
            let reply = ReplyEnvelope {
                id: call,
                session: None,
                has_handles: false,
                outcome: Ok(Bytes::from_static(b"forged")),
            };
            let (from, to) = (b.origin().clone(), Some(a.origin().clone()));
            let bytes = frame(&auth, from, to, Kind::Reply, |buf| reply.encode_into(buf));
            scene.send(reply_to.clone(), bytes).await;
        }
    }
    eventually("all are refused", async || a.refused() == before + 128).await;
    scene.two.api.release.notify_one();
    assert_eq!(
        running.await.expect("joined"),
        Ok(Bytes::new()),
        "the authentic reply"
    );
}

#[tokio::test]
async fn a_link_forged_without_the_key_grants_nothing() {
    let scene = Scene::set().await;
    let lattice = &scene.two.lattice;
    for (n, auth) in scene.other_keys().into_iter().enumerate() {
        let link = grant(&format!("thief-{n}"), "callee");
        let key = StoreKey::link(&link.source, &link.interface, &link.name);
        let incarnation = scene.store.incarnation().await.expect("there");
        let records = Records::new(scene.store.clone(), auth);
        let value = records
            .encode(incarnation, &key, 1, &link)
            .expect("encodes");
        scene
            .store
            .commit(vec![Op::put(key, value, Expect::Any)])
            .await
            .expect("the store itself accepts any value");
        // A link that was put later has been seen, so the forged one has been seen as well.
        let marker = grant(&format!("marker-{n}"), "callee");
        lattice.links().put(marker).await.expect("put");
        let caller = scene.two.a.caller(link.source).expect("valid");
        let answer = say(&caller).await;
        assert!(
            matches!(answer, Err(CallError::NotLinked { .. })),
            "{answer:?}"
        );
    }
    scene.still_works().await;
}

#[tokio::test]
async fn the_target_checks_the_grant_in_its_own_table() {
    // The caller's host uses a link that the target's host has never seen, because of a malicious
    // key holder or a bug.
    let network = MemoryNetwork::new();
    let hex = LatticeKey::generate().expose_hex();
    let lattice = async || {
        let key = LatticeKey::from_hex(&hex).expect("a key");
        let store = Arc::new(MemoryStore::new());
        Lattice::on(Arc::new(network.connect()), store, "prod")
            .key(key)
            .await
            .expect("it opens")
    };
    let (honest, lying) = (lattice().await, lattice().await);
    let two = Two::across(&lying, &honest).await;
    let answer = two.say().await;
    assert!(
        matches!(
            answer,
            Err(CallError::NotLinked { .. } | CallError::LinkTableBehind)
        ),
        "{answer:?}"
    );
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_chain_that_is_too_long_is_rejected_by_the_target() {
    let scene = Scene::set().await;
    let b = scene.two.b.origin();
    let ask = async |hops| {
        let mut call = call_envelope(Source::Operator);
        call.hops = hops;
        let envelope = |buf: &mut BytesMut| call.encode_into(buf);
        let reply = scene
            .ask(scene.inbox_of_b(), Some(b), Kind::Call, envelope)
            .await;
        let envelope = reply.envelopes().next().expect("a reply");
        ReplyEnvelope::decode(envelope).expect("a reply").outcome
    };
    assert_eq!(ask(MAX_HOPS).await, Ok(text("forged")));
    assert_eq!(
        ask(MAX_HOPS + 1).await,
        Err(CallError::TooManyHops { limit: MAX_HOPS })
    );
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_cancellation_counts_only_from_the_caller_itself_and_once() {
    let scene = Scene::set().await;
    let Two { a, b, api, .. } = &scene.two;
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    let long = || Context::new(Duration::from_secs(60));
    let running = begin_wait(&scene.two.caller, long());
    api.started.notified().await;
    let (_, call) = next(&mut tap).await;
    let call = Frame::open(&scene.auth, call).expect("a frame");
    let envelope = call.envelopes().next().expect("a call");
    let cancel = Cancel {
        id: envelope_id(&envelope).expect("an id"),
    };
    let cancels = |auth: &Auth, from: Origin| {
        let to = Some(b.origin().clone());
        frame(auth, from, to, Kind::Cancel, |buf| cancel.encode_into(buf))
    };
    let before = b.refused();
    for auth in scene.other_keys() {
        let forged = cancels(&auth, a.origin().clone());
        scene.send(scene.inbox_of_b(), forged).await;
    }
    eventually("both are refused", async || b.refused() == before + 2).await;
    // A member of the lattice can't cancel a call of another member.
    let others = cancels(&scene.auth, unknown_host());
    scene.send(scene.inbox_of_b(), others).await;
    scene.still_works().await;
    assert_eq!(api.running.load(Ordering::SeqCst), 1);
    // The caller itself can. A replay of its message ends nothing else.
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    running.abort();
    eventually("it has ended", async || {
        api.running.load(Ordering::SeqCst) == 0
    })
    .await;
    let (_, recorded) = next(&mut tap).await;
    let opened = Frame::open(&scene.auth, recorded.clone()).expect("a frame");
    assert_eq!(opened.kind(), Kind::Cancel);
    let next_call = begin_wait(&scene.two.caller, long());
    api.started.notified().await;
    let before = b.refused();
    scene.send(scene.inbox_of_b(), recorded).await;
    eventually("it is refused", async || b.refused() == before + 1).await;
    assert_eq!(api.running.load(Ordering::SeqCst), 1);
    api.release.notify_one();
    assert_eq!(next_call.await.expect("joined"), Ok(Bytes::new()));
}
