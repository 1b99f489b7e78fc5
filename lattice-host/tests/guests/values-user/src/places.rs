//! Handles in values that are in streams and futures, and streams and futures in values.

use crate::lattice_test::values::{
    places::{self, Holding, Job, Label},
    things::Thing,
};
use crate::{were_dropped, wit_future, wit_stream};
use futures::join;

/// More than a message of the bus has.
const LARGE: u32 = 1_500_000;

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

/// Methods with resources of another type.
pub async fn two_types() {
    let (a, b) = (Thing::new("a"), Thing::new("b"));
    assert_eq!(
        Label::new("").err().as_deref(),
        Some("a label needs a text")
    );
    let label = Label::new("c").expect("a text");
    assert_eq!((&*label.text(), &*label.put_on(&a)), ("c", "a"));
    assert_eq!(a.name(), "c");
    assert_eq!(label.read(&a, &b).await, ["c", "b"]);
    let made = Label::made("d".to_owned()).await;
    let b = Label::turn_into(made, b);
    assert_eq!(b.name(), "d");
    assert!(a.dropped().is_empty(), "both are there");
}

/// Records with members of every kind.
pub async fn records() {
    for count in [0, 1, 1_000] {
        let samples = places::samples(count).await.collect().await;
        assert_eq!(samples.len() as u32, count);
        let (mut writer, reader) = wit_stream::new();
        let write = async move { writer.write_all(samples).await.len() };
        assert_eq!(join!(write, places::count_right(reader)), (0, count));
    }
}

/// Elements that have some resources, or none.
pub async fn holdings() {
    let anchor = Thing::new("anchor");
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let held = places::holdings(names).await.collect().await;
    assert!(matches!(held[0], Holding::Nothing));
    let Holding::Many(many) = &held[39] else {
        panic!("another case");
    };
    assert_eq!(many[1].name(), "39 2");
    let (mut writer, reader) = wit_stream::new();
    let write = async move { writer.write_all(held).await.len() };
    let (left, names) = join!(write, places::names_held(reader, &anchor));
    assert_eq!((left, names.len()), (0, 50));
    let expected = texts(["nothing", "37", "label of 3838", "39 1", "39 2"]);
    assert_eq!(names[45..], expected);
    were_dropped(&anchor, &["39 1", "39 2"]).await;

    let mut tried = places::tried(texts(["x", "", "y"])).await;
    let x = tried.next().await.expect("an element").expect("a thing");
    let none = tried.next().await.expect("an element");
    assert_eq!(none.err().as_deref(), Some("a thing needs a name"));
    // The last one isn't read, and is dropped where it lives.
    drop(tried);
    were_dropped(&anchor, &["y"]).await;
    let (mut writer, reader) = wit_stream::new();
    let write = async move { writer.write_all(vec![None, Some(x), None]).await.len() };
    let (left, names) = join!(write, places::names_of_some(reader, &anchor));
    assert_eq!((left, names), (0, vec![None, Some("x".to_owned()), None]));
    were_dropped(&anchor, &["x"]).await;
}

/// Futures that fail as a value.
pub async fn promises() {
    let anchor = Thing::new("anchor");
    let none = places::promised(String::new()).await.await;
    assert_eq!(none.err().as_deref(), Some("a thing needs a name"));
    let it = places::promised("a".to_owned()).await.await;
    let outcomes = [
        (it, Ok("a".to_owned())),
        (Err("no".to_owned()), Err("no".to_owned())),
    ];
    for (outcome, expected) in outcomes {
        let (writer, reader) = wit_future::new(|| unreachable!());
        let read = places::read_promise(reader, &anchor);
        let (written, read) = join!(writer.write(outcome), read);
        assert!(written.is_ok());
        assert_eq!(read, expected);
    }
    were_dropped(&anchor, &["a"]).await;
}

/// Elements that are larger than a message.
pub async fn large_elements() {
    let sizes = vec![0, 1, LARGE, 70_000];
    let blobs = places::blobs(sizes.clone()).await.collect().await;
    let found: Vec<u32> = blobs.iter().map(|blob| blob.len() as u32).collect();
    assert_eq!(found, sizes);
    let (mut writer, reader) = wit_stream::new();
    let write = async move { writer.write_all(blobs).await.len() };
    assert_eq!(join!(write, places::sizes_of(reader)), (0, sizes));
}

/// Streams and futures in values, and in each other.
pub async fn in_values() {
    let error = places::opened(0).await.err();
    assert_eq!(error.as_deref(), Some("there is nothing to read"));
    let opened = places::opened(5_000).await.expect("a stream");
    assert_eq!(opened.collect().await.len(), 5_000);

    let ((mut one, first), (mut two, second)) = (wit_stream::new(), wit_stream::new());
    let write = async move {
        assert!(one.write_all(vec![1; 3_000]).await.is_empty());
        drop(one);
        assert!(two.write_all(vec![2; 40_000]).await.is_empty());
    };
    let total = places::total_of(vec![first, second]);
    assert_eq!(join!(write, total).1, 43_000);
    assert_eq!(places::total_of(Vec::new()).await, 0);
    assert_eq!(places::total_of_some(None).await, None);
    let some = places::opened(10).await.expect("a stream");
    assert_eq!(places::total_of_some(Some(some)).await, Some(10));

    let late = places::late_bytes(2_000).await.await;
    assert_eq!(late.collect().await.len(), 2_000);
    let mut later = places::texts(texts(["a", "b"])).await;
    let mut all = Vec::new();
    while let Some(text) = later.next().await {
        all.push(text.await);
    }
    assert_eq!(all, ["a", "b"]);
}

/// A record with handles of every kind, there and back.
pub async fn in_a_record() {
    let anchor = Thing::new("anchor");
    let (mut input, of) = wit_stream::new();
    let (reply, later) = wit_future::new(|| unreachable!());
    let job = Job {
        label: "job".to_owned(),
        input: of,
        it: Thing::new("it"),
        reply: later,
    };
    let write = async move {
        assert!(input.write_all(vec![7; 100_000]).await.is_empty());
        drop(input);
        assert!(reply.write("really".to_owned()).await.is_ok());
    };
    let read = async {
        let done = places::done(job).await;
        let bytes = done.input.collect().await;
        (done.label, bytes.len(), done.it, done.reply.await)
    };
    let (label, bytes, it, reply) = join!(write, read).1;
    assert_eq!((&*label, bytes, &*reply), ("job!", 100_000, "really?"));
    assert_eq!(it.name(), "it");
    drop(it);
    were_dropped(&anchor, &["it"]).await;
}
