//! What streams carry, and how they end.

use super::*;
use lattice_sim::fault::{FaultBus, Faults};
use std::sync::Mutex;

/// The callee returns what it was given.
async fn echo() -> Hosts {
    hosts(|request: Request| async move { Ok(body(only(request.handles))) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_there_and_back() {
    let hosts = echo().await;
    for size in [0, 1, 1_024, 32 * 1024, 4_000_003] {
        let result = hosts.pass(vec![Handle::Stream(written(size))]).await;
        let back = stream(only(result.expect("a result").handles));
        assert_eq!(read(back).await, (size, Ok(())));
    }
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_call_reads_its_stream_while_it_runs() {
    let hosts = hosts(|request: Request| async move {
        let (count, end) = read(stream(only(request.handles))).await;
        end.expect("whole");
        Ok(Bytes::copy_from_slice(&count.to_le_bytes()).into())
    })
    .await;
    let result = hosts.pass(vec![Handle::Stream(written(700_000))]).await;
    let count = result.expect("a result").bytes;
    assert_eq!(&count[..], 700_000_usize.to_le_bytes());
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn elements_may_be_larger_than_a_chunk() {
    let hosts = echo().await;
    let (mut writer, reader) = channel();
    let sizes = [0, 5, 32 * 1024, 32 * 1024 + 1, 3_000_000, 7];
    tokio::spawn(async move {
        for size in sizes {
            writer.room().await.expect("a reader");
            let bytes: Vec<u8> = (0..size).map(byte).collect();
            writer.send(element(bytes)).expect("room");
        }
        writer.end();
    });
    let result = hosts.pass(vec![Handle::Stream(reader)]).await;
    let mut back = stream(only(result.expect("a result").handles));
    for size in sizes {
        back.ask(1);
        let chunk = next(&mut back).await.expect("whole").expect("an element");
        assert_eq!((chunk.count, chunk.bytes.len()), (1, size));
        assert!(
            chunk
                .bytes
                .iter()
                .enumerate()
                .all(|(at, one)| *one == byte(at))
        );
    }
    assert!(next(&mut back).await.expect("a clean end").is_none());
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn streams_have_streams_as_elements() {
    let hosts = echo().await;
    let (mut outer, reader) = channel();
    tokio::spawn(async move {
        for size in [10, 100_000, 0] {
            outer.room().await.expect("a reader");
            let handles = vec![Handle::Stream(written(size))];
            let chunk = Chunk {
                handles,
                ..element(&b"\0"[..])
            };
            outer.send(chunk).expect("room");
        }
        outer.end();
    });
    let result = hosts.pass(vec![Handle::Stream(reader)]).await;
    let mut back = stream(only(result.expect("a result").handles));
    for size in [10, 100_000, 0] {
        back.ask(1);
        let chunk = next(&mut back).await.expect("whole").expect("an element");
        let inner = stream(only(chunk.handles));
        assert_eq!(read(inner).await, (size, Ok(())));
    }
    assert!(next(&mut back).await.expect("a clean end").is_none());
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_stream_has_any_number_of_streams_as_elements() {
    const STREAMS: usize = 3_000;
    let hosts = hosts(|_| async move {
        let (mut outer, reader) = channel();
        tokio::spawn(async move {
            for number in 0..STREAMS {
                outer.room().await.expect("a reader");
                let chunk = Chunk {
                    handles: vec![Handle::Stream(written(number % 5))],
                    ..element(&b"\0"[..])
                };
                outer.send(chunk).expect("room");
            }
            outer.end();
        });
        Ok(body(Handle::Stream(reader)))
    })
    .await;
    let result = hosts.pass(Vec::new()).await.expect("a result");
    let mut back = stream(only(result.handles));
    for number in 0..STREAMS {
        back.ask(1);
        let chunk = next(&mut back).await.expect("whole").expect("an element");
        let inner = stream(only(chunk.handles));
        assert_eq!(read(inner).await, (number % 5, Ok(())), "{number}");
    }
    assert!(next(&mut back).await.expect("a clean end").is_none());
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_future_comes_after_the_call() {
    let (sender, sent) = tokio::sync::oneshot::channel::<()>();
    let sent = Arc::new(Mutex::new(Some(sent)));
    let hosts = hosts(move |_| {
        let sent = sent.lock().expect("not poisoned").take();
        async move {
            let (mut writer, reader) = channel();
            tokio::spawn(async move {
                sent.expect("called once").await.expect("told");
                assert_eq!(writer.room().await.map(|room| room > 0), Some(true));
                writer.send(element(&b"value"[..])).expect("room");
                writer.end();
            });
            Ok(body(Handle::Future(reader)))
        }
    })
    .await;
    let result = hosts.pass_for(Vec::new(), Duration::from_secs(1)).await;
    let Handle::Future(mut future) = only(result.expect("a result").handles) else {
        panic!("no future");
    };
    future.ask(1);
    // Later than the deadline of the call.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(
        timeout(Duration::from_millis(10), future.chunk())
            .await
            .is_err()
    );
    sender.send(()).expect("the writer waits");
    let value = next(&mut future).await.expect("whole").expect("a value");
    assert_eq!(value.bytes, &b"value"[..]);
    // It waits for the end without room for more.
    assert!(next(&mut future).await.expect("a clean end").is_none());
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_dropped_reader_stops_its_writer() {
    let hosts = hosts(|request: Request| async move {
        let mut reader = stream(only(request.handles));
        reader.ask(10);
        next(&mut reader).await.expect("whole");
        drop(reader);
        Ok(nothing())
    })
    .await;
    let (mut writer, reader) = channel();
    let call = hosts.pass(vec![Handle::Stream(reader)]);
    let (result, ()) = tokio::join!(call, async {
        writer.room().await.expect("a reader");
        writer.send(chunk(&b"x"[..])).expect("room");
        unread(&mut writer).await;
    });
    result.expect("a result");
    // One that was never read.
    let (mut writer, reader) = channel();
    let unasked = hosts.pass_for(vec![Handle::Stream(reader)], Duration::from_millis(300));
    assert!(unasked.await.is_err(), "the callee waits for elements");
    unread(&mut writer).await;
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn breaks_arrive_with_their_reason_after_what_was_sent() {
    let hosts = echo().await;
    let reason = |text: &str| Arc::<str>::from(text);
    let breaks: [(Option<Broken>, Broken); 3] = [
        (None, Broken::WriterLost),
        (
            Some(Broken::Invalid {
                reason: reason("seven"),
            }),
            Broken::Invalid {
                reason: reason("seven"),
            },
        ),
        (
            Some(Broken::InstanceLost {
                reason: reason("it trapped"),
            }),
            Broken::InstanceLost {
                reason: reason("it trapped"),
            },
        ),
    ];
    for (told, expected) in breaks {
        let (writer, reader) = channel();
        let result = hosts.pass(vec![Handle::Stream(reader)]).await;
        let back = reads(stream(only(result.expect("a result").handles)));
        let writer = write(writer, 0..100_000).await.expect("a reader");
        match told {
            None => drop(writer),
            Some(told) => writer.fail(told),
        }
        assert_eq!(back.await.expect("no panic"), (100_000, Err(expected)));
    }
    hosts.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_bus_loses_and_doubles_nothing() {
    let network = MemoryNetwork::new();
    let bus = |seed| FaultBus::new(Arc::new(network.connect()), seed);
    let buses = [bus(1), bus(2)].map(Arc::new);
    let on: [Arc<dyn Bus>; 2] = [buses[0].clone(), buses[1].clone()];
    let hosts = hosts_on(on, |request: Request| async move {
        Ok(body(only(request.handles)))
    })
    .await;
    let first = hosts.pass(vec![Handle::Stream(written(1))]).await;
    let first = stream(only(first.expect("it is known").handles));
    assert_eq!(read(first).await, (1, Ok(())));
    let faults = Faults::none()
        .losing(0.03)
        .doubling(0.03)
        .reordering(0.05, Duration::from_millis(5));
    for bus in &buses {
        bus.set(faults);
    }
    for size in [10, 2_000_000] {
        let limit = Duration::from_secs(60);
        let result = hosts.pass_for(vec![Handle::Stream(written(size))], limit);
        let back = stream(only(result.await.expect("a result").handles));
        assert_eq!(read(back).await, (size, Ok(())));
    }
    let counts = buses[0].counts();
    assert!(counts.lost > 0 && counts.doubled > 0 && counts.reordered > 0);
    for bus in &buses {
        bus.set(Faults::none());
    }
    nothing_is_held(&hosts.here).await;
    nothing_is_held(&hosts.there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_bound_what_is_kept() {
    const STREAMS: usize = 300;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let hosts = hosts(move |request: Request| {
        let kept = keep.clone();
        async move {
            for handle in request.handles {
                let mut reader = stream(handle);
                reader.ask(100);
                next(&mut reader).await.expect("whole").expect("elements");
                kept.lock().expect("not poisoned").push(reader);
            }
            Ok(nothing())
        }
    })
    .await;
    let written = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let streams = (0..STREAMS).map(|_| {
        let (mut writer, reader) = channel();
        let written = written.clone();
        tokio::spawn(async move {
            while let Some(room) = writer.room().await {
                if writer.send(chunk(vec![1; room])).is_err() {
                    return;
                }
                written.fetch_add(room, std::sync::atomic::Ordering::SeqCst);
            }
        });
        Handle::Stream(reader)
    });
    hosts.pass(streams.collect()).await.expect("a result");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written = written.load(std::sync::atomic::Ordering::SeqCst);
    assert!(written <= STREAMS * 64 * 1024, "{written}");
    let held = hosts.there.message_memory().received;
    assert!(held <= ByteSize::kib(33 * STREAMS as u64), "{held}");
    eventually("all is acknowledged", async || {
        hosts.here.message_memory().sending == ByteSize::bytes(0)
    })
    .await;
    kept.lock().expect("not poisoned").clear();
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_value_has_at_most_so_many_streams() {
    let hosts = hosts(|request: Request| async move {
        for handle in request.handles {
            assert_eq!(read(stream(handle)).await, (3, Ok(())));
        }
        Ok(nothing())
    })
    .await;
    let streams = |count| (0..count).map(|_| Handle::Stream(written(3))).collect();
    let refused = hosts.pass(streams(1_024)).await;
    assert!(
        matches!(refused, Err(CallError::BadArguments { .. })),
        "{refused:?}"
    );
    hosts.pass(streams(1_023)).await.expect("a result");
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_caller_of_plain_values_gets_no_handles() {
    let hosts = hosts(|_| async move { Ok(body(Handle::Stream(written(100)))) }).await;
    let plain = call(&hosts.caller, &pass(), Bytes::new(), Context::default()).await;
    assert!(
        matches!(plain, Err(CallError::BadResult { .. })),
        "{plain:?}"
    );
    hosts.nothing_is_left().await;
}
