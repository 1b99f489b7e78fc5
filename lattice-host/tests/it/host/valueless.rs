//! Futures that end without a value, which no type of a future allows: who reads them ends, and is
//! told why.

use super::{
    flow::{Flow, PIPES, next},
    flow_remote::Far,
    support::*,
};
use lattice_core::stream::{Body, Broken, Handle, Reader, channel};
use tokio::time::timeout;

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
        assert!(
            reason.contains("went away without ending it"),
            "{function}: {reason}"
        );
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
