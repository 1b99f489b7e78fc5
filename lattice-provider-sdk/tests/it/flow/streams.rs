//! Streams and futures, each way, whole and not.

use super::{
    Buckets, Live, PipesClient, link, served, store::BucketClient, test::flow::pipes::INTERFACE,
    until,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use lattice_core::call::CallError;
use lattice_provider_sdk::{
    Broken, ByteReader, Bytes, FutureReader, IntoService as _, Lattice, NotSent, StreamReader,
    serve,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

type Outcome = Result<(), CallError>;

#[tokio::test]
async fn a_stream_of_numbers_goes_each_way() -> Outcome {
    let served = served().await;
    let numbers = StreamReader::new(stream::iter(0..40_000_u32));
    let sum = served.pipes.sum(numbers).timeout(Duration::from_mins(1));
    assert_eq!(sum.await?, Ok(799_980_000));
    let numbers = served.pipes.count(7).await?;
    let some: Vec<_> = numbers.take(40_000).try_collect().await.expect("whole");
    assert!(some.into_iter().eq(7..40_007));
    until(&served.sources, 0).await;
    Ok(())
}

#[tokio::test]
async fn bytes_go_each_way() -> Outcome {
    let served = served().await;
    let size = 3 << 20;
    let chunks = [Bytes::new(), vec![1; size].into(), Bytes::from_static(b"!")];
    let data = ByteReader::new(stream::iter(chunks));
    let upload = served.pipes.upload(data).timeout(Duration::from_mins(1));
    assert_eq!(upload.await?, size as u64 + 1);
    let data = served.pipes.download(size as u64 + 5).await?;
    let chunks: Vec<_> = data.try_collect().await.expect("whole");
    assert!(
        chunks
            .iter()
            .all(|chunk| (1..=64 << 10).contains(&chunk.len()))
    );
    assert_eq!(chunks.concat(), vec![7; size + 5]);
    Ok(())
}

#[tokio::test]
async fn a_source_is_asked_for_no_more_than_its_reader_takes() -> Outcome {
    let served = served().await;
    let taken = Arc::new(AtomicU32::new(0));
    let source = stream::iter(0_u32..).inspect({
        let taken = taken.clone();
        move |_| {
            taken.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (data, numbers) = (ByteReader::new(stream::empty()), StreamReader::new(source));
    let call = served.pipes.echo(data, numbers);
    assert_eq!(
        taken.load(Ordering::SeqCst),
        0,
        "nothing is taken before the call"
    );
    // The provider reads one number and passes the others on, and nothing reads those.
    let (_data, mut numbers) = call.await?;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ahead = 16 * 1024;
    assert!((1..=ahead).contains(&taken.load(Ordering::SeqCst)));
    // What the provider had read ahead is passed on first.
    assert_eq!(numbers.next().await, Some(Ok(1)));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(taken.load(Ordering::SeqCst) <= 3 * ahead);
    Ok(())
}

#[tokio::test]
async fn a_broken_stream_is_not_taken_for_a_whole_one() -> Outcome {
    let served = served().await;
    let mut numbers = served.pipes.broken(2).await?;
    assert_eq!(numbers.next().await, Some(Ok(0)));
    assert_eq!(numbers.next().await, Some(Ok(1)));
    let reason = "out of numbers".into();
    assert_eq!(numbers.next().await, Some(Err(Broken::Failed { reason })));
    assert_eq!(numbers.next().await, None, "nothing follows");
    let mut lost = served.pipes.lost().await?;
    assert_eq!(lost.next().await, Some(Err(Broken::WriterLost)));

    let (mut writer, numbers) = StreamReader::channel();
    let sum = served.pipes.sum(numbers);
    let written = async {
        writer.send(1).await.expect("it is read");
        writer.fail("no more");
    };
    let (sum, ()) = tokio::join!(sum, written);
    assert_eq!(sum?, Err("its writer broke it: no more".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_writer_sees_that_its_reader_is_gone() -> Outcome {
    let served = served().await;
    let (mut writer, numbers) = StreamReader::channel();
    // A call that is never made.
    drop(served.pipes.sum(numbers));
    writer.unread().await;
    assert_eq!(writer.send(1).await, Err(NotSent::NotRead));
    let (mut writer, later) = FutureReader::<String>::channel();
    drop(served.pipes.wait(later));
    writer.unread().await;
    // A call whose callee doesn't read to the end.
    let (mut writer, numbers) = StreamReader::channel();
    let echo = served.pipes.echo(ByteReader::new(stream::empty()), numbers);
    let (echo, sent) = tokio::join!(echo, writer.send(0));
    assert_eq!(sent, Ok(()));
    drop(echo?);
    writer.unread().await;
    Ok(())
}

#[tokio::test]
async fn a_reader_that_goes_ends_a_source_that_waits() -> Outcome {
    let served = served().await;
    let one = served.sources.one();
    let waiting = stream::once(async move {
        let _one = one;
        std::future::pending::<u32>().await
    });
    let call = served.pipes.sum(StreamReader::new(waiting));
    let call = call.timeout(Duration::from_millis(50)).await;
    assert!(
        matches!(call, Err(CallError::DeadlineExceeded { .. })),
        "{call:?}"
    );
    until(&served.sources, 0).await;
    Ok(())
}

#[tokio::test]
async fn futures_go_each_way() -> Outcome {
    let served = served().await;
    let later = served.pipes.later().await?;
    assert_eq!(later.await, Ok("later".to_owned()));
    until(&served.sources, 0).await;
    drop(served.pipes.later().await?);
    until(&served.sources, 0).await;

    let value = FutureReader::new(async { "now".to_owned() });
    assert_eq!(served.pipes.wait(value).await?, Ok("now".to_owned()));
    let (writer, value) = FutureReader::channel();
    writer.fail("no value");
    let broken = served.pipes.wait(value).await?;
    assert_eq!(broken, Err("its writer broke it: no value".to_owned()));
    let (writer, value) = FutureReader::<String>::channel();
    drop(writer);
    assert!(served.pipes.wait(value).await?.is_err());
    Ok(())
}

#[tokio::test]
async fn streams_are_in_records_and_in_streams() -> Outcome {
    let served = served().await;
    let feed = served.pipes.make_feed().await?;
    assert_eq!(feed.name, "feed");
    assert_eq!(feed.total.await, Ok(2));
    let lines: Vec<_> = feed.lines.try_collect().await.expect("whole");
    assert_eq!(lines, ["a", "b"]);
    // Passed on without being read.
    let feed = served.pipes.make_feed().await?;
    assert_eq!(served.pipes.read(feed).await?, ["a", "b", "2"]);

    let mut nested = served.pipes.nested().await?;
    for expected in ["one", "two"] {
        let inner = nested.next().await.expect("a stream").expect("whole");
        let chunks: Vec<_> = inner.try_collect().await.expect("whole");
        assert_eq!(chunks.concat(), expected.as_bytes());
    }
    assert!(nested.next().await.is_none());
    let ticks = served.pipes.ticks(1_000).await?;
    assert_eq!(ticks.count().await, 1_000);
    Ok(())
}

#[tokio::test]
async fn streams_pass_through_a_component_that_read_a_part() -> Outcome {
    let served = served().await;
    let data = ByteReader::new(stream::iter([Bytes::from_static(b"data")]));
    let numbers = StreamReader::new(stream::iter(0..1_000_u32));
    let (data, numbers) = served.pipes.echo(data, numbers).await?;
    let data: Vec<_> = data.try_collect().await.expect("whole");
    assert_eq!(data.concat(), b"data");
    let numbers: Vec<_> = numbers.try_collect().await.expect("whole");
    assert!(numbers.into_iter().eq(1..1_000));
    Ok(())
}

#[tokio::test]
async fn resources_go_through_streams() -> Outcome {
    let served = served().await;
    let mut entries = served.pipes.make(5).await?;
    let first = entries.next().await.expect("an entry").expect("whole");
    assert_eq!(first.name, "0");
    first.bucket.set("k", "v").await?;
    let second = entries.next().await.expect("an entry").expect("whole");
    let buckets: Vec<BucketClient> = vec![first.bucket, second.bucket];
    drop(entries);
    until(&served.live, 2).await;
    let names = served
        .pipes
        .close(StreamReader::new(stream::iter(buckets)))
        .await?;
    assert_eq!(names, ["0", "1"]);
    assert_eq!(served.live.count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_stops_breaks_its_streams() -> Outcome {
    let mut served = served().await;
    let mut numbers = served.pipes.count(0).await?;
    assert_eq!(numbers.next().await, Some(Ok(0)));
    served.serving = None;
    let last = numbers.filter(|number| std::future::ready(number.is_err()));
    let last = std::pin::pin!(last).next().await;
    assert!(
        matches!(last, Some(Err(Broken::InstanceLost { .. }))),
        "{last:?}"
    );
    until(&served.sources, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_component_that_stops_waits_for_no_streams_of_another_one_of_its_provider() -> Outcome {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let buckets = Buckets {
        live: Live::default(),
        sources: Live::default(),
        handles: 100,
    };
    let service = buckets.into_service();
    let one = serve(&lattice, "one", service.clone()).await;
    let one = one.expect("served");
    let other = serve(&lattice, "other", service).await;
    let _other = other.expect("served");
    link(&lattice, "app", INTERFACE.name(), "other").await;
    let pipes = PipesClient::new(lattice.caller("app").expect("an id"));
    let mut numbers = pipes.count(0).await?;
    assert_eq!(numbers.next().await, Some(Ok(0)));
    let stops = one.shutdown(Duration::from_mins(1));
    let stopped = tokio::time::timeout(Duration::from_secs(10), stops).await;
    assert!(stopped.expect("it has no streams").is_clean());
    assert_eq!(numbers.next().await, Some(Ok(1)), "the other goes on");
    Ok(())
}
