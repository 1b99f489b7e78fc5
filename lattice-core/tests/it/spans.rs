//! The spans of calls, for a subscriber of the program's own.

use crate::{log::Log, support::*};
use bytes::Bytes;
use lattice_core::{call::Context, id::TraceContext, link::Locality, server::ServeLimits, trace};
use std::{num::NonZeroUsize, time::Duration};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Returns the spans of calls that have ended, with the ones around them, in their order.
fn ended(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text.lines();
    let spans = lines.filter_map(|line| line.split_once(": lattice::calls: close"));
    spans.map(|(span, _)| span.to_owned()).collect()
}

fn within(trace: &str) -> Context {
    let mut context = Context::default();
    context.trace = Some(trace.parse().expect("a traceparent"));
    context
}

#[tokio::test]
async fn a_call_has_a_span_on_each_side() {
    let two = two().await;
    let log = Log::default();
    let _captured = log.capture_spans();
    two.say().await.expect("it is served");
    let spans = ended(&log);
    let [server, client] = &spans[..] else {
        panic!("{spans:#?}");
    };
    for (span, kind) in [(server, "server"), (client, "client")] {
        for field in [
            "otel.name=\"test:calls/api/echo\"",
            "rpc.system.name=\"lattice\"",
            "rpc.status_code=\"ok\"",
            "lattice.source=\"caller\"",
            "lattice.target=\"callee\"",
        ] {
            assert!(span.contains(field), "{field} isn't in {span}");
        }
        assert!(span.contains(&format!("otel.kind=\"{kind}\"")), "{span}");
        assert!(!span.contains("error.type"), "{span}");
    }
}

#[tokio::test]
async fn a_call_that_fails_says_how() {
    let two = two().await;
    let log = Log::default();
    let _captured = log.capture_spans();
    let panics = function("panic", "func()");
    let failed = two.call(&panics, Bytes::new(), Context::default()).await;
    let error = failed.expect_err("it panics");
    assert_eq!(trace::error_type(&error), "callee-failed");
    for span in ended(&log) {
        for field in [
            "error.type=\"callee-failed\"",
            "rpc.status_code=\"callee-failed\"",
        ] {
            assert!(span.contains(field), "{field} isn't in {span}");
        }
    }
    assert_eq!(ended(&log).len(), 2, "{}", log.text());
}

/// The lines of events `retry`, with the spans around them.
fn retries(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text
        .lines()
        .filter(|line| line.contains("lattice.attempt="));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_retry_is_an_event_on_the_span_of_the_caller() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let (b, c) = (host(&lattice, "b").await, host(&lattice, "c").await);
    let alone = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(0);
    let (busy, _busy) = serve_within(&b, "callee", alone).await;
    // A replica of this process is only called when it takes the call.
    let anywhere = grant("caller", "callee").locality(Locality::Anywhere);
    lattice.links().put(anywhere).await.expect("put");
    let caller = a.caller("caller").expect("valid");
    // A call of another host: the caller avoids a replica that has a call of its own.
    let other = b.caller("caller").expect("valid");
    let running = begin_wait(&other, Context::new(Duration::from_secs(20)));
    busy.started.notified().await;
    let (_free, _serving) = serve(&c, "callee").await;
    eventually("both replicas are known", async || {
        lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;

    let log = Log::default();
    let captured = log.capture_spans();
    // Which replica is tried first is chosen at random, until the busy one is avoided.
    eventually("a call is tried again", async || {
        say(&caller).await.expect("a free replica serves it");
        !retries(&log).is_empty()
    })
    .await;
    drop(captured);
    let retries = retries(&log);
    let [retry] = &retries[..] else {
        panic!("{retries:#?}");
    };
    for field in [
        "otel.kind=\"client\"",
        "lattice.attempt=1",
        "lattice.host=\"b\"",
        "error.type=\"overloaded\"",
    ] {
        assert!(retry.contains(field), "{field} isn't in {retry}");
    }
    assert!(!retry.contains("otel.kind=\"server\""), "{retry}");
    // Its own span is fine, and only the attempt has failed.
    let ended = ended(&log);
    let failed: Vec<_> = ended
        .iter()
        .filter(|span| span.contains("error.type"))
        .collect();
    assert!(
        failed
            .iter()
            .all(|span| span.contains("otel.kind=\"server\"")),
        "{failed:#?}"
    );
    busy.release.notify_one();
    running.await.expect("joined").expect("it ends");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled() {
    let two = two().await;
    let log = Log::default();
    let _captured = log.capture_spans();
    let waiting = begin_wait(&two.caller, Context::default());
    two.api.started.notified().await;
    waiting.abort();
    eventually("both sides have ended", async || ended(&log).len() == 2).await;
    let cancelled = format!("error.type=\"{}\"", trace::CANCELLED);
    for span in ended(&log) {
        assert!(span.contains(&cancelled), "{span}");
    }
}

#[tokio::test]
async fn a_call_of_a_trace_that_is_not_sampled_makes_no_span() {
    let two = two().await;
    let log = Log::default();
    let _captured = log.capture_spans();
    let call = async |trace: &str| two.call(&echo(), text("x"), within(trace)).await;
    let unsampled = TRACE.replace("-01", "-00");
    call(&unsampled).await.expect("it is served");
    assert_eq!(ended(&log), Vec::<String>::new());
    call(TRACE).await.expect("it is served");
    assert_eq!(ended(&log).len(), 2, "{}", log.text());
}

#[tokio::test]
async fn a_trace_is_passed_on_as_it_is_without_a_tracer() {
    let mut context = within(TRACE);
    let given: TraceContext = TRACE.parse().expect("a traceparent");
    let log = Log::default();
    let _captured = log.capture_spans();
    assert!(trace::is_sampled(&mut context));
    let span = tracing::debug_span!("own");
    trace::join(&span, &mut context);
    assert_eq!(context.trace, Some(given));
}
