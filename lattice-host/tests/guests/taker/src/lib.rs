//! An actor that uses everything that `giver` exports, and checks what it gets: see `flow.wit`.

wit_bindgen::generate!({ path: "../flow", world: "taker" });

use exports::lattice_test::flow::checks::Guest;
use futures::join;
use lattice_test::flow::pipes::{self, Point};
use lattice_test::flow::store::{self, Bucket, Either};
use lattice_test::flow::trouble;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wit_bindgen::StreamResult;

struct Taker;
export!(Taker);

/// Writes `$batch` so many times, and returns what the other side makes of it.
macro_rules! batches {
    ($call:path, $count:expr, $batch:expr) => {{
        let (mut writer, reader) = wit_stream::new();
        let write = async move {
            for _ in 0..$count {
                assert!(writer.write_all($batch).await.is_empty());
            }
        };
        join!(write, $call(reader)).1
    }};
}

fn point(n: u32) -> Point {
    Point {
        x: n as u8,
        label: format!("p{n}"),
        y: u64::from(n),
        tags: vec![1; n as usize % 9],
    }
}

impl Guest for Taker {
    async fn check(what: String) {
        match &*what {
            "resources" => resources().await,
            "streams" => streams().await,
            "futures" => futures().await,
            "endings" => endings().await,
            "drop-while-lent" => drop_while_lent().await,
            "broken-stream" => broken_stream().await,
            "trapped" => trapped().await,
            "trapped-with-many" => trapped_with_many().await,
            "drained" => drained().await,
            "hoard" => hoard(2_000).await,
            "endless-streams" => endless_streams().await,
            "endless-handles" => endless_handles(),
            _ => unreachable!(),
        }
    }

    async fn bench(what: String, count: u64, size: u32) -> u64 {
        match &*what {
            "plain" => (0..count).map(|n| u64::from(store::plain(n as u32))).sum(),
            "method" => {
                let bucket = Bucket::new("b");
                (0..count).map(|n| u64::from(bucket.plus(n as u32))).sum()
            }
            "borrow" => {
                let bucket = Bucket::new("b");
                (0..count)
                    .map(|_| u64::from(store::same(&bucket, None)))
                    .sum()
            }
            "open-drop" => {
                (0..count).for_each(|_| drop(Bucket::new("b")));
                count
            }
            "bytes" => {
                let (mut writer, reader) = wit_stream::new();
                let write = async move {
                    let mut buffer = vec![7; size as usize];
                    for _ in 0..count {
                        let (result, left) = writer.write(buffer).await;
                        let remaining = left.remaining();
                        buffer = left.into_vec();
                        if remaining > 0 {
                            buffer = writer.write_all(buffer).await;
                        }
                        assert!(result != StreamResult::Dropped);
                        // The same memory again; its bytes are still there.
                        buffer.resize(size as usize, 7);
                    }
                };
                join!(write, pipes::sum_bytes(reader)).1
            }
            "u32" => batches!(pipes::sum_numbers, count, (0..size).collect()),
            "s32" => batches!(pipes::sum_signed, count, (0..size as i32).collect()),
            "strings" => batches!(
                pipes::sum_strings,
                count,
                vec!["sixteen letters.".to_owned(); size as usize]
            ),
            "points" => batches!(pipes::sum_points, count, (0..size).map(point).collect()),
            _ => unreachable!(),
        }
    }
}

async fn resources() {
    let before = store::alive();
    assert_eq!(Bucket::open("").err(), Some("no name".into()));
    let a = Bucket::new("a");
    let b = Bucket::open("b").unwrap();
    a.set("k", &[1, 2, 3]);
    b.set("l", &[4]);
    assert_eq!(
        (a.get("k"), a.get("l"), &*a.name()),
        (Some(vec![1, 2, 3]), None, "a")
    );
    assert!(store::same(&a, Some(&a)) && !store::same(&a, Some(&b)) && !store::same(&a, None));
    assert_eq!(store::total(&[&a, &b, &a]), 3);
    let cursor = b.watch();
    assert_eq!((cursor.next(), cursor.next()), (Some("l".into()), None));
    let ab = Bucket::merge(a, b);
    assert_eq!(
        (ab.get("k"), ab.get("l"), store::total(&[&ab])),
        (Some(vec![1, 2, 3]), Some(vec![4]), 2)
    );
    assert_eq!(store::alive(), (before.0 + 1, before.1 + 1));
    let labelled = store::label(ab, "x");
    assert_eq!(
        (
            &*labelled.label,
            labelled.tags.len(),
            store::total(&[&labelled.it])
        ),
        ("x", 1, 2)
    );
    let right = store::unwrap(Either::Right(labelled)).unwrap();
    let Either::Left(left) = store::choose(0, right) else {
        panic!()
    };
    let Either::Right(right) = store::choose(1, left) else {
        panic!()
    };
    let (it, text) = store::many(
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        right.it,
        &Bucket::new("lent"),
    );
    assert_eq!((&*it.name(), &*text), ("a", "abcdefghlent"));
    assert!(matches!(store::choose(2, it), Either::Neither));
    assert!(store::unwrap(Either::Neither).is_none());
    let parts = store::split(Bucket::new("p"), 100);
    assert_eq!(
        (parts.len(), &*parts[99].name(), store::alive().0),
        (100, "p99", before.0 + 100)
    );
    // Two are lent to a call that waits, while others are used and dropped.
    let (one, two) = (Bucket::new("one"), Bucket::new("two"));
    let set = async {
        drop(parts);
        two.set("k", &[9]);
    };
    assert_eq!(join!(one.wait("k".into(), &two), set).0, [9]);
    drop((one, two, cursor));
    assert_eq!(store::alive(), before);
}

/// Writes all elements to a stream that the function gets, and reads all of the one that it
/// returns.
macro_rules! both {
    ($call:path, $elements:expr) => {{
        let (mut writer, reader) = wit_stream::new();
        let write = async move { assert!(writer.write_all($elements).await.is_empty()) };
        let read = async move { $call(reader).await.collect().await };
        join!(write, read).1
    }};
}

async fn streams() {
    let (mut writer, reader) = wit_stream::new();
    let write = async move { assert!(writer.write_all(vec![1; 300_000]).await.is_empty()) };
    assert_eq!(join!(write, pipes::sum_bytes(reader)).1, 300_000);

    let all = pipes::make_bytes(200_000, 7777).await.collect().await;
    assert!(all.len() == 200_000 && all.iter().all(|byte| *byte == 7));

    let numbers = both!(pipes::double, (0..5000).map(|n| n << 18).collect());
    assert!(numbers.into_iter().eq((0..5000_u32).map(|n| n << 19)));
    assert_eq!(both!(pipes::negate, vec![1, -2, 127]), [-1, 2, -127]);
    assert_eq!(
        both!(pipes::upper, vec!["a".into(), "".into(), "bc".into()]),
        ["A", "", "BC"]
    );
    streams_of_records().await;
    streams_of_handles().await;

    let (mut writer, reader) = wit_stream::new();
    let write = async move { assert!(writer.write_all(vec![(); 1000]).await.is_empty()) };
    assert_eq!(join!(write, pipes::units(reader)).1, 1000);

    // Through the provider and back, which leaves the provider out of it.
    let (mut writer, reader) = wit_stream::new();
    let back = pipes::pass_stream(reader);
    let write = async move { assert!(writer.write_all(vec![5; 100_000]).await.is_empty()) };
    assert_eq!(join!(write, back.collect()).1.len(), 100_000);
}

async fn streams_of_records() {
    for count in [0, 1, 13, 1000] {
        let (mut writer, reader) = wit_stream::new();
        let write = async move {
            assert!(
                writer
                    .write_all((0..count).map(point).collect())
                    .await
                    .is_empty()
            )
        };
        let read = async {
            let (points, end) = pipes::points(reader).await;
            (points.collect().await, end.await)
        };
        let (points, end) = join!(write, read).1;
        assert_eq!(
            end,
            if count == 13 {
                Err("thirteen".into())
            } else {
                Ok(count)
            }
        );
        assert_eq!(points.len() as u32, count);
        for (n, p) in points.into_iter().enumerate() {
            let want = point(n as u32);
            assert!(
                p.x == want.x
                    && p.label == want.label + "!"
                    && p.y == want.y
                    && p.tags == want.tags
            );
        }
    }
}

async fn streams_of_handles() {
    let before = store::alive();
    let buckets = both!(
        pipes::buckets,
        (0..50).map(|n| Bucket::new(&n.to_string())).collect()
    );
    assert!(
        buckets
            .iter()
            .enumerate()
            .all(|(n, it)| it.name() == n.to_string() && it.get("seen").is_some())
    );
    drop(buckets);
    assert_eq!(store::alive(), before);

    let (mut outer, reader) = wit_stream::new();
    let write = async move {
        for n in 1..4 {
            let (mut inner, reader) = wit_stream::new();
            assert!(outer.write_one(reader).await.is_none());
            assert!(inner.write_all(vec![0; n * 1000]).await.is_empty());
        }
    };
    assert_eq!(join!(write, pipes::nested(reader)).1, [1000, 2000, 3000]);
}

async fn futures() {
    let (writer, reader) = wit_future::new(|| unreachable!());
    let read = async { pipes::optional(Some(reader)).await.await };
    let (written, read) = join!(writer.write("really".into()), read);
    assert_eq!((written.is_ok(), read), (true, Some("really?".into())));
    assert_eq!(pipes::optional(None).await.await, None);

    let (writer, reader) = wit_future::new(|| ());
    let read = async { pipes::signal(reader).await.await };
    assert!(join!(writer.write(()), read).0.is_ok());

    let (writer, reader) = wit_future::new(|| unreachable!());
    let back = pipes::pass_future(reader);
    let (written, read) = join!(writer.write("round".into()), async { back.await });
    assert_eq!((written.is_ok(), &*read), (true, "round"));
}

async fn endings() {
    // The reader goes away: the writer is told, and has the rest. What was on its way to another
    // host then is lost.
    let (mut writer, reader) = wit_stream::new();
    let write = async move { writer.write_all(vec![1; 100_000]).await.len() };
    let (left, read) = join!(write, pipes::some_bytes(reader, 70_000));
    assert_eq!(read, 70_000);
    assert!(left <= 30_000, "{left}");

    // The other way round.
    let mut reader = pipes::make_bytes(1_000_000, 1000).await;
    assert_eq!(reader.next().await, Some(7));
    drop(reader);

    // Never read at all.
    drop(pipes::make_bytes(1_000_000, 1000).await);

    // The reader drops the future, so the write gives the value back.
    let (writer, reader) = wit_future::new(|| unreachable!());
    let mut write = pin!(writer.write("unread".into()));
    assert!(poll(write.as_mut()).is_pending());
    pipes::drop_future(reader);
    assert_eq!(write.await.unwrap_err().value, "unread");

    // A read that is cancelled, and done again.
    let (mut writer, reader) = wit_stream::new();
    let mut back = pipes::double(reader).await;
    let mut read = Box::pin(back.read(Vec::with_capacity(4)));
    assert!(poll(read.as_mut()).is_pending());
    assert!(matches!(read.as_mut().cancel(), (StreamResult::Cancelled, none) if none.is_empty()));
    drop(read);
    let write = async move { assert!(writer.write_all(vec![1, 2]).await.is_empty()) };
    assert_eq!(join!(write, back.collect()).1, [2, 4]);

    // A write that is cancelled before anybody reads gives back all it had.
    let (mut writer, reader) = wit_stream::new();
    let back = pipes::pass_stream(reader);
    let mut write = Box::pin(writer.write(vec![1, 2, 3]));
    assert!(poll(write.as_mut()).is_pending());
    let (result, left) = write.as_mut().cancel();
    assert_eq!((result, left.remaining()), (StreamResult::Cancelled, 3));
    drop(write);
    drop(writer);
    assert!(back.collect().await.is_empty());
}

/// The handle goes while a call that it was lent to is still running: a trap in this guest, as in
/// one store.
async fn drop_while_lent() {
    let (one, two) = (Bucket::new("one"), Bucket::new("two"));
    {
        let mut wait = pin!(one.wait("k".into(), &two));
        assert!(poll(wait.as_mut()).is_pending());
        two.set("k", &[1]);
        wait.await;
    }
    drop((one, two));
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The writer traps in the middle: this guest must not see an end.
async fn broken_stream() {
    let mut reader = trouble::fail_after(10_000).await;
    let mut read = 0;
    loop {
        let (result, bytes) = reader.read(Vec::with_capacity(3_000)).await;
        read += bytes.len();
        if result == StreamResult::Dropped {
            panic!("a clean end after {read} bytes");
        }
    }
}

/// The instance that has a resource traps: its handles are stale.
async fn trapped() {
    let bucket = Bucket::new("b");
    let error = trouble::trap().unwrap_err();
    assert!(error.contains("on purpose"), "{error}");
    bucket.name();
}

/// It traps with many resources and streams. None of them hangs.
async fn trapped_with_many() {
    let buckets: Vec<_> = (0..1_000).map(|n| Bucket::new(&n.to_string())).collect();
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(pipes::make_bytes(1_000_000, 1_000).await);
    }
    assert_eq!(store::alive().0, 1_000, "all are in one instance");
    trouble::trap().unwrap_err();
    // The next instance knows nothing of them.
    assert_eq!(store::alive().0, 0);
    drop(buckets);
    drop(streams);
    assert_eq!(Bucket::new("again").name(), "again");
}

/// The callee reads on when the call has returned, and stays for that.
async fn drained() {
    let (mut writer, reader) = wit_stream::new();
    trouble::drain(reader).await;
    assert!(writer.write_all(vec![1; 300_000]).await.is_empty());
    // The instance stays for this.
    let bucket = Bucket::new("b");
    drop(writer);
    while trouble::drained() < 300_000 {
        wit_bindgen::yield_async().await;
    }
    drop(bucket);
}

/// Opens streams, and keeps all of them, until it may not.
async fn endless_streams() {
    let mut all = Vec::new();
    loop {
        all.push(pipes::make_bytes(1, 1).await);
    }
}

/// The same with resources.
fn endless_handles() {
    let mut all = Vec::new();
    loop {
        all.push(Bucket::new("b"));
    }
}

async fn hoard(count: u32) {
    let all = trouble::hoard(count);
    assert_eq!(all.len(), count as usize);
}
