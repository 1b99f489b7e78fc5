//! Guests that end badly: each loses its own instance, and nobody else's.

use super::support::*;
use bytes::Bytes;
use lattice_core::call::{CallError, Limit, Part, Ran};
use lattice_host::{ByteSize, Host, Instances, Limits};
use std::time::Duration;

#[tokio::test]
async fn a_failure_of_the_guest_is_told_with_its_reason() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    let said = reason(act::<()>(&lattice, "trap", ()).await);
    assert!(said.contains("unreachable"), "{said}");
    assert!(said.contains("#trap`"), "where it happened: {said}");
    let said = reason(act::<()>(&lattice, "panic", ("on purpose",)).await);
    assert!(said.starts_with("it panicked at "), "{said}");
    assert!(said.ends_with(": on purpose"), "{said}");
    let said = reason(act::<()>(&lattice, "exit", (7_u8,)).await);
    // WASI 0.2 knows success and failure, and no codes.
    assert_eq!(said, "it exited with 1");
    let said = reason(act::<()>(&lattice, "exit", (0_u8,)).await);
    assert_eq!(said, "it exited with 0");
    let _: u32 = act(&lattice, "count", ()).await.expect("the host is well");
}

/// Every limit that a guest can run into, each while a neighbour on the host goes on working.
#[tokio::test]
async fn a_limit_is_told_by_its_type_and_neighbours_are_unharmed() {
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
        // And the actor itself is as good as new.
        let count: u32 = act(&lattice, "count", ()).await.expect("answered");
        assert_eq!(count, 1);
        // What failed for no limit's sake is no overrun, whatever was denied in earlier calls.
        let said = reason(act::<()>(&lattice, "trap", ()).await);
        assert!(said.contains("unreachable"), "{said}");
    }
}

#[tokio::test]
async fn a_limit_is_told_with_the_place_and_reaches_a_calling_guest_by_its_kind() {
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
    let said = error.to_string();
    assert!(said.contains("50ms of CPU time"), "{said}");
    assert!(said.contains("#spin`"), "where it was: {said}");
    // Waiting is no work, but takes its time.
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
async fn a_wall_clock_limit_ends_a_call_whatever_it_does() {
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
async fn what_a_guest_hands_out_is_limited_too_and_it_is_told_so() {
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
            let told = (kind, ran, retryable);
            assert_eq!(told, (10, 0, false), "{function}, {instances:?}: {message}");
            assert!(message.contains("limit of 65536 bytes"), "{message}");
        }
        // No room in the type to say so.
        let said = reason(act::<Bytes>(&lattice, "call-out-bare", large()).await);
        assert!(
            said.contains("#call-bare` failed") && said.contains("limit of 65536 bytes"),
            "{said}"
        );
    }
}

/// One runtime thread: a guest that would not let go of it would starve everything here.
#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_spins_does_not_hold_up_its_neighbours() {
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
async fn memory_that_one_call_took_is_not_missed_by_the_next() {
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
async fn a_guest_that_grows_its_tables_without_end_is_stopped() {
    let lattice = lattice().await;
    let text = r#"(component
        (core module $m (table $t 1 funcref) (func (export "f")
          (loop $more
            (br_if $more (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0)))
            unreachable)))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance (export "test:tables/it@1.0.0") (export "f" (func $f))))"#;
    let actor = lattice_host::Actor::from_bytes(wat::parse_str(text).expect("valid text"));
    let actor = actor.limits(Limits::default().table_elements(5_000));
    let _host = started(Host::builder(&lattice).actor("tables", actor)).await;
    let grown = call::<()>(&lattice, "tables", "test:tables/it@1.0.0", "f", ()).await;
    assert_eq!(exceeded(grown), Limit::TableElements(5_000));
}

#[tokio::test]
async fn arguments_that_would_not_fit_the_guest_are_refused() {
    let lattice = lattice().await;
    let limits = Limits::default().memory(ByteSize::kib(2_048));
    let _host = host_of(&lattice, "shapes", |actor| actor.limits(limits)).await;
    // A byte each on the wire, and as `option<u64>` sixteen in the guest.
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
async fn a_full_queue_answers_at_once_and_a_late_call_in_it_never_runs() {
    let lattice = lattice().await;
    let limits = Limits::default()
        .concurrent(std::num::NonZeroUsize::MIN)
        .queued(1);
    let _host = host_of(&lattice, "mischief", |actor| actor.limits(limits)).await;
    let sleep = |ms| {
        let lattice = lattice.clone();
        tokio::spawn(async move {
            let call = lattice.operator().component("mischief").call::<()>(
                ACTS,
                "sleep-ms",
                (60_000_u32,),
            );
            call.timeout(Duration::from_millis(ms)).await
        })
    };
    // Long enough to be still in the queue when it is found full, also on a busy machine.
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
