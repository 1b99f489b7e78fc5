//! What sessions do when nothing is lost.

use super::*;

#[test]
fn chunks_arrive_in_order_and_then_the_end() {
    let mut ends = Ends::new(window(1 << 20));
    assert!(ends.room().is_pending(), "no credit yet");
    ends.carry();
    assert!(ends.room().is_ready());
    for text in ["a", "b", "c"] {
        ends.send(chunk(text)).expect("room");
    }
    ends.one.end((ends.own, 0), ends.now).expect("open");
    assert!(ends.next().is_pending());
    ends.carry();
    for text in ["a", "b", "c"] {
        assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk(text)))));
    }
    assert_eq!(ends.next(), Poll::Ready(Ok(None)));
    ends.carry();
    let complete = ends.one.poll_complete((ends.own, 0), Waker::noop());
    assert_eq!(complete, Poll::Ready(Ok(())));
    assert_eq!(ends.next(), Poll::Ready(Ok(None)), "it stays ended");
}

#[test]
fn a_sender_without_an_end_is_never_taken_for_one_with() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    ends.send(chunk("a")).expect("room");
    ends.carry();
    ends.one.release_sender((ends.own, 0), ends.now);
    ends.carry();
    assert_eq!(ends.next(), Poll::Ready(Err(Broken::Dropped)));
}

#[test]
fn a_reader_that_is_dropped_stops_the_sender() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    ends.other.release_receiver((ends.theirs, 0), ends.now);
    ends.carry();
    assert_eq!(ends.room(), Poll::Ready(Err(Broken::Dropped)));
    assert_eq!(ends.send(chunk("a")), Err(Broken::Dropped));
}

#[test]
fn a_reader_that_stops_stops_its_sender_at_its_window() {
    let mut ends = Ends::new(window(100_000));
    let mut sent = 0;
    for _ in 0..50 {
        ends.carry();
        while ends.room().is_ready() {
            let bytes = Bytes::from(vec![7; MAX_CHUNK]);
            ends.send(Chunk { bytes, elements: 1 }).expect("room");
            sent += MAX_CHUNK;
        }
        ends.wait(ms(300));
    }
    assert_eq!(sent, 3 * MAX_CHUNK);
    assert_eq!(ends.other.room_held(), 100_000);
    assert!(ends.next().is_ready() && ends.next().is_ready());
    ends.carry();
    assert!(ends.room().is_ready(), "as much as was read");
}

#[test]
fn a_window_grows_for_a_reader_that_keeps_up_and_only_for_one() {
    let most = 1 << 20;
    let bytes = 64 << 10;
    for reads in [true, false] {
        let mut ends = Ends::new(Window {
            bytes,
            most,
            elements: u64::MAX,
        });
        for _ in 0..200 {
            ends.carry();
            while ends.room().is_ready() {
                let bytes = Bytes::from(vec![7; MAX_CHUNK]);
                ends.send(Chunk { bytes, elements: 1 }).expect("room");
            }
            while reads && ends.next().is_ready() {}
        }
        let expected = if reads { most } else { bytes };
        assert_eq!(ends.other.room_held(), expected, "{reads}");
    }
}

#[test]
fn windows_grow_only_while_there_is_much_memory() {
    let now = Instant::now();
    let mut machine = machine_within(1, 2 << 20, 10);
    let key = machine.accept(1, Terms::default(), now).expect("room");
    let window = Window {
        bytes: 128 << 10,
        most: 1 << 20,
        elements: u64::MAX,
    };
    machine.receive(key, 0, window, now).expect("room");
    let name = SessionName {
        from_opener: true,
        number: 1,
    };
    for number in 0..40 {
        let bytes = Bytes::from(vec![7; MAX_CHUNK]);
        let elements = 1;
        let item = SessionItem {
            session: name,
            channel: 0,
            item: Item::Chunk {
                number,
                elements,
                bytes,
            },
        };
        deliver(&mut machine, vec![item], now);
        assert!(machine.poll_chunk((key, 0), Waker::noop(), now).is_ready());
    }
    assert_eq!(machine.room_held(), 256 << 10, "a quarter of its share");
}

#[test]
fn elements_have_credit_too() {
    let mut ends = Ends::new(Window {
        elements: 3,
        ..window(1 << 20)
    });
    ends.carry();
    assert_eq!(ends.room(), Poll::Ready(Ok(3)));
    let two = Chunk {
        elements: 2,
        ..chunk("ab")
    };
    ends.send(two).expect("room");
    assert_eq!(ends.room(), Poll::Ready(Ok(1)));
    ends.send(chunk("c")).expect("room");
    ends.carry();
    assert!(ends.room().is_pending());
    assert!(ends.next().is_ready());
    ends.carry();
    assert_eq!(ends.room(), Poll::Ready(Ok(2)));
}

#[test]
fn both_ends_send_and_one_may_end_before_the_other() {
    let mut ends = Ends::new(window(1 << 20));
    let (now, own, theirs) = (ends.now, ends.own, ends.theirs);
    ends.other.open_channel(theirs, 0, now).expect("room");
    ends.one
        .receive(own, 0, window(1 << 20), now)
        .expect("room");
    ends.carry();
    ends.one.end((own, 0), now).expect("open");
    ends.carry();
    assert_eq!(ends.next(), Poll::Ready(Ok(None)));
    let sent = ends.other.send((theirs, 0), chunk("back"), None, now);
    sent.expect("still open");
    ends.carry();
    let back = ends.one.poll_chunk((own, 0), Waker::noop(), now);
    assert_eq!(back, Poll::Ready(Ok(Some(chunk("back")))));
}

#[test]
fn deadlines_and_silence_break_a_session_at_both_ends() {
    for (terms, broken) in [
        (
            Terms {
                deadline: Some(Instant::now() + ms(1_000)),
                idle: None,
            },
            Broken::Deadline,
        ),
        (
            Terms {
                deadline: None,
                idle: Some(ms(1_000)),
            },
            Broken::Idle,
        ),
    ] {
        let (mut one, mut other) = (machine(1), machine(1));
        let now = Instant::now();
        let key = one.open(terms, now).expect("room");
        one.open_channel(key, 0, now).expect("room");
        let theirs = other.accept(key.number, Terms::default(), now);
        let theirs = theirs.expect("room");
        one.tick(now + ms(900));
        assert_eq!(one.broken(key), None);
        one.tick(now + ms(1_100));
        assert_eq!(one.broken(key), Some(broken));
        deliver(&mut other, sent(&mut one, now), now);
        assert_eq!(other.broken(theirs), Some(broken));
    }
}

#[test]
fn there_are_only_so_many_sessions_and_channels() {
    let now = Instant::now();
    let mut machine = machine_within(1, MEMORY, 3);
    for number in 1..=2 {
        machine.accept(number, Terms::default(), now).expect("room");
    }
    let key = machine.open(Terms::default(), now).expect("room");
    let more = machine.accept(3, Terms::default(), now);
    assert_eq!(more, Err(Refused::TooMany));
    assert_eq!(machine.open(Terms::default(), now), Err(Refused::TooMany));
    for channel in 0..MOST_CHANNELS as u32 {
        machine.open_channel(key, channel, now).expect("room");
    }
    let more = machine.open_channel(key, 5_000, now);
    assert_eq!(more, Err(Refused::TooMany));
    machine.release(key, now);
    for channel in 0..MOST_CHANNELS as u32 {
        machine.release_sender((key, channel), now);
    }
    machine
        .accept(3, Terms::default(), now)
        .expect("a place is free");
    assert_eq!(
        machine
            .limits
            .taken
            .load(std::sync::atomic::Ordering::Relaxed),
        3
    );
}

#[test]
fn a_channel_gets_the_memory_that_there_is_or_none() {
    let now = Instant::now();
    let mut machine = machine_within(1, 200_000, 10);
    let key = machine.accept(1, Terms::default(), now).expect("room");
    machine
        .receive(key, 0, window(1 << 20), now)
        .expect("less than it wanted");
    let opened: Vec<_> = (1..10)
        .map(|channel| machine.receive(key, channel, window(1 << 20), now))
        .collect();
    assert_eq!(opened[..3], [Ok(()); 3], "the least, beyond its share");
    assert_eq!(opened[3..], [Err(Refused::NoMemory); 6]);
    assert!(machine.room_held() <= 200_000);
    machine.give_up(key);
    assert_eq!(machine.room_held(), 0);
}

#[test]
fn the_sender_of_a_channel_that_is_refused_learns_it_at_once() {
    let (mut one, mut other) = (machine(1), machine_within(1, 100_000, 10));
    let now = Instant::now();
    let key = one.open(Terms::default(), now).expect("room");
    let theirs = other.accept(key.number, Terms::default(), now);
    let theirs = theirs.expect("room");
    let mut refused = Vec::new();
    for channel in 0..9 {
        one.open_channel(key, channel, now).expect("room");
        let received = other.receive(theirs, channel, window(1 << 20), now);
        if received.is_err() {
            assert_eq!(received, Err(Refused::NoMemory));
            refused.push(channel);
        }
    }
    assert!(refused.len() >= 6, "{refused:?}");
    one.open_channel(key, 9, now).expect("room");
    other.refuse_channel(theirs, 9);
    refused.push(9);
    deliver(&mut one, sent(&mut other, now), now);
    for channel in refused {
        let room = one.poll_room((key, channel), Waker::noop());
        assert_eq!(room, Poll::Ready(Err(Broken::Dropped)), "{channel}");
    }
    assert!(one.poll_room((key, 0), Waker::noop()).is_ready());
    let late = other.receive(theirs, 9, window(1 << 20), now);
    assert_eq!(late, Err(Refused::Repeated));
}

#[test]
fn beside_small_calls_little_is_in_flight() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    while ends.room().is_ready() {
        let bytes = Bytes::from(vec![7; MAX_CHUNK]);
        ends.send(Chunk { bytes, elements: 1 }).expect("room");
    }
    let few = |ends: &mut Ends| {
        let now = ends.now;
        let items: Vec<_> = std::iter::from_fn(|| ends.one.next_part(128 << 10, now)).collect();
        items
    };
    let first = few(&mut ends);
    assert_eq!(first.len(), 4);
    let now = ends.now;
    deliver(&mut ends.other, first, now);
    let credits = sent(&mut ends.other, now);
    deliver(&mut ends.one, credits, now);
    assert_eq!(few(&mut ends).len(), 4, "as much as was acknowledged");
}

#[test]
fn an_item_that_had_no_room_is_sent_later_in_its_place() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    for text in ["a", "b"] {
        ends.send(chunk(text)).expect("room");
    }
    let now = ends.now;
    let first = ends.one.next_part(usize::MAX, now).expect("a chunk");
    ends.one.put_back(&first);
    ends.one.tick(now + ms(4_000));
    assert_eq!(ends.one.next_part(usize::MAX, now), Some(first.clone()));
    ends.one.put_back(&first);
    ends.carry();
    assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk("a")))));
    assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk("b")))));
}
