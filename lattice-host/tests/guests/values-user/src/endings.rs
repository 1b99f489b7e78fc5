//! Streams and futures of which one end goes away.

use crate::lattice_test::values::flows;
use crate::{sum, wit_future, wit_stream};
use futures::join;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};
use wit_bindgen::{StreamResult, StreamWriter};

const COUNT: usize = 1_000_000;

/// The writer is told that its reader has gone away.
pub async fn reader_gone() {
    let (mut writer, reader) = wit_stream::new();
    let read = flows::some(reader, 70_000);
    assert_eq!(join!(until_unread(&mut writer), read).1, 70_000);
}

/// What was written before the end arrives, whether the writer was dropped at once or later.
pub async fn writer_gone() {
    for count in [0, 10, 300_000] {
        let (mut writer, reader) = wit_stream::new();
        let write = async move {
            assert!(writer.write_all(vec![1; count]).await.is_empty());
            drop(writer);
        };
        assert_eq!(join!(write, flows::sum_bytes(reader)).1, count as u64);
    }
    let (writer, reader) = wit_stream::new::<u8>();
    drop(writer);
    assert_eq!(flows::sum_bytes(reader).await, 0);
    // The default is the value of a future that isn't written.
    let (writer, reader) = wit_future::new(|| "default".to_owned());
    drop(writer);
    assert_eq!(flows::read_text(reader).await, "default");
}

pub async fn never_read() {
    drop(flows::bytes(COUNT as u64, 1_000).await);
    let mut stream = flows::bytes(COUNT as u64, 1_000).await;
    assert_eq!(stream.next().await, Some(0));
    drop(stream);
    drop(flows::text("unread".to_owned()).await);

    let (mut bytes, of) = wit_stream::new();
    let (text, later) = wit_future::new(|| unreachable!());
    let mut write = pin!(text.write("unread".to_owned()));
    assert!(
        write
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    flows::unread(of, later);
    assert_eq!(write.await.expect_err("it isn't read").value, "unread");
    until_unread(&mut bytes).await;
    // All of it works as before.
    let stream = flows::bytes(1_000, 100).await.collect().await;
    assert_eq!(stream.into_iter().map(u64::from).sum::<u64>(), sum(1_000));
}

/// Traps, because the writer does: what was read must not look complete.
pub async fn writer_traps() {
    let mut stream = flows::broken(10_000).await;
    let mut read = 0;
    loop {
        let (result, bytes) = stream.read(Vec::with_capacity(3_000)).await;
        read += bytes.len();
        if result == StreamResult::Dropped {
            panic!("a clean end after {read} bytes");
        }
    }
}

pub async fn reader_traps() {
    let (mut writer, reader) = wit_stream::new();
    let trapped = flows::trap_after(reader, 70_000);
    let ((), trapped) = join!(until_unread(&mut writer), trapped);
    let error = trapped.expect_err("it traps");
    assert!(error.contains("on purpose"), "{error}");
}

/// Writes until the reader has gone away, however much is buffered between the two.
async fn until_unread(writer: &mut StreamWriter<u8>) {
    while writer.write_all(vec![1; COUNT]).await.is_empty() {}
}
