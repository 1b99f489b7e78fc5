//! Guests that fail or exceed a limit. Each loses its own instance and affects no other.

use super::support::*;
use bytes::Bytes;
use lattice_core::call::{CallError, Limit, Part, Ran};
use lattice_host::{ByteSize, Host, Instances, Limits};
use std::time::Duration;

#[tokio::test]
async fn a_trap_panic_or_exit_is_reported_with_its_reason() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    let message = reason(act::<()>(&lattice, "trap", ()).await);
    assert!(message.contains("unreachable"), "{message}");
    assert!(
        message.contains("#trap`"),
        "it includes the function: {message}"
    );
    let message = reason(act::<()>(&lattice, "panic", ("on purpose",)).await);
    assert!(message.starts_with("it panicked at "), "{message}");
    assert!(message.ends_with(": on purpose"), "{message}");
    let message = reason(act::<()>(&lattice, "exit", (7_u8,)).await);
    // WASI 0.2 has success and failure, but no codes.
    assert_eq!(message, "it exited with 1");
    let message = reason(act::<()>(&lattice, "exit", (0_u8,)).await);
    assert_eq!(message, "it exited with 0");
    let _: u32 = act(&lattice, "count", ())
        .await
        .expect("the host still works");
}

/// Exceeds the limits of CPU time, memory and stack, while another actor of the host is called.
#[tokio::test]
async fn an_exceeded_limit_is_reported_by_its_type_and_other_actors_keep_working() {
    for instances in [Instances::Fresh, Instances::warm()] {
        let lattice = lattice().await;
        let limits = Limits::default()
            .memory(ByteSize::mib(8))
            .cpu(Duration::from_millis(50));
        let hostile = actor("mischief").limits(limits).instances(instances);
        let host = Host::builder(&lattice)
            .actor("mischief", hostile)
            .actor("good", actor("mischief").instances(instances));
        let _host = started(host).await;
        let neighbour = async || {
            let sent = Bytes::from_static(b"x");
            for _ in 0..10 {
                let back: Bytes = call(&lattice, "good", ACTS, "echo", (sent.clone(),))
                    .await
                    .expect("answered");
                assert_eq!(back, sent);
            }
        };
        let (spun, ()) = tokio::join!(act::<()>(&lattice, "spin", ()), neighbour());
        assert_eq!(exceeded(spun), Limit::Cpu(Duration::from_millis(50)));
        let (hoarded, ()) = tokio::join!(act::<()>(&lattice, "hoard", ()), neighbour());
        assert_eq!(exceeded(hoarded), Limit::Memory(8 << 20));
        let recurse = act::<u32>(&lattice, "recurse", (0_u32,));
        let (recursed, ()) = tokio::join!(recurse, neighbour());
        assert!(matches!(exceeded(recursed), Limit::Stack(bytes) if bytes >= 1 << 16));
        // The actor itself has a new instance.
        let count: u32 = act(&lattice, "count", ()).await.expect("answered");
        assert_eq!(count, 1);
        // A limit that an earlier call exceeded isn't reported for a call that fails otherwise.
        let message = reason(act::<()>(&lattice, "trap", ()).await);
        assert!(message.contains("unreachable"), "{message}");
    }
}

#[tokio::test]
async fn an_exceeded_limit_is_reported_with_the_function_and_to_a_calling_guest_by_kind() {
    let lattice = lattice().await;
    let limits = Limits::default()
        .cpu(Duration::from_millis(50))
        .wall(Duration::from_millis(200));
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .actor("limited", actor("mischief").limits(limits));
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "limited").await;
    let spun = call::<()>(&lattice, "limited", ACTS, "spin", ()).await;
    let error = spun.expect_err("it spins");
    assert_eq!((error.ran(), error.is_retryable()), (Ran::Yes, false));
    let message = error.to_string();
    assert!(message.contains("50ms of CPU time"), "{message}");
    assert!(
        message.contains("#spin`"),
        "it includes the function: {message}"
    );
    // Waiting takes no CPU time, but counts for the limit of wall-clock time.
    let waited: Result<(), RpcError> = act(&lattice, "wait-ms", (60_000_u32,))
        .await
        .expect("a value");
    let (kind, ran, retryable, message) = waited.expect_err("too long");
    assert_eq!((kind, ran, retryable), (16, 1, true), "{message}");
    assert!(message.contains("200ms for a call"), "{message}");
}

#[tokio::test]
async fn waiting_takes_no_cpu_time() {
    let lattice = lattice().await;
    let limits = Limits::default().cpu(Duration::from_millis(50));
    let _host = host_of(&lattice, "mischief", |actor| actor.limits(limits)).await;
    act::<()>(&lattice, "sleep-ms", (200_u32,))
        .await
        .expect("it slept");
}

#[tokio::test]
async fn a_wall_clock_limit_ends_a_sleeping_call() {
    let lattice = lattice().await;
    let limits = Limits::default().wall(Duration::from_millis(100));
    let _host = host_of(&lattice, "mischief", |actor| actor.limits(limits)).await;
    let slept = act::<()>(&lattice, "sleep-ms", (60_000_u32,)).await;
    assert_eq!(exceeded(slept), Limit::Wall(Duration::from_millis(100)));
}

#[tokio::test]
async fn a_result_over_the_limit_is_refused() {
    let lattice = lattice().await;
    let limits = Limits::default().result(ByteSize::mib(1));
    let _host = host_of(&lattice, "mischief", |actor| actor.limits(limits)).await;
    let error = act::<Bytes>(&lattice, "huge", (8_u32 << 20,))
        .await
        .expect_err("too large");
    assert!(
        matches!(
            error,
            CallError::TooLarge {
                what: Part::Result,
                limit: 0x10_0000
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.ran(), Ran::Yes);
    let fits: Bytes = act(&lattice, "huge", (1_000_u32,))
        .await
        .expect("within the limit");
    assert_eq!(fits.len(), 1_000);
}

#[tokio::test]
async fn arguments_of_a_guests_calls_over_the_limit_fail_as_a_value() {
    for instances in [Instances::Fresh, Instances::warm()] {
        let lattice = lattice().await;
        let limits = Limits::default().result(ByteSize::kib(64));
        let mischief = actor("mischief").limits(limits).instances(instances);
        let host = Host::builder(&lattice)
            .actor("mischief", mischief)
            .provider("peer", Native::peer(|_| panic!("it is not called")).serve());
        let _host = started(host).await;
        link(&lattice, "mischief", PEER, "peer").await;
        let large = || (Bytes::from(vec![1; 100_000]),);
        for function in ["call-out", "call-async"] {
            let sent: Result<Bytes, RpcError> =
                act(&lattice, function, large()).await.expect("a value");
            let (kind, ran, retryable, message) = sent.expect_err("too large");
            let found = (kind, ran, retryable);
            assert_eq!(
                found,
                (10, 0, false),
                "{function}, {instances:?}: {message}"
            );
            assert!(message.contains("limit of 65536 bytes"), "{message}");
        }
        // The type has no value for a failure.
        let message = reason(act::<Bytes>(&lattice, "call-out-bare", large()).await);
        assert!(
            message.contains("#call-bare` failed") && message.contains("limit of 65536 bytes"),
            "{message}"
        );
    }
}

/// There is one runtime thread, so a guest that never yields would block everything here.
#[tokio::test(flavor = "current_thread")]
async fn a_spinning_guest_does_not_block_other_actors() {
    let lattice = lattice().await;
    let limits = Limits::default().cpu(Duration::from_secs(20));
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief").limits(limits))
        .actor("good", actor("mischief"));
    let _host = started(host).await;
    let spinning = {
        let lattice = lattice.clone();
        tokio::spawn(async move { act::<()>(&lattice, "spin", ()).await })
    };
    for _ in 0..10 {
        let back: Bytes = call(&lattice, "good", ACTS, "echo", (Bytes::from_static(b"x"),))
            .await
            .expect("answered");
        assert_eq!(back, Bytes::from_static(b"x"));
    }
    // Timers fire as well.
    tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>())
        .await
        .expect_err("a timeout");
    assert!(!spinning.is_finished(), "it spins while the others work");
    spinning.abort();
}

#[tokio::test]
async fn memory_that_one_call_used_is_free_for_the_next() {
    let lattice = lattice().await;
    let limits = Limits::default().memory(ByteSize::mib(16));
    let _host = host_of(&lattice, "mischief", |actor| actor.limits(limits)).await;
    for _ in 0..20 {
        exceeded(act::<()>(&lattice, "hoard", ()).await);
        let _: Bytes = act(&lattice, "huge", (900_000_u32,))
            .await
            .expect("there is room again");
    }
}

#[tokio::test]
async fn a_guest_that_grows_its_tables_over_the_limit_is_ended() {
    let lattice = lattice().await;
    let text = r#"(component
        (core module $m (table $t 1 funcref) (func (export "f")
          (loop $more
            (br_if $more (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0)))
            unreachable)))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance (export "test:tables/it@1.0.0") (export "f" (func $f))))"#;
    let actor = wat(text);
    let actor = actor.limits(Limits::default().table_elements(5_000));
    let _host = started(Host::builder(&lattice).actor("tables", actor)).await;
    let grown = call::<()>(&lattice, "tables", "test:tables/it@1.0.0", "f", ()).await;
    assert_eq!(exceeded(grown), Limit::TableElements(5_000));
}

#[tokio::test]
async fn arguments_that_do_not_fit_into_the_guests_memory_are_refused() {
    let lattice = lattice().await;
    let limits = Limits::default().memory(ByteSize::kib(2_048));
    let _host = host_of(&lattice, "shapes", |actor| actor.limits(limits)).await;
    // Each element takes one byte on the wire, and sixteen in the guest, as an `option<u64>`.
    let nested = (
        Vec::<u8>::new(),
        Vec::<u8>::new(),
        Vec::<u8>::new(),
        vec![None::<u64>; 500_000],
    );
    let error = call::<()>(&lattice, "shapes", ECHO, "nested", nested)
        .await
        .expect_err("too large");
    assert!(
        matches!(&error, CallError::BadArguments { reason } if reason.contains("2 MiB")),
        "{error:?}"
    );
    assert_eq!(error.ran(), Ran::No);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_a_queued_call_that_expires_never_runs() {
    let lattice = lattice().await;
    let limits = Limits::default()
        .concurrent(std::num::NonZeroUsize::MIN)
        .queued(1);
    let _host = host_of(&lattice, "mischief", |actor| actor.limits(limits)).await;
    let sleep = |ms| {
        let lattice = lattice.clone();
        tokio::spawn(async move {
            loop {
                let call = lattice.operator().component("mischief").call::<()>(
                    ACTS,
                    "sleep-ms",
                    (60_000_u32,),
                );
                match call.timeout(Duration::from_millis(ms)).await {
                    // One of the calls below had the place in the queue.
                    Err(CallError::Overloaded { .. }) => tokio::task::yield_now().await,
                    result => return result,
                }
            }
        })
    };
    // Long enough for the second call to be queued still when the queue is found full.
    let (running, waiting) = (sleep(2_000), sleep(1_500));
    let overloaded = async {
        loop {
            match lattice
                .operator()
                .component("mischief")
                .call::<u32>(ACTS, "count", ())
                .timeout(Duration::from_millis(5))
                .await
            {
                Err(CallError::Overloaded { .. }) => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, overloaded)
        .await
        .expect("one runs and one waits");
    let error = waiting.await.expect("no panic").expect_err("too late");
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error:?}"
    );
    let error = running.await.expect("no panic").expect_err("too late");
    assert!(
        matches!(error, CallError::DeadlineExceeded { ran: Ran::Maybe }),
        "{error:?}"
    );
    let _: u32 = act(&lattice, "count", ())
        .await
        .expect("there is room again");
}
