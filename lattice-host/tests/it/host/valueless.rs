//! Futures that end without a value, and streams that break. A guest that reads one is told why, by
//! an error where the type of the value or of the elements can hold one. Otherwise it ends.

use super::{
    flow::{Flow, PIPES, PLACE, TROUBLE, next},
    flow_remote::Far,
    support::*,
};
use lattice_core::{
    call::CallError,
    stream::{Body, Broken, Chunk, Handle, Handles, Reader, Writer, channel},
    value::from_bytes,
};
use tokio::time::timeout;

/// What the guest is told of a writer that went away.
const LOST: &str = "went away without ending it";

/// What `giver` reads, with its arguments.
const READ: [(&str, &[u8]); 2] = [("optional", &[1, 0]), ("signal", &[0])];

fn future(mut body: Body) -> Reader {
    match body.handles.pop() {
        Some(Handle::Future(reader)) => reader,
        other => panic!("not a future: {other:?}"),
    }
}

/// Has the guest read a future that its writer ends, or drops, without a value.
async fn read(flow: &Flow, is_ended: bool) {
    for (function, arguments) in READ {
        let (mut writer, sent) = channel();
        let sent = vec![Handle::Future(sent)];
        let made = flow.give((PIPES, function), arguments, sent).await;
        let mut made = future(made.expect("it returns at once"));
        made.ask(1);
        writer.room().await.expect("the guest reads it");
        if is_ended {
            writer.end();
        } else {
            drop(writer);
        }
        let end = timeout(PATIENCE / 2, next(&mut made)).await;
        let broken = end.expect("it ends").map(|value| value.map(|it| it.count));
        let Err(Broken::InstanceLost { reason }) = &broken else {
            panic!("{function}: {broken:?}");
        };
        assert!(reason.contains(LOST), "{function}: {reason}");
    }
}

#[tokio::test]
async fn a_guest_that_reads_a_future_without_a_value_ends() {
    let flow = Flow::new(|actor| actor).await;
    read(&flow, true).await;
    read(&flow, false).await;
}

#[tokio::test]
async fn a_guest_that_reads_a_future_of_another_host_without_a_value_ends() {
    let far = Far::new(|actor| actor).await;
    read(&far.flow, true).await;
    read(&far.flow, false).await;
}

/// Ends a future or a stream, or drops its writer, once the guest reads it.
async fn finish(mut writer: Writer, is_ended: bool) {
    writer.room().await.expect("the guest reads it");
    if is_ended {
        writer.end();
    }
}

/// Has the guest read futures without a value whose types can hold an error.
async fn read_fallible(flow: &Flow, is_ended: bool) {
    for function in ["outcome", "bare-outcome"] {
        let (writer, sent) = channel();
        let sent = vec![Handle::Future(sent)];
        let outcome = flow.give((TROUBLE, function), PLACE, sent);
        let (outcome, ()) = tokio::join!(outcome, finish(writer, is_ended));
        let bytes = outcome.expect("the guest goes on").bytes;
        if function == "outcome" {
            let outcome: Result<u32, String> = from_bytes(&bytes).expect("a result");
            let text = outcome.expect_err("there was no value");
            assert!(text.contains(LOST), "{text}");
        } else {
            let outcome: Result<u32, ()> = from_bytes(&bytes).expect("a result");
            outcome.expect_err("there was no value");
        }
    }
}

/// Has the guest read a stream with one element, of these bytes, up to its end or its first error.
/// Returns what it has read.
async fn read_stream(
    flow: &Flow,
    bytes: &'static [u8],
    is_ended: bool,
) -> Vec<Result<u32, String>> {
    let outcomes = outcomes(flow, bytes, is_ended, false).await;
    outcomes.expect("the guest goes on")
}

/// The same, past errors if it is to.
async fn outcomes(
    flow: &Flow,
    bytes: &'static [u8],
    is_ended: bool,
    past_errors: bool,
) -> Result<Vec<Result<u32, String>>, CallError> {
    let (mut writer, sent) = channel();
    let sent = vec![Handle::Stream(sent)];
    let arguments = [PLACE, &[u8::from(past_errors)]].concat();
    let outcomes = flow.give((TROUBLE, "outcomes"), arguments, sent);
    let write = async move {
        writer.room().await.expect("the guest reads it");
        let chunk = Chunk {
            count: 1,
            bytes: bytes.into(),
            handles: Handles::new(),
        };
        writer.send(chunk).expect("there is room");
        if is_ended {
            writer.end();
        }
    };
    let (outcomes, ()) = tokio::join!(outcomes, write);
    Ok(from_bytes(&outcomes?.bytes).expect("results"))
}

/// Has the guest read a stream whose elements can hold an error.
async fn read_fallible_stream(flow: &Flow) {
    assert_eq!(read_stream(flow, &[0, 7], true).await, [Ok(7)]);
    let broken = read_stream(flow, &[0, 7], false).await;
    let [Ok(7), Err(text)] = &broken[..] else {
        panic!("it isn't the element and an error: {broken:?}");
    };
    assert!(text.contains(LOST), "{text}");
    // Whoever skips errors does not take it for the whole.
    let past = outcomes(flow, &[0, 7], false, true).await;
    let text = past.expect_err("the stream has no end").to_string();
    assert!(text.contains(LOST), "{text}");
}

#[tokio::test]
async fn a_guest_reads_an_error_of_a_future_or_stream_whose_type_can_hold_one() {
    let flow = Flow::new(|actor| actor).await;
    read_fallible(&flow, true).await;
    read_fallible(&flow, false).await;
    read_fallible_stream(&flow).await;
    // What its type doesn't allow is the end of it too.
    let invalid = read_stream(&flow, &[9], true).await;
    let [Err(text)] = &invalid[..] else {
        panic!("it isn't one error: {invalid:?}");
    };
    assert!(text.contains("its type doesn't allow"), "{text}");
}

#[tokio::test]
async fn a_guest_reads_an_error_of_a_future_or_stream_of_another_host() {
    let far = Far::new(|actor| actor).await;
    read_fallible(&far.flow, true).await;
    read_fallible(&far.flow, false).await;
    read_fallible_stream(&far.flow).await;
}
