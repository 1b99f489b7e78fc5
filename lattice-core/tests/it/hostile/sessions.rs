//! Items of sessions that were forged, recorded, or come from another host.

use super::*;
use lattice_core::{
    call::{CallError, Context},
    wire::{CancelReason, Item, Opening, SessionItem, SessionName, WHOLE_SESSION},
};

fn pattern() -> Bytes {
    text(&"0123456789".repeat(300_000))
}

fn long() -> Context {
    Context::new(Duration::from_secs(60))
}

impl Scene {
    pub(super) fn sessions_of_b(&self) -> Subject {
        let b = self.two.b.origin();
        self.subjects.session(&b.host, b.epoch)
    }

    /// A frame with an item, sealed with the lattice's own key.
    fn item(&self, from: Origin, number: u64, item: Item) -> Bytes {
        let item = SessionItem {
            session: SessionName {
                from_opener: true,
                number,
            },
            channel: 0,
            item,
        };
        let to = Some(self.two.b.origin().clone());
        let mut writer = FrameWriter::new(from, to, Kind::Session, Lane::Bulk);
        writer.push(|buf| item.encode_into(buf)).expect("room");
        writer.seal(
            &self.auth,
            self.strangers.fetch_add(1, Ordering::Relaxed) + 1,
        )
    }
}

#[tokio::test]
async fn recorded_items_that_are_replayed_change_nothing() {
    let scene = Scene::set().await;
    let mut tap = scene.tap(scene.sessions_of_b()).await;
    let answer = scene.two.call(&echo(), pattern(), long()).await;
    assert!(answer == Ok(pattern()));
    let mut recorded = Vec::new();
    while let Some(Some(message)) = futures_util::FutureExt::now_or_never(tap.next()) {
        if let Body::Payload(bytes) = message.body {
            recorded.push(bytes);
        }
    }
    assert!(recorded.len() > 90, "{}", recorded.len());
    let before = scene.two.b.refused();
    let count = recorded.len() as u64;
    for bytes in recorded {
        scene.send(scene.sessions_of_b(), bytes).await;
    }
    eventually("all are refused", async || {
        scene.two.b.refused() == before + count
    })
    .await;
    let answer = scene.two.call(&echo(), pattern(), long()).await;
    assert!(answer == Ok(pattern()));
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn items_without_the_key_are_refused() {
    let scene = Scene::set().await;
    let a = scene.two.a.origin().clone();
    let before = scene.two.b.refused();
    for auth in scene.other_keys() {
        let cancel = SessionItem {
            session: SessionName {
                from_opener: true,
                number: 1,
            },
            channel: WHOLE_SESSION,
            item: Item::Cancel {
                reason: CancelReason::Dropped,
                own_channel: false,
                taken: None,
            },
        };
        let to = Some(scene.two.b.origin().clone());
        let bytes = frame(&auth, a.clone(), to, Kind::Session, |buf| {
            cancel.encode_into(buf);
        });
        scene.send(scene.sessions_of_b(), bytes).await;
    }
    eventually("both are refused", async || {
        scene.two.b.refused() == before + 2
    })
    .await;
    scene.still_works().await;
}

/// Another member of the lattice uses the numbers of a session that isn't its own.
#[tokio::test]
async fn another_host_cannot_touch_a_session() {
    let scene = Scene::set().await;
    let mut tap = scene.tap(scene.sessions_of_b()).await;
    let caller = scene.two.caller.clone();
    let calling = tokio::spawn(async move { call(&caller, &echo(), pattern(), long()).await });
    let (_, first) = next(&mut tap).await;
    let first = Frame::open(&scene.auth, first).expect("a frame");
    let envelope = first.envelopes().next().expect("an item");
    let number = SessionItem::decode(envelope)
        .expect("an item")
        .session
        .number;
    let chunk = Item::Chunk {
        number: 1,
        elements: 0,
        bytes: Bytes::from_static(b"forged"),
    };
    let cancel = Item::Cancel {
        reason: CancelReason::Dropped,
        own_channel: true,
        taken: None,
    };
    for item in [chunk, Item::End { number: 1 }, cancel] {
        let bytes = scene.item(unknown_host(), number, item);
        scene.send(scene.sessions_of_b(), bytes).await;
    }
    let answer = calling.await.expect("joined");
    assert!(answer == Ok(pattern()));
}

/// The reply that refuses a call may be lost. Its caller sends the call again, and has to learn
/// that its session isn't open.
#[tokio::test]
async fn a_refused_call_that_comes_again_is_answered() {
    let scene = Scene::set().await;
    let caller = Origin::new(host_id("again"), 1);
    let (host, epoch) = (&caller.host, caller.epoch);
    let mut replies = scene.tap(scene.subjects.replies(host, epoch)).await;
    let mut items = scene.tap(scene.subjects.session(host, epoch)).await;
    for sequence in 1..=2 {
        let to = Some(scene.two.b.origin().clone());
        let mut writer = FrameWriter::new(caller.clone(), to, Kind::Call, Lane::Small);
        let call = CallEnvelope {
            id: 1,
            session: Some(Opening {
                session: 1,
                size: u64::MAX,
            }),
            args: Bytes::new(),
            ..call_envelope(Source::Operator)
        };
        writer.push(|buf| call.encode_into(buf)).expect("room");
        let bytes = writer.seal(&scene.auth, sequence);
        scene.send(scene.inbox_of_b(), bytes).await;
    }
    let (_, refused) = next(&mut replies).await;
    assert!(Frame::open(&scene.auth, refused).is_ok());
    let (_, told) = next(&mut items).await;
    let told = Frame::open(&scene.auth, told).expect("a frame");
    let item = told.envelopes().next().expect("an item");
    let item = SessionItem::decode(item).expect("an item");
    assert_eq!((item.session.number, item.channel), (1, WHOLE_SESSION));
    let unknown = Item::Cancel {
        reason: CancelReason::Unknown,
        own_channel: false,
        taken: None,
    };
    assert_eq!(item.item, unknown);
}

/// A member of the lattice opens sessions without end, and sends nothing in them.
#[tokio::test]
async fn a_flood_of_sessions_is_refused_and_bounded() {
    let scene = Scene::set().await;
    let b = scene.two.b.origin().clone();
    let flooder = Origin::new(host_id("flooder"), 1);
    let mut replies = scene
        .tap(scene.subjects.replies(&flooder.host, flooder.epoch))
        .await;
    let mut number = 0;
    for _ in 0..30 {
        let to = Some(b.clone());
        let mut writer = FrameWriter::new(flooder.clone(), to, Kind::Call, Lane::Small);
        for _ in 0..200 {
            number += 1;
            let call = CallEnvelope {
                id: number,
                session: Some(Opening {
                    session: number,
                    size: 2 << 20,
                }),
                args: Bytes::new(),
                ..call_envelope(Source::Operator)
            };
            writer.push(|buf| call.encode_into(buf)).expect("room");
        }
        let bytes = writer.seal(&scene.auth, number);
        scene.send(scene.inbox_of_b(), bytes).await;
    }
    let (_, refused) = next(&mut replies).await;
    let refused = Frame::open(&scene.auth, refused).expect("a frame");
    let reply = refused.envelopes().next().expect("a reply");
    let reply = lattice_core::wire::ReplyEnvelope::decode(reply).expect("a reply");
    assert!(
        matches!(reply.outcome, Err(CallError::Overloaded { .. })),
        "{reply:?}"
    );
    let held = scene.two.lattice.message_memory();
    assert!(held.calls <= ByteSize::mib(256), "{}", held.calls);
    assert!(held.received <= ByteSize::mib(256), "{}", held.received);
    // The flooder has the memory of one component's arguments, and not that of its neighbour's.
    scene.still_works().await;
    let (_api, _serving) = serve(&scene.two.b, "neighbour").await;
    link(&scene.two.lattice, "other", "neighbour").await;
    let other = scene.two.a.caller("other").expect("valid");
    let answer = call(&other, &echo(), pattern(), long()).await;
    assert!(answer == Ok(pattern()), "another caller has room");
    // Nothing answers probes in the flooder's name, so its sessions end.
    eventually("the sessions are gone", async || {
        let held = scene.two.lattice.message_memory();
        scene.two.serving.in_flight() == 0 && held.received == ByteSize::bytes(0)
    })
    .await;
}
