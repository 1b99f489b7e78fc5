//! What becomes of streams when a host is killed and started again at once, with the same id.

use super::*;
use std::sync::Mutex;
use tokio::time::Instant;

type End = (usize, Result<(), Broken>);

/// Reads a stream to its end, and notes the time.
fn timed(reader: Reader) -> JoinHandle<(End, Instant)> {
    tokio::spawn(async move { (read(reader).await, Instant::now()) })
}

/// The stream broke after so many bytes, because this host was lost, within a second after `start`.
async fn is_lost_soon(read: JoinHandle<(End, Instant)>, count: usize, host: &str, start: Instant) {
    let host = host_id(host);
    let (end, at) = read.await.expect("no panic");
    assert_eq!(end, (count, Err(Broken::HostLost { host })));
    let took = at.saturating_duration_since(start);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn two_connections(network: &MemoryNetwork) -> [Arc<dyn Bus>; 2] {
    [Arc::new(network.connect()), Arc::new(network.connect())]
}

/// Returns a stream of this size that is never ended.
fn endless(size: usize) -> Reader {
    let (writer, reader) = channel();
    tokio::spawn(async move {
        let writer = write(writer, 0..size).await;
        std::future::pending::<()>().await;
        drop(writer);
    });
    reader
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_is_started_again_has_lost_its_streams() {
    let network = MemoryNetwork::new();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let hosts = hosts_on(two_connections(&network), move |request: Request| {
        let kept = keep.clone();
        async move {
            let mut reader = stream(only(request.handles));
            reader.ask(10);
            next(&mut reader).await.expect("whole").expect("elements");
            kept.lock().expect("not poisoned").push(reader);
            Ok(body(Handle::Stream(endless(50_000))))
        }
    })
    .await;
    let (mut writer, reader) = channel();
    let call = hosts.pass(vec![Handle::Stream(reader)]);
    let (result, ()) = tokio::join!(call, async {
        writer.room().await.expect("a reader");
        writer.send(chunk(&b"x"[..])).expect("room");
    });
    let back = timed(stream(only(result.expect("a result").handles)));
    let unread = tokio::spawn(async move {
        std::future::poll_fn(|cx| writer.poll_unread(cx)).await;
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;

    let start = Instant::now();
    hosts.b.kill();
    let there = connect(Arc::new(network.connect()), &hosts.store).await;
    let b = host(&there, "b").await;
    assert!(b.origin() > hosts.b.origin());
    let again: Handler = Arc::new(|_| Box::pin(async { Ok(body(Handle::Stream(written(500)))) }));
    let _serving = serve_as(&b, "callee", Passing(again)).await;
    is_lost_soon(back, 50_000, "b", start).await;
    let at = timeout(SOON, unread).await.expect("in time");
    let took = at.expect("no panic").saturating_duration_since(start);
    assert!(took < Duration::from_secs(1), "{took:?}");

    // Calls after that get streams of the new boot.
    eventually("the new boot is known", async || {
        let peers = hosts.here.peers();
        peers.iter().any(|peer| peer.origin == *b.origin())
    })
    .await;
    let result = hosts.pass(Vec::new()).await.expect("a result");
    assert_eq!(read(stream(only(result.handles))).await, (500, Ok(())));
    nothing_is_held(&hosts.here).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_started_again_has_lost_its_streams() {
    let network = MemoryNetwork::new();
    let ends = Arc::new(Mutex::new(Vec::new()));
    let noted = ends.clone();
    let hosts = hosts_on(two_connections(&network), move |request: Request| {
        let read = timed(stream(only(request.handles)));
        noted.lock().expect("not poisoned").push(read);
        async move { Ok(nothing()) }
    })
    .await;
    let (writer, reader) = channel();
    let call = hosts.pass(vec![Handle::Stream(reader)]);
    let (result, writer) = tokio::join!(call, write(writer, 0..1_000));
    result.expect("a result");
    let _writer = writer.expect("a reader");
    tokio::time::sleep(Duration::from_millis(100)).await;

    let start = Instant::now();
    hosts.a.kill();
    let here = connect(Arc::new(network.connect()), &hosts.store).await;
    let a = host(&here, "a").await;
    assert!(a.origin() > hosts.a.origin());
    let read = ends.lock().expect("not poisoned").pop().expect("a call");
    is_lost_soon(read, 1_000, "a", start).await;

    // The new boot passes streams of its own.
    let caller = a.caller("caller").expect("valid");
    let (function, link) = (pass(), LinkName::default());
    eventually("the new boot finds the callee", async || {
        let passed = body(Handle::Stream(written(500)));
        let options = (CallerInstance::Here, Context::new(SOON));
        let called = caller.pass_via(&function, &link, passed, options);
        called.await.is_ok()
    })
    .await;
    let read = ends.lock().expect("not poisoned").pop().expect("a call");
    assert_eq!(read.await.expect("no panic").0, (500, Ok(())));
    nothing_is_held(&hosts.there).await;
}
