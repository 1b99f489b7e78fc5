//! The decision whether a trace is sampled: made once, and followed by every host.

mod support;

use lattice_core::{call::Context, id::TraceContext};
use lattice_otel::{InstallError, Telemetry, sink::Sink};
use support::{Shop, TIME, fresh};

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn within(trace: &str) -> Context {
    let mut context = fresh();
    context.trace = Some(trace.parse().expect("a traceparent"));
    context
}

#[tokio::test]
async fn a_decision_is_made_once_and_followed_by_every_host() {
    let sink = Sink::start().await.expect("a port is free");
    let builder = || Telemetry::builder().endpoint(sink.url()).without_metrics();
    let wrong = builder().sample(1.5).install();
    assert!(matches!(wrong, Err(InstallError::NoShare(_))), "{wrong:?}");
    let wrong = Telemetry::builder().endpoint("localhost:4318").install();
    assert!(
        matches!(wrong, Err(InstallError::Endpoint { .. })),
        "{wrong:?}"
    );
    // No trace that starts here is sampled.
    let telemetry = builder().sample(0.0).without_logs().install();
    let telemetry = telemetry.expect("it is the only one");
    let shop = Shop::open(0).await;

    // One that starts here has an id, by which others know that it isn't.
    let told = shop.call(fresh()).await.expect("it is served");
    let told: TraceContext = told.parse().expect("a traceparent");
    assert!(!told.is_sampled());

    // One that isn't sampled elsewhere isn't here either, and is passed on as it is.
    let unsampled = SAMPLED.replace("-01", "-00");
    let told = shop.call(within(&unsampled)).await.expect("it is served");
    assert_eq!(told, unsampled);
    telemetry
        .flush(TIME)
        .await
        .expect("there is nothing to send");
    assert!(sink.spans().is_empty(), "{:#?}", sink.spans());

    // One that is sampled elsewhere is sampled on both hosts.
    let told = shop.call(within(SAMPLED)).await.expect("it is served");
    let (told, given): (TraceContext, TraceContext) = (
        told.parse().expect("a traceparent"),
        SAMPLED.parse().expect("one"),
    );
    assert_eq!(told.trace_id, given.trace_id);
    assert_ne!(told.span_id, given.span_id);
    telemetry.flush(TIME).await.expect("the sink takes it");
    let spans = sink.spans();
    assert_eq!(spans.len(), 5, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace_id == given.trace_id));
    let mut first = spans.iter().filter(|span| span.parent_id == given.span_id);
    assert_eq!(
        first.next().map(|span| &*span.name),
        Some("example:shop/front/open")
    );
    assert!(first.next().is_none());

    let again = builder().install();
    assert!(
        matches!(again, Err(InstallError::AlreadyInstalled)),
        "{again:?}"
    );
}
