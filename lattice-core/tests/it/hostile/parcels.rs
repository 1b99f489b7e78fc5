//! Elements of streams whose lengths, counts or names lie, and arguments of another size than their
//! call has announced.

use super::{
    liar::{chunk, passed},
    reading::{Found, Reading},
    *,
};
use lattice_core::{
    call::{CallError, Ran},
    stream::Broken,
    wire::{Fault, HandleName, Item, Parcel, ResourceName, WHOLE_SESSION},
};

/// Most bytes of a chunk.
const FULL: usize = 32 * 1024;
/// What such a chunk counts for.
const COUNTED: u64 = FULL as u64 + 128;

/// Whether nothing of the first stream of a call was taken, and its reader was told why.
fn is_invalid((at, bytes, end): &Found) -> bool {
    *at == 0 && bytes.is_empty() && matches!(end, Err(Broken::Invalid { .. }))
}

/// Sends a chunk in the first of two streams. That one breaks, and the other one goes on.
async fn breaks_its_stream(reading: &mut Reading, what: &str, item: Item) {
    let session = reading.streams(2).await;
    reading.liar.say(session, 1, item).await;
    let found = reading.found().await;
    assert!(is_invalid(&found), "{what}: {found:?}");
    reading.finish(session, 2, b'x').await;
    let found = reading.found().await;
    assert_eq!(found, (1, b"x".to_vec(), Ok(())), "{what}");
}

#[tokio::test]
async fn a_parcel_whose_lengths_lie_breaks_its_stream_and_no_other() {
    let mut reading = Reading::new().await;
    let (one, none) = (Parcel::WithHandles(1), Parcel::WithHandles(0));
    let lies: [(&str, Parcel, &[u8]); 8] = [
        ("no length", one, &[]),
        ("half of a length", one, &[1, 0]),
        ("a length beyond the end", one, &[200, 0, 0, 0, 0]),
        ("the largest length", one, &[0xff; 4]),
        ("a length within a name", one, &[1, 0, 0, 0, 1, 2, 3, 0]),
        (
            "more names than there are",
            one,
            &[5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        ),
        ("no elements with handles", none, &[1, 0, 0, 0, 0]),
        ("a part of nothing", Parcel::Partial, &[]),
    ];
    for (what, parcel, bytes) in lies {
        let item = chunk(0, parcel.count(), bytes.to_vec());
        breaks_its_stream(&mut reading, what, item).await;
    }
    reading.scene.still_works().await;
}

#[tokio::test]
async fn an_element_with_handles_that_were_not_sent_breaks_its_stream_and_no_other() {
    let mut reading = Reading::new().await;
    let of = |origin: &Origin| ResourceName {
        origin: origin.clone(),
        component: id("reader"),
        instance: 1,
        id: 77,
        holder: None,
        ty: "test:calls/api/r".to_owned(),
        token: None,
    };
    let theirs = of(reading.scene.two.b.origin());
    let own = of(reading.liar.origin());
    let forged = [
        ("the channel of the value", vec![HandleName::Stream(0)]),
        ("its own channel", vec![HandleName::Stream(1)]),
        ("its neighbour's channel", vec![HandleName::Future(2)]),
        (
            "the number for all channels",
            vec![HandleName::Stream(WHOLE_SESSION)],
        ),
        (
            "a channel twice",
            vec![HandleName::Stream(3), HandleName::Future(3)],
        ),
        (
            "what was never given",
            vec![HandleName::Own(theirs.clone())],
        ),
        ("what was never lent", vec![HandleName::Borrow(theirs)]),
        ("what is lent", vec![HandleName::Borrow(own.clone())]),
        (
            "what is given twice",
            vec![HandleName::Own(own.clone()), HandleName::Own(own)],
        ),
    ];
    for (what, names) in forged {
        let parcel = Parcel::WithHandles(1);
        let item = chunk(0, parcel.count(), passed(&names));
        breaks_its_stream(&mut reading, what, item).await;
    }
    assert_eq!(reading.scene.two.b.handles(), (0, 0));
    reading.scene.still_works().await;
}

#[tokio::test]
async fn a_stream_that_ends_within_an_element_or_after_a_break_is_not_whole() {
    let mut reading = Reading::new().await;
    let session = reading.streams(2).await;
    let liar = &reading.liar;
    let part = chunk(0, Parcel::Partial.count(), "abc");
    liar.say(session, 1, part).await;
    liar.say(session, 1, Item::End { number: 1 }).await;
    let found = reading.found().await;
    assert!(is_invalid(&found), "{found:?}");

    let before = reading.refused();
    let fault = Fault::Failed("no more".to_owned()).encode();
    let broken = chunk(0, Parcel::Broken.count(), fault);
    for item in [broken, chunk(1, 1, "x"), Item::End { number: 2 }] {
        reading.liar.say(session, 2, item).await;
    }
    let reason = "no more".into();
    let end = Err(Broken::Failed { reason });
    assert_eq!(reading.found().await, (1, Vec::new(), end));
    assert_eq!(reading.refused(), before, "it is only late");
    reading.scene.still_works().await;
}

/// All kinds of messages have 4 MiB each.
#[tokio::test]
async fn an_element_without_an_end_takes_no_more_memory_than_there_is() {
    const MOST: ByteSize = ByteSize::mib(4);
    let mut reading = Reading::on(Scene::small().await).await;
    let session = reading.streams(2).await;
    let (mut granted, mut sent) = (0, 0);
    let is_cut_off = loop {
        let next = |channel: u32, item: &Item| match item {
            Item::Credit { bytes, .. } if channel == 1 => Some(Some(*bytes)),
            Item::Cancel { .. } if channel == 1 => Some(None),
            _ => None,
        };
        while granted < (sent + 1) * COUNTED {
            match reading.liar.told(session, next).await {
                Some(bytes) => granted = bytes,
                None => break,
            }
        }
        let held = reading.scene.two.lattice.message_memory().received;
        // With what is being read.
        assert!(held <= ByteSize::mib(5), "{held}");
        if granted < (sent + 1) * COUNTED {
            break true;
        }
        if sent * FULL as u64 > MOST.as_u64() {
            break false;
        }
        let part = chunk(sent, Parcel::Partial.count(), vec![7; FULL]);
        reading.liar.say(session, 1, part).await;
        sent += 1;
    };
    assert!(is_cut_off, "it has taken {sent} chunks");
    let (at, bytes, end) = reading.found().await;
    let is_typed = matches!(end, Err(Broken::Invalid { .. } | Broken::CutOff { .. }));
    assert!((at, bytes.len()) == (0, 0) && is_typed, "{end:?}");
    reading.finish(session, 2, b'x').await;
    assert_eq!(reading.found().await, (1, b"x".to_vec(), Ok(())));
    eventually("nothing is held", async || {
        let held = reading.scene.two.lattice.message_memory();
        held.received == ByteSize::bytes(0)
    })
    .await;
    reading.scene.still_works().await;
}

#[tokio::test]
async fn a_call_whose_arguments_have_another_size_than_it_says_does_not_run() {
    let mut reading = Reading::new().await;
    let value = passed(&[HandleName::Stream(1)]);
    let size = value.len() as u64;
    let liar = &mut reading.liar;
    for said in [1, size - 1, size + 1, 1 << 20] {
        let (id, session) = liar.open("reader", said).await;
        liar.credit(session, 0).await;
        liar.say(session, 0, chunk(0, 0, value.clone())).await;
        liar.say(session, 0, Item::End { number: 1 }).await;
        let did_not_run = CallError::Disconnected { ran: Ran::No };
        let reply = liar.reply(id).await;
        assert_eq!(reply.outcome, Err(did_not_run), "{said}");
    }
    let (id, _) = liar.open("reader", u64::MAX).await;
    let reply = liar.reply(id).await;
    assert!(
        matches!(reply.outcome, Err(CallError::TooLarge { .. })),
        "{reply:?}"
    );
    let session = reading.streams(1).await;
    reading.finish(session, 1, b'x').await;
    assert_eq!(reading.found().await, (0, b"x".to_vec(), Ok(())));
    assert!(reading.nothing_else_is_found());
    eventually("no call is left", async || reading.serving.in_flight() == 0).await;
}
