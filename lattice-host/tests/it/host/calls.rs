//! Calls between actors and providers, on one host and across two.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Context, Ran},
    name::ComponentId,
    serve::Answer,
    wire::{Source, TraceContext},
};
use lattice_host::{Host, Instances};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

#[tokio::test]
async fn an_operator_calls_an_actor() {
    let lattice = lattice().await;
    let host = host_of(&lattice, "mischief", |actor| actor).await;
    let sent = Bytes::from(vec![7; 100_000]);
    let back: Bytes = act(&lattice, "echo", (sent.clone(),))
        .await
        .expect("answered");
    assert_eq!(back, sent);
    assert_eq!(host.components().len(), 1);
}

/// Checks that `mischief` calls its peer, by a plain and by an async function.
async fn check_calls_out(lattice: &Lattice, same: bool) {
    for function in ["call-out", "call-async"] {
        let back: Result<Bytes, RpcError> = act(lattice, function, (Bytes::from_static(b"hello"),))
            .await
            .expect("answered");
        assert_eq!(
            back,
            Ok(Bytes::from_static(b"hello")),
            "{function}, same host: {same}"
        );
    }
}

#[tokio::test]
async fn an_actor_calls_a_provider_on_its_own_host_and_on_another() {
    for same in [true, false] {
        let lattice = lattice().await;
        let provider = Native::peer(echoing).serve();
        let mut one = Host::builder(&lattice)
            .id("one")
            .actor("mischief", actor("mischief"));
        let mut two = Host::builder(&lattice).id("two");
        if same {
            one = one.provider("peer", provider);
        } else {
            two = two.provider("peer", provider);
        }
        let (_one, _two) = (started(one).await, started(two).await);
        link(&lattice, "mischief", PEER, "peer").await;
        check_calls_out(&lattice, same).await;
    }
}

#[tokio::test]
async fn actors_call_actors_on_the_same_and_on_another_host() {
    for same in [true, false] {
        let lattice = lattice().await;
        let mut one = Host::builder(&lattice).actor("mischief", actor("mischief"));
        let mut two = Host::builder(&lattice);
        if same {
            one = one.actor("other", actor("mischief"));
        } else {
            two = two.actor("other", actor("mischief"));
        }
        let (_one, _two) = (started(one).await, started(two).await);
        link(&lattice, "mischief", PEER, "other").await;
        link(&lattice, "other", PEER, "mischief").await;
        check_calls_out(&lattice, same).await;
        let both: u32 = act(&lattice, "flood", (20_u32, Bytes::from_static(b"x")))
            .await
            .expect("answered");
        assert_eq!(both, 20, "same host: {same}");
        // Back and forth between the two, each time in a new instance.
        let hops: Result<u32, RpcError> = act(&lattice, "call-bounce", (10_u32,))
            .await
            .expect("answered");
        assert_eq!(hops, Ok(10), "same host: {same}");
    }
}

#[tokio::test]
async fn a_chain_of_calls_ends_at_the_hop_limit() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    link(&lattice, "mischief", PEER, "mischief").await;
    let hops: Result<u32, RpcError> = act(&lattice, "call-bounce", (1_000_u32,))
        .await
        .expect("answered");
    let (kind, ran, _, message) = hops.expect_err("too many hops");
    assert_eq!((kind, ran), (9, 0), "{message}");
}

/// What a provider received with a call: the time left, the hops, the source and the trace.
type Received = (Duration, u8, Source, Option<TraceContext>);

fn recording(received: &Arc<Mutex<Vec<Received>>>) -> Native {
    let received = received.clone();
    Native::peer(move |request| {
        let context = request.context;
        let this = (
            context.left(),
            context.hops,
            request.source.clone(),
            context.trace,
        );
        received.lock().expect("no panic").push(this);
        echoing(request)
    })
}

#[tokio::test]
async fn a_nested_call_inherits_deadline_hops_source_and_trace() {
    let trace = TraceContext {
        trace_id: *b"a trace of sixty",
        span_id: *b"its span",
        flags: 1,
    };
    let mischief = || Source::Component(ComponentId::new("mischief").expect("an id"));
    for instances in [Instances::Fresh, Instances::warm()] {
        for (same, trace) in [(true, None), (true, Some(trace)), (false, Some(trace))] {
            let (here, there) = two_programs().await;
            let received = Arc::new(Mutex::new(Vec::new()));
            let _mischief = host_of(&here, "mischief", |actor| actor.instances(instances)).await;
            let home = if same { &here } else { &there };
            let peer = Host::builder(home).provider("peer", recording(&received).serve());
            let _peer = started(peer).await;
            served(&here, "peer").await;
            link(&here, "mischief", PEER, "peer").await;
            let mut context = Context::new(Duration::from_secs(20));
            context.trace = trace;
            for (component, interface, function, hops, source) in [
                ("peer", PEER, "call", 1, Source::Operator),
                ("mischief", ACTS, "call-out", 2, mischief()),
                ("mischief", ACTS, "call-async", 2, mischief()),
            ] {
                let at = format!("{component}.{function}, {instances:?}, same host: {same}");
                let component = here.operator().component(component);
                let call = component.call(interface, function, (Bytes::new(),));
                let back: Result<Bytes, RpcError> =
                    call.on_behalf_of(&context).await.expect("answered");
                assert_eq!(back, Ok(Bytes::new()), "{at}");
                let last = received
                    .lock()
                    .expect("no panic")
                    .pop()
                    .expect("it was called");
                let (left, ..) = last;
                let seconds = Duration::from_secs(3)..=Duration::from_secs(20);
                assert!(seconds.contains(&left), "{at}: {left:?}");
                assert_eq!(last, (left, hops, source, trace), "{at}");
            }
        }
    }
}

#[tokio::test]
async fn a_deadline_ends_a_running_call_and_one_that_waits_for_a_nested_call() {
    let lattice = lattice().await;
    let provider = Native::peer(|_| Answer::Later(Box::pin(std::future::pending())));
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .provider("peer", provider.serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    for function in ["spin", "sleep-ms", "call-out", "call-async"] {
        let mischief = lattice.operator().component("mischief");
        let started = std::time::Instant::now();
        let timeout = Duration::from_millis(300);
        let error = match function {
            "spin" => mischief
                .call::<()>(ACTS, function, ())
                .timeout(timeout)
                .await
                .map(drop),
            "sleep-ms" => mischief
                .call::<()>(ACTS, function, (60_000_u32,))
                .timeout(timeout)
                .await
                .map(drop),
            _ => {
                let call =
                    mischief.call::<Result<Bytes, RpcError>>(ACTS, function, (Bytes::new(),));
                // The nested call's deadline is slightly earlier, so its failure may be returned as
                // a value.
                match call.timeout(timeout).await {
                    Ok(Err((11, ran, ..))) => {
                        assert_eq!(ran, 1);
                        continue;
                    }
                    other => other.map(drop),
                }
            }
        };
        let error = error.expect_err(function);
        assert!(
            matches!(error, CallError::DeadlineExceeded { ran: Ran::Maybe }),
            "{function}: {error}"
        );
        assert!(started.elapsed() < Duration::from_secs(5), "{function}");
    }
    let _: u32 = act(&lattice, "count", ())
        .await
        .expect("the host still works");
}

#[tokio::test]
async fn malformed_arguments_are_refused_before_the_call_runs() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    for garbage in [
        &b"\x05abc"[..],
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ] {
        let call = lattice.operator().component("mischief").call_encoded(
            ACTS,
            "echo",
            Bytes::from_static(garbage),
        );
        let error = call.await.expect_err("not a list of bytes");
        assert!(matches!(error, CallError::BadArguments { .. }), "{error}");
        assert_eq!(error.ran(), Ran::No);
    }
    let error = act::<()>(&lattice, "no-such-act", ())
        .await
        .expect_err("no such function");
    assert!(matches!(error, CallError::NotExported { .. }), "{error}");
}
