//! Steps of streams that no host takes, or not now: forged, recorded, out of order, beyond the
//! credit, after the end, or of another host.

use super::{
    liar::{ANY, chunk, credit},
    reading::{Reading, pass_stream},
    *,
};
use lattice_core::{
    serve::{Answer, Request, Service},
    stream::{self, Broken, Chunk, Handle, Handles, channel},
    types::ComponentTypes,
    wire::{CancelReason, HandleName, Item, Passed, SessionName, WHOLE_SESSION},
};
use tokio::sync::mpsc;

/// Most bytes of a chunk.
const FULL: usize = 32 * 1024;
/// What such a chunk counts for.
const COUNTED: u64 = FULL as u64 + 128;
const BROKEN_OFF: (u32, CancelReason) = (WHOLE_SESSION, CancelReason::Violation);

fn cancel(reason: CancelReason, own_channel: bool) -> Item {
    Item::Cancel {
        reason,
        own_channel,
        taken: None,
    }
}

/// Whether a stream was cut off because the rules of its session were broken.
fn is_violated(end: &Result<(), Broken>) -> bool {
    matches!(end, Err(Broken::CutOff { reason }) if reason.contains("broke the rules"))
}

#[tokio::test]
async fn a_stream_beyond_its_credit_breaks_its_session_and_no_other() {
    let mut reading = Reading::new().await;
    reading.goes_on(false);
    let (session, other) = (reading.streams(2).await, reading.streams(1).await);
    let before = reading.refused();
    // What the reader has taken is granted again, and then it takes no more.
    let liar = &mut reading.liar;
    liar.say(session, 1, chunk(0, 1, vec![7; FULL])).await;
    let mut granted = 0;
    while granted <= COUNTED {
        granted = liar.credit(session, 1).await;
    }
    assert!(granted <= 4 * COUNTED, "{granted}");
    for number in 1..=granted / COUNTED {
        liar.say(session, 1, chunk(number, 1, vec![7; FULL])).await;
    }
    assert_eq!(liar.cancelled(session).await, BROKEN_OFF);
    assert_eq!(reading.refused(), before + 1);
    let (at, bytes, end) = reading.found().await;
    assert!((at, bytes.len()) == (1, 0) && is_violated(&end), "{end:?}");
    reading.goes_on(true);
    let (at, bytes, end) = reading.found().await;
    // It is not taken for whole.
    assert!(
        (at, bytes.len()) == (0, FULL) && is_violated(&end),
        "{end:?}"
    );
    reading.finish(other, 1, b'x').await;
    assert_eq!(reading.found().await, (0, b"x".to_vec(), Ok(())));
    reading.scene.still_works().await;
}

#[tokio::test]
async fn steps_that_no_sender_takes_break_their_session() {
    let mut reading = Reading::new().await;
    let forged = [
        ("a larger chunk", 1, chunk(0, 1, vec![7; FULL + 1])),
        ("a chunk without credit", 9, chunk(0, 1, "x")),
        ("an end without credit", 9, Item::End { number: 0 }),
        ("credit for all", WHOLE_SESSION, credit(0, 1 << 20)),
    ];
    for (what, channel, item) in forged {
        let session = reading.streams(1).await;
        let before = reading.refused();
        reading.liar.say(session, channel, item).await;
        let told = reading.liar.cancelled(session).await;
        assert_eq!(told, BROKEN_OFF, "{what}");
        assert_eq!(reading.refused(), before + 1, "{what}");
        let (_, bytes, end) = reading.found().await;
        assert!(
            bytes.is_empty() && is_violated(&end),
            "{what}: {bytes:?} {end:?}"
        );
    }
    reading.scene.still_works().await;
}

#[tokio::test]
async fn steps_that_come_twice_late_or_out_of_order_change_nothing() {
    let mut reading = Reading::new().await;
    let session = reading.streams(1).await;
    let before = reading.refused();
    let end = Item::End { number: 2 };
    let (a, b) = (chunk(0, 1, "a"), chunk(1, 1, "b"));
    let ahead = Item::End { number: 99 };
    // Of a channel that `b` doesn't have.
    let early = credit(0, 1 << 20);
    for item in [
        &ahead, &b, &end, &early, &a, &a, &end, &b, &a, &b, &end, &end, &b,
    ] {
        reading.liar.say(session, 1, item.clone()).await;
    }
    assert_eq!(reading.found().await, (0, b"ab".to_vec(), Ok(())));
    // Long after, they are acknowledged again.
    reading.liar.say(session, 1, a).await;
    let again = |channel: u32, item: &Item| match item {
        Item::Credit { received: 3, .. } if channel == 1 => Some(()),
        _ => None,
    };
    reading.liar.told(session, again).await;
    assert_eq!(reading.refused(), before);
    // One that follows the end is refused.
    reading.liar.say(session, 1, chunk(3, 1, "late")).await;
    let refused = async || reading.refused() == before + 1;
    eventually("it is refused", refused).await;
    let other = reading.streams(1).await;
    reading.finish(other, 1, b'x').await;
    assert_eq!(reading.found().await, (0, b"x".to_vec(), Ok(())));
    assert!(reading.nothing_else_is_found());
}

#[tokio::test]
async fn a_cancel_breaks_what_it_names_and_nothing_else() {
    let mut reading = Reading::new().await;
    let session = reading.streams(2).await;
    let liar = &reading.liar;
    let dropped = CancelReason::Dropped;
    // Of a channel that `b` doesn't have, and of the first one.
    liar.say(session, 1, cancel(dropped, false)).await;
    liar.say(session, 1, chunk(0, 1, "a")).await;
    liar.say(session, 1, cancel(dropped, true)).await;
    let (at, bytes, end) = reading.found().await;
    assert_eq!((at, end), (0, Err(Broken::WriterLost)));
    assert!(b"a".starts_with(&bytes[..]), "{bytes:?}");
    reading.finish(session, 2, b'b').await;
    assert_eq!(reading.found().await, (1, b"b".to_vec(), Ok(())));
    for reason in [
        CancelReason::Dropped,
        CancelReason::Unknown,
        CancelReason::Violation,
        CancelReason::Deadline,
        CancelReason::Idle,
        CancelReason::Unacknowledged,
    ] {
        let session = reading.streams(1).await;
        let all = cancel(reason, false);
        reading.liar.say(session, WHOLE_SESSION, all).await;
        let (_, bytes, end) = reading.found().await;
        let is_typed = match reason {
            CancelReason::Dropped => end == Err(Broken::WriterLost),
            _ => matches!(end, Err(Broken::CutOff { .. })),
        };
        assert!(bytes.is_empty() && is_typed, "{reason:?}: {end:?}");
    }
    reading.scene.still_works().await;
}

/// Another member of the lattice uses the number of a session that isn't its own.
#[tokio::test]
async fn another_member_cannot_touch_the_streams_of_a_session() {
    let mut reading = Reading::new().await;
    let mut thief = reading.scene.liar("thief").await;
    let session = reading.streams(1).await;
    reading.liar.say(session, 1, chunk(0, 1, "a")).await;
    for item in [
        chunk(1, 1, "forged"),
        Item::End { number: 1 },
        credit(1, 1 << 20),
        cancel(CancelReason::Dropped, true),
    ] {
        thief.say(session, 1, item).await;
    }
    let all = cancel(CancelReason::Dropped, false);
    thief.say(session, WHOLE_SESSION, all).await;
    let told = thief.cancelled(session).await;
    assert_eq!(told, (WHOLE_SESSION, CancelReason::Unknown));
    reading.liar.say(session, 1, chunk(1, 1, "b")).await;
    let end = Item::End { number: 2 };
    reading.liar.say(session, 1, end).await;
    assert_eq!(reading.found().await, (0, b"ab".to_vec(), Ok(())));
}

#[tokio::test]
async fn recorded_frames_of_streams_that_are_replayed_change_nothing() {
    let mut reading = Reading::new().await;
    link(&reading.scene.two.lattice, "streamer", "reader").await;
    let streamer = reading.scene.two.a.caller("streamer").expect("valid");
    let subject = reading.scene.sessions_of_b();
    let mut tap = reading.scene.tap(subject.clone()).await;
    let bytes = Bytes::from(vec![7; 200_000]);
    pass_stream(&streamer, bytes.clone()).await;
    let whole = (0, bytes.to_vec(), Ok(()));
    assert!(reading.found().await == whole);
    let mut recorded = Vec::new();
    while let Some(Some(message)) = futures_util::FutureExt::now_or_never(tap.next()) {
        if let Body::Payload(bytes) = message.body {
            recorded.push(bytes);
        }
    }
    assert!(recorded.len() > 5, "{}", recorded.len());
    let (before, count) = (reading.refused(), recorded.len() as u64);
    for frame in recorded {
        reading.scene.send(subject.clone(), frame).await;
    }
    let refused = async || reading.refused() == before + count;
    eventually("all are refused", refused).await;
    pass_stream(&streamer, bytes).await;
    assert!(reading.found().await == whole);
    assert!(reading.nothing_else_is_found());
}

/// Returns a stream without an end, and reports how many bytes it has written when its reader is
/// gone.
struct Writes(mpsc::UnboundedSender<usize>);

impl Service for Writes {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("pass", ANY)]))
    }

    fn call(&self, _: Request) -> Answer {
        let (mut writer, reader) = channel();
        let written = self.0.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while let Some(room) = writer.room().await {
                let chunk = Chunk {
                    count: room,
                    bytes: Bytes::from(vec![7; room]),
                    handles: Handles::new(),
                };
                if writer.send(chunk).is_err() {
                    break;
                }
                count += room;
            }
            written.send(count).expect("the test waits");
        });
        let body = stream::Body {
            bytes: Bytes::from_static(&[0]),
            handles: vec![Handle::Stream(reader)],
        };
        Answer::Passing(Box::pin(async { Ok(body) }))
    }
}

/// A reader grants everything, and then says that it has received what was never sent.
#[tokio::test]
async fn a_reader_that_forges_credit_fills_no_memory_and_stops_its_writer() {
    const MOST: usize = 5 << 20;
    let scene = Scene::set().await;
    let (sender, mut written) = mpsc::unbounded_channel();
    let _serving = serve_as(&scene.two.b, "writer", Writes(sender)).await;
    let mut liar = scene.liar("liar").await;
    let reply = liar.call(("writer", "pass"), &[]).await;
    let opening = reply.session.expect("it has a stream");
    let session = SessionName {
        from_opener: false,
        number: opening.session,
    };
    liar.say(session, 0, credit(0, 1 << 20)).await;
    let first = |channel: u32, item: &Item| match item {
        Item::Chunk { bytes, .. } if channel == 0 => Some(bytes.clone()),
        _ => None,
    };
    let value = liar.told(session, first).await;
    let names = Passed::decode(value).expect("a value").names;
    assert_eq!(names, [HandleName::Stream(1)]);
    let ended = |channel: u32, item: &Item| match item {
        Item::End { number: 1 } if channel == 0 => Some(()),
        _ => None,
    };
    liar.told(session, ended).await;
    liar.say(session, 0, credit(2, 1 << 20)).await;

    liar.say(session, 1, credit(0, u64::MAX)).await;
    let hundredth = |channel: u32, item: &Item| match item {
        Item::Chunk { number: 100, .. } if channel == 1 => Some(()),
        _ => None,
    };
    liar.told(session, hundredth).await;
    let held = scene.two.lattice.message_memory().sending;
    assert!(held <= ByteSize::bytes(MOST as u64), "{held}");
    liar.say(session, 1, credit(1_000_000, u64::MAX)).await;
    assert_eq!(liar.cancelled(session).await, BROKEN_OFF);
    let written = tokio::time::timeout(Duration::from_secs(5), written.recv()).await;
    let written = written.expect("in time").expect("it says how much");
    assert!(written <= MOST, "{written}");
    eventually("nothing is held", async || {
        scene.two.lattice.message_memory().sending == ByteSize::bytes(0)
    })
    .await;
    scene.still_works().await;
}
