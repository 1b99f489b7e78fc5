//! What passes through `relay`, a component between this one and `origin`.

use crate::lattice_test::values::{
    flows, passing,
    things::{self, Thing},
};
use crate::{bytes, reading, sum, wit_future, wit_stream};
use futures::join;

const COUNT: u64 = 300_000;

pub fn resource() {
    let thing = passing::make("a");
    assert_eq!(thing.name(), "a");
    assert_eq!(passing::look(&thing), "a");
    let thing = passing::pass(thing);
    assert_eq!(things::look(&thing), "a");
    let other = Thing::new("b");
    assert_eq!(passing::look(&other), "b");
    let other = passing::pass(other);
    assert_eq!(other.rename("c"), "b");
    assert_eq!(passing::consume(other), "c");
    assert_eq!(passing::consume(thing), "a");
}

/// `relay` is out of the way of what it only passes on.
pub async fn streams() {
    let read = passing::bytes(COUNT, 10_000).await.collect().await;
    assert!(read.into_iter().eq(bytes(COUNT)));
    let read = passing::readings(1_000).await.collect().await;
    assert!(
        read.iter()
            .zip(0..)
            .all(|(it, n)| it.label == reading(n).label)
    );
    let made = passing::made(20).await.collect().await;
    assert_eq!((made.len(), &*made[19].name()), (20, "made 19"));

    let (mut writer, reader) = wit_stream::new();
    let write = async move { writer.write_all(bytes(COUNT).collect()).await.len() };
    assert_eq!(join!(write, passing::sum_bytes(reader)), (0, sum(COUNT)));
    let anchor = Thing::new("anchor");
    let (mut writer, reader) = wit_stream::new();
    let things = ["a", "b", "c"].map(Thing::new);
    let write = async move { writer.write_all(things.into()).await.len() };
    let (left, names) = join!(write, passing::names_of(reader, &anchor));
    assert_eq!(
        (left, names),
        (0, ["a", "b", "c"].map(str::to_owned).into())
    );
}

/// Streams that come back to the component that has sent them.
pub async fn back() {
    let (mut writer, reader) = wit_stream::new();
    let back = flows::back(reader);
    let write = async move { writer.write_all(bytes(COUNT).collect()).await.len() };
    let (left, read) = join!(write, back.collect());
    assert!(left == 0 && read.into_iter().eq(bytes(COUNT)));

    let (mut writer, reader) = wit_stream::new();
    let back = passing::back(reader).await;
    let write = async move { writer.write_all(bytes(COUNT).collect()).await.len() };
    let (left, read) = join!(write, back.collect());
    assert!(left == 0 && read.into_iter().eq(bytes(COUNT)));

    // There and back, and there again.
    let back = passing::back(flows::bytes(COUNT, 9_999).await).await;
    assert_eq!(flows::sum_bytes(back).await, sum(COUNT));
}

pub async fn future() {
    let anchor = Thing::new("anchor");
    let thing = passing::later("later".to_owned()).await.await;
    assert_eq!(thing.name(), "later");
    let (writer, reader) = wit_future::new(|| unreachable!());
    let name = passing::name_of(reader, &anchor);
    let (written, name) = join!(writer.write(Thing::new("a")), name);
    assert!(written.is_ok());
    assert_eq!(name, "a");

    let (writer, reader) = wit_future::new(|| unreachable!());
    let passed = async { passing::pass_later(reader).await };
    let (written, thing) = join!(writer.write(Thing::new("passed")), passed);
    assert!(written.is_ok());
    assert_eq!(thing.name(), "passed");
    let thing = passing::pass_later(flows::later("again".to_owned()).await);
    assert_eq!(thing.await.name(), "again");
    let (writer, reader) = wit_future::new(|| unreachable!());
    let back = async { flows::back_later(reader).await };
    let (written, thing) = join!(writer.write(Thing::new("back")), back);
    assert!(written.is_ok());
    assert_eq!(thing.name(), "back");
    drop(anchor);
}

/// `relay` reads the beginning of a stream and passes on the rest, of which no byte is lost.
pub async fn rest() {
    for skipped in [0, 1, 70_000] {
        let (mut writer, reader) = wit_stream::new();
        let rest = async { passing::rest(reader, skipped).await.collect().await };
        let write = async move { writer.write_all(bytes(COUNT).collect()).await.len() };
        let (left, read) = join!(write, rest);
        let expected = bytes(COUNT).skip(skipped as usize);
        assert!(
            left == 0 && read.into_iter().eq(expected),
            "after {skipped}"
        );

        let (mut writer, reader) = wit_stream::new();
        let write = async move { writer.write_all(bytes(COUNT).collect()).await.len() };
        let (left, rest) = join!(write, passing::sum_rest(reader, skipped));
        assert_eq!((left, rest), (0, sum(COUNT) - sum(skipped.into())));
    }
}

/// The call ends. What it has passed on either ends as well, or goes on without it.
pub async fn middle_traps() {
    let anchor = Thing::new("anchor");
    let (mut writer, reader) = wit_stream::new();
    let error = passing::trap_while(reader).await.expect_err("it traps");
    assert!(error.contains("on purpose"), "{error}");
    let left = writer.write_all(vec![1; 100]).await.len();
    assert!(left == 0 || left == 100, "{left} are left");
    drop(writer);
    assert_eq!(anchor.name(), "anchor", "`origin` has not trapped");
}
