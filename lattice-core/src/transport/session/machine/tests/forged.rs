//! Items that no end would send, or not now.

use super::*;
use crate::wire::{CancelReason, Item};

fn about(key: SessionKey, from_opener: bool, channel: u32, item: Item) -> SessionItem {
    SessionItem {
        session: SessionName {
            from_opener,
            number: key.number,
        },
        channel,
        item,
    }
}

fn data(number: u64, size: usize) -> Item {
    Item::Chunk {
        number,
        elements: 1,
        bytes: Bytes::from(vec![1; size]),
    }
}

fn credit(received: u64, bytes: u64) -> Item {
    Item::Credit {
        received,
        bytes,
        elements: bytes,
        taken: 0,
        gap: false,
    }
}

fn cancel(reason: CancelReason) -> Item {
    Item::Cancel {
        reason,
        own_channel: false,
        taken: None,
    }
}

#[test]
fn an_unknown_session_is_refused_once_for_each_item_and_a_cancel_never() {
    let mut machine = machine(1);
    let now = Instant::now();
    let key = SessionKey {
        is_own: true,
        number: 77,
    };
    let unknown = |machine: &mut Machine| {
        let told = sent(machine, now);
        told.iter().all(|item| {
            let reason = CancelReason::Unknown;
            item.item == cancel(reason) && item.channel == WHOLE_SESSION
        }) && told.len() == 1
    };
    let end = Item::End { number: 0 };
    for item in [data(0, 1), credit(0, 5), end, Item::Ask] {
        let taken = machine.take(about(key, false, 0, item), now);
        assert_eq!(taken, Ok(()));
        assert!(unknown(&mut machine));
    }
    let item = cancel(CancelReason::Unknown);
    assert_eq!(machine.take(about(key, false, 0, item), now), Ok(()));
    assert!(sent(&mut machine, now).is_empty());
    assert!(machine.is_empty(), "nothing is kept of it");
}

#[test]
fn a_chunk_beyond_the_credit_breaks_its_session_and_no_other() {
    let mut ends = Ends::new(window(40_000));
    let (now, own) = (ends.now, ends.own);
    let second = ends.one.open(Terms::default(), now).expect("room");
    let theirs = ends.other.accept(second.number, Terms::default(), now);
    let theirs = theirs.expect("room");
    ends.carry();
    let first = about(own, true, 0, data(0, MAX_CHUNK));
    ends.other.take(first, now).expect("within the credit");
    let beyond = about(own, true, 0, data(1, MAX_CHUNK));
    assert!(ends.other.take(beyond, now).is_err());
    assert_eq!(ends.next(), Poll::Ready(Err(Broken::Violation)));
    assert_eq!(ends.other.broken(theirs), None);
    assert_eq!(ends.other.room_held(), 0);
    ends.carry();
    assert_eq!(ends.one.broken(own), Some(Broken::Violation));
}

#[test]
fn every_other_broken_rule_breaks_the_session_too() {
    let wrong: [(&str, &[Item]); 7] = [
        ("a large chunk", &[data(0, MAX_CHUNK + 1)]),
        (
            "a chunk after the end",
            &[Item::End { number: 0 }, data(1, 1)],
        ),
        (
            "an end after the end",
            &[Item::End { number: 0 }, Item::End { number: 1 }],
        ),
        ("an acknowledgement of what was not sent", &[]),
        ("an acknowledgement of more than was received", &[]),
        ("a channel without credit", &[]),
        ("elements beyond the credit", &[]),
    ];
    for (what, items) in wrong {
        let mut ends = Ends::new(Window {
            elements: 10,
            ..window(1 << 20)
        });
        ends.carry();
        let (now, own) = (ends.now, ends.own);
        let is_own = what.starts_with("an acknowledgement");
        let mut items: Vec<_> = items
            .iter()
            .map(|item| about(own, true, 0, item.clone()))
            .collect();
        match what {
            "a channel without credit" => items.push(about(own, true, 9, data(0, 1))),
            "elements beyond the credit" => items.push(about(
                own,
                true,
                0,
                Item::Chunk {
                    number: 0,
                    elements: 11,
                    bytes: Bytes::new(),
                },
            )),
            "an acknowledgement of more than was received" => {
                let taken = Item::Credit {
                    received: 0,
                    bytes: 1 << 30,
                    elements: 10,
                    taken: 1,
                    gap: false,
                };
                items.push(about(own, false, 0, taken));
            }
            _ if is_own => items.push(about(own, false, 0, credit(1, 1 << 30))),
            _ => {}
        }
        let last = items.pop().expect("an item");
        let machine = if is_own {
            &mut ends.one
        } else {
            &mut ends.other
        };
        for item in items {
            machine.take(item, now).expect("allowed");
        }
        assert!(machine.take(last, now).is_err(), "{what}");
        let key = if is_own { own } else { ends.theirs };
        let machine = if is_own { &ends.one } else { &ends.other };
        assert_eq!(machine.broken(key), Some(Broken::Violation), "{what}");
    }
}

#[test]
fn repeated_and_late_items_change_nothing() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    for text in ["a", "b"] {
        ends.send(chunk(text)).expect("room");
    }
    ends.one.end((ends.own, 0), ends.now).expect("open");
    let now = ends.now;
    let items = sent(&mut ends.one, now);
    for _ in 0..3 {
        deliver(&mut ends.other, items.clone(), now);
    }
    let credits = sent(&mut ends.other, now);
    for _ in 0..3 {
        deliver(&mut ends.one, credits.clone(), now);
    }
    assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk("a")))));
    assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk("b")))));
    assert_eq!(ends.next(), Poll::Ready(Ok(None)));
    // Everything is complete, and the session of the reader is over.
    ends.other.release_receiver((ends.theirs, 0), now);
    ends.other.release(ends.theirs, now);
    ends.carry();
    assert_eq!(ends.other.open_sessions(), 0);
    deliver(&mut ends.other, items, now);
    let last = ends.other.next_control().expect("acknowledged again");
    assert!(matches!(last.item, Item::Credit { received: 3, .. }));
}

#[test]
fn a_session_that_is_opened_again_is_accepted_once() {
    let (mut machine, now) = (machine(1), Instant::now());
    let key = machine.accept(5, Terms::default(), now).expect("room");
    let again = machine.accept(5, Terms::default(), now);
    assert_eq!(again, Err(Refused::Repeated));
    machine.release(key, now);
    machine.tick(now + ms(60_000));
    assert!(machine.is_empty());
    let replayed = machine.accept(5, Terms::default(), now);
    assert_eq!(replayed, Err(Refused::Repeated));
}

#[test]
fn a_flood_of_forged_items_takes_no_memory() {
    let mut machine = machine(1);
    let now = Instant::now();
    for number in 0..100_000 {
        let key = SessionKey {
            is_own: false,
            number,
        };
        let item = about(key, true, number as u32, data(number, 10));
        machine.take(item, now).expect("unknown");
    }
    assert_eq!(machine.control.len(), MOST_CONTROL);
    assert_eq!((machine.sessions.len(), machine.room_held()), (0, 0));
}

#[test]
fn cancels_for_channels_that_never_were_are_bounded() {
    let mut ends = Ends::new(window(1 << 20));
    let (now, own) = (ends.now, ends.own);
    for channel in 0..100_000 {
        let item = Item::Cancel {
            reason: CancelReason::Dropped,
            own_channel: true,
            taken: None,
        };
        let taken = ends.other.take(about(own, true, channel, item), now);
        assert_eq!(taken, Ok(()));
    }
    let session = &ends.other.sessions[&ends.theirs];
    let remembered = session.incoming.len() + session.gone.remembered();
    assert!(remembered <= 18, "{remembered}");
    assert_eq!(ends.next(), Poll::Ready(Err(Broken::Dropped)));
}

#[test]
fn a_receiver_that_grants_everything_fills_no_memory() {
    let mut ends = Ends::new(window(1 << 20));
    let (now, own) = (ends.now, ends.own);
    let item = about(own, false, 0, credit(0, u64::MAX));
    ends.one.take(item, now).expect("allowed");
    let mut kept = 0;
    while ends.room().is_ready() {
        let bytes = Bytes::from(vec![7; MAX_CHUNK]);
        ends.send(Chunk { bytes, elements: 1 }).expect("room");
        kept += MAX_CHUNK;
    }
    assert!(kept <= 4 << 20, "{kept}");
}
