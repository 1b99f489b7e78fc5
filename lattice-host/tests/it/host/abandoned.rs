//! Calls in kept instances whose callers go away.

use super::{flow::*, support::*};
use bytes::Bytes;
use lattice_core::stream::{Chunk, Handle, Handles, Writer, channel};
use lattice_host::Limits;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const CPU: Duration = Duration::from_millis(300);

/// Makes a call with a stream as the last argument, and drops it when the guest reads the stream.
async fn abandon(
    flow: &Flow,
    function: (&str, &str),
    bytes: &'static [u8],
    mut handles: Handles,
) -> Writer {
    let (mut writer, stream) = channel();
    handles.push(Handle::Stream(stream));
    let call = flow.give(function, bytes, handles);
    tokio::select! {
        ended = call => panic!("it waits for the stream: {ended:?}"),
        room = writer.room() => room.expect("the guest reads it"),
    };
    writer
}

#[tokio::test]
async fn an_abandoned_call_runs_on_as_long_as_a_stream_keeps_its_instance() {
    let flow = Flow::new(|actor| actor).await;
    let mut writer = abandon(&flow, (PIPES, "sum-bytes"), PLACE, Handles::new()).await;
    let write = write_all(&mut writer, Bytes::from(vec![1; 1_000_000]));
    timeout(PATIENCE, write).await.expect("the guest reads on");
    writer.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_call_runs_on_under_its_limits() {
    let flow = Flow::new(|actor| actor.limits(Limits::default().cpu(CPU))).await;
    let bucket = flow.open("kept").await;
    let lent = vec![borrow(bucket.resource())];
    let mut writer = abandon(&flow, (TROUBLE, "spin"), &[0, 0], lent).await;
    // Others use the instance as before.
    let name = flow.name_of(bucket.resource()).await;
    assert_eq!(name.expect("the instance goes on"), "kept");
    let one = Chunk {
        count: 1,
        bytes: Bytes::from_static(b"x"),
        handles: Handles::new(),
    };
    writer.send(one).expect("there is room");
    let until = Instant::now() + PATIENCE;
    let error = loop {
        match flow.name_of(bucket.resource()).await {
            Ok(_) => assert!(Instant::now() < until, "it has no limit"),
            Err(error) => break error.to_string(),
        }
        sleep(Duration::from_millis(5)).await;
    };
    assert!(error.contains("300ms of CPU time"), "{error}");
}
