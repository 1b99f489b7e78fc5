//! The CPU time of guests whose streams go on after the call that made them.

use super::{flow::*, support::*};
use lattice_core::stream::{Broken, Handles, Reader};
use lattice_host::Limits;
use std::time::Duration;
use tokio::time::timeout;

const CPU: Duration = Duration::from_millis(500);
const CHUNK: u32 = 1 << 20;

/// Has a guest make a stream of so many chunks, and compute for so long after each.
async fn stream(chunks: u32, each: Duration) -> (Flow, Reader) {
    let flow = Flow::new(|actor| actor.limits(Limits::default().cpu(CPU))).await;
    let micros = u64::try_from(each.as_micros()).expect("not that long");
    let arguments = encoded(&(chunks, CHUNK, micros));
    let made = flow.give((TROUBLE, "laborious"), arguments, Handles::new());
    let made = reader(made.await.expect("a stream"));
    (flow, made)
}

async fn read(reader: &mut Reader) -> (usize, Result<(), Broken>) {
    let mut read = 0;
    loop {
        reader.ask(CHUNK as usize);
        match next(reader).await {
            Ok(Some(chunk)) => read += chunk.count,
            Ok(None) => return (read, Ok(())),
            Err(broken) => return (read, Err(broken)),
        }
    }
}

/// The guest needs a second in all, and a small part of its CPU time for each 64 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_moves_goes_on_beyond_the_cpu_time_of_a_call() {
    const CHUNKS: u32 = 1_024;
    let (_flow, mut stream) = stream(CHUNKS, 2 * CPU / CHUNKS).await;
    let read = timeout(PATIENCE, read(&mut stream)).await;
    let all = CHUNKS as usize * CHUNK as usize;
    assert_eq!(read.expect("in time"), (all, Ok(())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_moves_nothing_more_ends_at_the_cpu_time_of_a_call() {
    let (_flow, mut stream) = stream(2, 10 * PATIENCE).await;
    let read = timeout(PATIENCE, read(&mut stream)).await;
    let (read, end) = read.expect("in time");
    let Err(Broken::InstanceLost { reason }) = &end else {
        panic!("it goes on: {end:?} after {read} bytes");
    };
    assert_eq!(read, CHUNK as usize);
    assert!(reason.contains("500ms"), "{reason}");
}
