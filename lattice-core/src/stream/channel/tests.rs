use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

type End = fn(Writer, Broken);

#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn chunk(count: usize) -> Chunk {
    Chunk {
        count,
        bytes: Bytes::from(vec![7; count]),
        handles: Handles::new(),
    }
}

fn room(writer: &mut Writer) -> Poll<Option<usize>> {
    writer.poll_room(&mut Context::from_waker(Waker::noop()))
}

fn next(reader: &mut Reader) -> Poll<Result<Option<usize>, Broken>> {
    let next = reader.poll_chunk(&mut Context::from_waker(Waker::noop()));
    next.map_ok(|chunk| chunk.map(|chunk| chunk.count))
}

#[test]
fn no_more_is_sent_than_was_asked_for() {
    let (mut writer, mut reader) = channel();
    assert_eq!(room(&mut writer), Poll::Pending);
    assert_eq!(writer.send(chunk(1)), Err(NotSent::NoRoom));
    reader.ask(5);
    assert_eq!(room(&mut writer), Poll::Ready(Some(5)));
    assert_eq!(writer.send(chunk(0)), Err(NotSent::NoRoom));
    assert_eq!(writer.send(chunk(6)), Err(NotSent::NoRoom));
    assert_eq!(writer.send(chunk(3)), Ok(()));
    // Two are still due, and three wait to be read.
    reader.ask(5);
    assert_eq!(room(&mut writer), Poll::Ready(Some(2)));
    assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(3))));
    reader.ask(5);
    assert_eq!(room(&mut writer), Poll::Ready(Some(5)));
}

#[test]
fn a_writer_is_woken_once_for_several_chunks() {
    let (mut writer, mut reader) = channel();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let asleep = |writer: &mut Writer| {
        let room = writer.poll_room(&mut Context::from_waker(&waker));
        (room, woken.0.load(Ordering::Relaxed))
    };
    assert_eq!(asleep(&mut writer), (Poll::Pending, 0));
    reader.ask_below(4, 8);
    assert_eq!(asleep(&mut writer), (Poll::Ready(Some(8)), 1));
    for _ in 0..8 {
        assert_eq!(writer.send(chunk(1)), Ok(()));
    }
    for _ in 0..4 {
        assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(1))));
        reader.ask_below(4, 8);
        assert_eq!(room(&mut writer), Poll::Pending, "half are still due");
    }
    assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(1))));
    reader.ask_below(4, 8);
    assert_eq!(room(&mut writer), Poll::Ready(Some(5)));
    reader.ask_below(9, 8);
    assert_eq!(room(&mut writer), Poll::Ready(Some(5)), "no more than that");
}

#[test]
fn an_end_and_a_break_are_told_apart_and_come_after_what_was_sent() {
    let failed = Broken::InstanceLost {
        reason: "it trapped".into(),
    };
    let ends: [(End, _); 3] = [
        (|writer, _| writer.end(), Ok(None)),
        (|writer, _| drop(writer), Err(Broken::WriterLost)),
        (Writer::fail, Err(failed.clone())),
    ];
    for (end, expected) in ends {
        let (mut writer, mut reader) = channel();
        reader.ask(2);
        writer.send(chunk(2)).expect("there is room");
        end(writer, failed.clone());
        assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(2))));
        assert_eq!(next(&mut reader), Poll::Ready(expected.clone()));
        assert_eq!(next(&mut reader), Poll::Ready(expected), "each time");
    }
}

#[test]
fn a_writer_sees_that_its_reader_is_gone() {
    let (mut writer, mut reader) = channel();
    reader.ask(1);
    drop(reader);
    assert_eq!(room(&mut writer), Poll::Ready(None));
    assert_eq!(writer.send(chunk(1)), Err(NotSent::NotRead));
}

#[test]
fn both_ends_are_woken() {
    let woken = Arc::new(Woken::default());
    let count = || woken.0.load(Ordering::Relaxed);
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let (mut writer, mut reader) = channel();
    assert!(writer.poll_room(&mut cx).is_pending());
    reader.ask(2);
    assert_eq!(count(), 1, "room");
    assert!(reader.poll_chunk(&mut cx).is_pending());
    writer.send(chunk(2)).expect("there is room");
    assert_eq!(count(), 2, "a chunk");
    assert!(reader.poll_chunk(&mut cx).is_ready());
    assert!(reader.poll_chunk(&mut cx).is_pending());
    writer.end();
    assert_eq!(count(), 3, "the end");
    let (mut writer, reader) = channel();
    assert!(writer.poll_room(&mut cx).is_pending());
    drop(reader);
    assert_eq!(count(), 4, "the reader's end");
    let (mut writer, mut reader) = channel();
    reader.ask(1);
    assert!(writer.poll_unread(&mut cx).is_pending());
    drop(reader);
    assert_eq!(count(), 5, "the reader's end, with room");
    assert!(writer.poll_unread(&mut cx).is_ready());
}

#[test]
fn the_rest_of_a_chunk_comes_first() {
    let (mut writer, mut reader) = channel();
    reader.ask(3);
    writer.send(chunk(2)).expect("there is room");
    writer.send(chunk(1)).expect("there is room");
    assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(2))));
    reader.put_back(chunk(1));
    assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(1))));
    reader.put_back(chunk(1));
    reader.put_back(chunk(0));
    assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(1))));
    assert_eq!(
        next(&mut reader),
        Poll::Ready(Ok(Some(1))),
        "the second one"
    );
    assert_eq!(next(&mut reader), Poll::Pending);
}

#[test]
fn a_writer_of_small_chunks_waits_for_its_reader() {
    let (mut writer, mut reader) = channel();
    reader.ask(1_000);
    for _ in 0..MOST_CHUNKS {
        assert!(room(&mut writer).is_ready());
        writer.send(chunk(1)).expect("there is room");
    }
    assert_eq!(room(&mut writer), Poll::Pending);
    assert_eq!(next(&mut reader), Poll::Ready(Ok(Some(1))));
    assert!(room(&mut writer).is_ready());
}

#[test]
fn channels_in_unread_chunks_break() {
    let (mut outer, mut reader) = channel();
    let (mut inner, handle) = channel();
    reader.ask(1);
    let sent = outer.send(Chunk {
        handles: vec![crate::stream::Handle::Stream(handle)],
        ..chunk(1)
    });
    assert_eq!(sent, Ok(()));
    drop(reader);
    assert_eq!(room(&mut inner), Poll::Ready(None));
}
