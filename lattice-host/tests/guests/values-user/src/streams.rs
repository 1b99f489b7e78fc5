//! Streams and futures, made by either side.

use crate::lattice_test::values::{flows, things::Thing};
use crate::{bytes as expected, reading, sum, were_dropped, wit_future, wit_stream};
use futures::join;

/// More than the window of a channel to another host.
const COUNT: u64 = 1_000_000;

pub async fn bytes() {
    for (count, size) in [(0, 1), (1, 1), (1_000, 7), (COUNT, 50_000)] {
        let read = flows::bytes(count, size).await.collect().await;
        assert!(
            read.into_iter().eq(expected(count)),
            "{count} bytes by {size}"
        );
    }
    for count in [0, 1, COUNT] {
        let (mut writer, reader) = wit_stream::new();
        let write = async move { writer.write_all(expected(count).collect()).await.len() };
        assert_eq!(join!(write, flows::sum_bytes(reader)), (0, sum(count)));
    }
    // Two at a time, of which one stands still until the other one has ended.
    let still = flows::bytes(COUNT, 10_000).await;
    let moving = flows::bytes(COUNT, 10_000).await;
    assert_eq!(moving.collect().await.len() as u64, COUNT);
    assert_eq!(still.collect().await.len() as u64, COUNT);
}

pub async fn records() {
    for count in [0, 1, 2_000] {
        let read = flows::readings(count).await.collect().await;
        assert_eq!(read.len() as u32, count);
        for (n, it) in (0..).zip(read) {
            let expected = reading(n);
            assert_eq!(
                (it.x, it.label, it.at, it.tags),
                (expected.x, expected.label, expected.at, expected.tags)
            );
        }
        let (mut writer, reader) = wit_stream::new();
        let write = async move {
            writer
                .write_all((0..count).map(reading).collect())
                .await
                .len()
        };
        let each = |n| reading(n).at + (reading(n).label.len() + reading(n).tags.len()) as u64;
        let expected = (0..count).map(each).sum();
        assert_eq!(join!(write, flows::sum_readings(reader)), (0, expected));
    }
}

pub async fn resources() {
    let anchor = Thing::new("anchor");
    let made = flows::made(50).await.collect().await;
    for (n, it) in made.iter().enumerate() {
        assert_eq!(it.name(), format!("made {n}"));
    }
    let (mut writer, reader) = wit_stream::new();
    let write = async move { writer.write_all(made).await.len() };
    let (left, names) = join!(write, flows::names_of(reader, &anchor));
    assert_eq!((left, names.len(), &*names[49]), (0, 50, "made 49"));
    // Where they lived, in the order in which they were read.
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    were_dropped(&anchor, &names).await;
}

pub async fn nested() {
    let mut streams = flows::nested(vec![0, 1, 70_000, 3_000]).await;
    let mut lengths = Vec::new();
    while let Some(stream) = streams.next().await {
        lengths.push(stream.collect().await.len());
    }
    assert_eq!(lengths, [0, 1, 70_000, 3_000]);

    let (mut outer, reader) = wit_stream::new();
    let write = async move {
        for count in [2_000, 0, 90_000] {
            let (mut inner, reader) = wit_stream::new();
            assert!(outer.write_one(reader).await.is_none());
            assert!(inner.write_all(vec![1; count]).await.is_empty());
        }
    };
    assert_eq!(join!(write, flows::lengths(reader)).1, [2_000, 0, 90_000]);
}

pub async fn futures() {
    assert_eq!(flows::text("later".to_owned()).await.await, "later");
    for outcome in [Ok(7), Err("no".to_owned())] {
        assert_eq!(flows::outcome(outcome.clone()).await.await, outcome);
        let (writer, reader) = wit_future::new(|| unreachable!());
        let (written, read) = join!(writer.write(outcome.clone()), flows::read_outcome(reader));
        assert!(written.is_ok());
        assert_eq!(read, outcome);
    }
    let (writer, reader) = wit_future::new(|| unreachable!());
    let text = "x".repeat(100_000);
    let (written, read) = join!(writer.write(text.clone()), flows::read_text(reader));
    assert!(written.is_ok() && read == text);
}

pub async fn future_of_a_resource() {
    let anchor = Thing::new("anchor");
    let thing = flows::later("later".to_owned()).await.await;
    assert_eq!(thing.name(), "later");
    let (writer, reader) = wit_future::new(|| unreachable!());
    let (written, name) = join!(writer.write(thing), flows::name_of(reader, &anchor));
    assert!(written.is_ok());
    assert_eq!(name, "later");
    were_dropped(&anchor, &["later"]).await;
    // It isn't read, so the resource in it is dropped where it lives.
    drop(flows::later("unwanted".to_owned()).await);
    were_dropped(&anchor, &["unwanted"]).await;
}
