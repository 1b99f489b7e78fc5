//! What becomes of streams when a host is gone, or leaves.

use super::*;
use std::sync::Mutex;
use tokio::{sync::Semaphore, time::Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_breaks_its_streams() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let hosts = hosts(move |request: Request| {
        let kept = keep.clone();
        async move {
            let mut reader = stream(only(request.handles));
            reader.ask(10);
            next(&mut reader).await.expect("whole").expect("elements");
            kept.lock().expect("not poisoned").push(reader);
            let (writer, back) = channel();
            tokio::spawn(async move {
                let writer = write(writer, 0..50_000).await;
                // It is never ended.
                std::future::pending::<()>().await;
                drop(writer);
            });
            Ok(body(Handle::Stream(back)))
        }
    })
    .await;
    let (mut writer, reader) = channel();
    let call = hosts.pass(vec![Handle::Stream(reader)]);
    let (result, ()) = tokio::join!(call, async {
        writer.room().await.expect("a reader");
        writer.send(chunk(&b"x"[..])).expect("room");
    });
    let back = reads(stream(only(result.expect("a result").handles)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    hosts.b.kill();
    let host = host_id("b");
    let (count, end) = back.await.expect("no panic");
    assert_eq!((count, end), (50_000, Err(Broken::HostLost { host })));
    unread(&mut writer).await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    nothing_is_held(&hosts.here).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_arrived_to_its_end_stays_whole_when_its_host_is_gone() {
    let hosts = hosts(|_| async move { Ok(body(Handle::Stream(written(500)))) }).await;
    let result = hosts.pass(Vec::new()).await.expect("a result");
    let mut reader = stream(only(result.handles));
    // All of it is sent, because there is room for it, and it is read later.
    reader.ask(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    hosts.b.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(read(reader).await, (500, Ok(())));
    nothing_is_held(&hosts.here).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_caller_breaks_the_streams_of_its_callee() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let at = ends.clone();
    let hosts = hosts(move |request: Request| {
        let ends = at.clone();
        async move {
            let reads = reads(stream(only(request.handles)));
            ends.lock().expect("not poisoned").push(reads);
            Ok(nothing())
        }
    })
    .await;
    let (writer, reader) = channel();
    let call = hosts.pass(vec![Handle::Stream(reader)]);
    let (result, writer) = tokio::join!(call, write(writer, 0..1_000));
    result.expect("a result");
    let writer = writer.expect("a reader");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    hosts.a.kill();
    let reads = ends.lock().expect("not poisoned").pop().expect("a call");
    let host = host_id("a");
    let end = reads.await.expect("no panic");
    assert_eq!(end, (1_000, Err(Broken::HostLost { host })));
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    drop(writer);
    nothing_is_held(&hosts.there).await;
}

#[tokio::test]
async fn a_host_that_leaves_finishes_its_streams() {
    let hosts = hosts(|_| async move {
        let (writer, reader) = channel();
        tokio::spawn(async move {
            let writer = write(writer, 0..10_000).await.expect("a reader");
            tokio::time::sleep(Duration::from_millis(500)).await;
            let writer = write(writer, 10_000..400_000).await.expect("a reader");
            writer.end();
        });
        Ok(body(Handle::Stream(reader)))
    })
    .await;
    let result = hosts.pass(Vec::new()).await.expect("a result");
    let back = reads(stream(only(result.handles)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let drained = hosts.b.shutdown(Duration::from_secs(10)).await;
    assert!(drained.is_clean());
    assert_eq!(back.await.expect("no panic"), (400_000, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leaves_stays_until_its_streams_have_ended() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let hosts = hosts(move |_| {
        let gate = waits.clone();
        async move {
            let (writer, reader) = channel();
            tokio::spawn(async move {
                let writer = write(writer, 0..10_000).await.expect("a reader");
                gate.acquire().await.expect("it stays open").forget();
                let writer = write(writer, 10_000..20_000).await.expect("a reader");
                writer.end();
            });
            Ok(body(Handle::Stream(reader)))
        }
    })
    .await;
    let result = hosts.pass(Vec::new()).await.expect("a result");
    let back = reads(stream(only(result.handles)));
    let leaves = hosts.b.clone();
    let leaving = tokio::spawn(async move { leaves.shutdown(Duration::from_mins(1)).await });
    // Longer than a host is silent that counts as lost.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!leaving.is_finished(), "it has left its stream behind");
    gate.add_permits(1);
    assert!(leaving.await.expect("no panic").is_clean());
    assert_eq!(back.await.expect("no panic"), (20_000, Ok(())));
}

/// Returns hosts whose calls end when the gate lets them through.
async fn hosts_with_a_gate() -> (Arc<Semaphore>, Hosts) {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let hosts = hosts(move |_| {
        let gate = waits.clone();
        async move {
            gate.acquire().await.expect("it stays open").forget();
            Ok(nothing())
        }
    })
    .await;
    (gate, hosts)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_long_ends_on_a_host_that_leaves() {
    let (gate, hosts) = hosts_with_a_gate().await;
    let (leaves, there) = (hosts.b.clone(), hosts.b.host_id().clone());
    let call = hosts.pass(Vec::new());
    let leave = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let leaving = tokio::spawn(async move { leaves.shutdown(Duration::from_mins(1)).await });
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!leaving.is_finished(), "it has left its call behind");
        let peers = hosts.here.peers();
        assert!(peers.iter().all(|peer| peer.origin.host != there));
        gate.add_permits(1);
        leaving.await.expect("no panic")
    };
    let (result, drained) = tokio::join!(call, leave);
    assert_eq!(result.expect("a result").bytes, Bytes::new());
    assert!(drained.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leaves_is_not_lost_while_it_waits_for_its_own_calls() {
    let (gate, hosts) = hosts_with_a_gate().await;
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let call = async {
        let result = hosts.pass(Vec::new()).await;
        drop(done);
        result
    };
    let leave = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let until = async { drop(ended.await) };
        hosts.a.shutdown_after(Duration::from_mins(1), until).await
    };
    let open = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        gate.add_permits(1);
    };
    let (result, drained, ()) = tokio::join!(call, leave, open);
    assert_eq!(result.expect("a result").bytes, Bytes::new());
    assert!(drained.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_program_that_serves_nothing_any_more_is_not_lost_while_it_calls() {
    let (gate, hosts) = hosts_with_a_gate().await;
    let other: Handler = Arc::new(|_| Box::pin(async { Ok(nothing()) }));
    let serving = hosts.here.serve("other", Arc::new(Passing(other))).await;
    let serving = serving.expect("it serves");
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(serving);
    let caller = hosts.here.caller("caller").expect("valid");
    let (link, function) = (LinkName::default(), pass());
    let options = (CallerInstance::Here, Context::new(SOON));
    let call = caller.pass_via(&function, &link, nothing(), options);
    let open = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        gate.add_permits(1);
    };
    let (result, ()) = tokio::join!(call, open);
    assert_eq!(result.expect("a result").bytes, Bytes::new());
}

#[tokio::test]
async fn a_host_that_leaves_waits_for_streams_no_longer_than_its_grace() {
    let hosts = hosts(|_| async move {
        let (writer, reader) = channel();
        tokio::spawn(async move {
            let writer = write(writer, 0..10_000).await;
            std::future::pending::<()>().await;
            drop(writer);
        });
        Ok(body(Handle::Stream(reader)))
    })
    .await;
    let result = hosts.pass(Vec::new()).await.expect("a result");
    let back = reads(stream(only(result.handles)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    let drained = hosts.b.shutdown(Duration::from_millis(300)).await;
    assert!(!drained.is_clean());
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    hosts.b.kill();
    let (count, end) = back.await.expect("no panic");
    assert!(count == 10_000 && end.is_err(), "{count} {end:?}");
}
