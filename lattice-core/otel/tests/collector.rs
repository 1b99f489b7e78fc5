//! A collector that is slow, away or broken: no call waits or fails, and lost spans are counted.

mod support;

use lattice_otel::{
    Telemetry, UnsentError,
    sink::{Answer, Sink},
};
use std::time::{Duration, Instant};
use support::{Shop, TIME, fresh};

/// Spans of one call: two of each of its two calls, and the one of its backend.
const SPANS: u64 = 5;
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn no_call_waits_for_the_collector_and_lost_spans_are_counted() {
    let sink = Sink::start().await.expect("a port is free");
    let telemetry = Telemetry::builder()
        .endpoint(sink.url())
        .timeout(PATIENCE)
        .without_metrics()
        .without_logs()
        .install()
        .expect("it is the only one");
    let shop = Shop::open(0).await;
    let call = async || shop.call(fresh()).await.expect("it is served");

    // It takes them, and returns what no collector would.
    sink.answer(Answer::Garbage);
    call().await;
    telemetry.flush(TIME).await.expect("it has taken them");
    assert_eq!(sink.spans().len() as u64, SPANS);
    assert_eq!(telemetry.lost_spans(), 0);

    sink.answer(Answer::Refuse);
    call().await;
    let refused = telemetry.flush(TIME).await;
    assert!(
        matches!(refused, Err(UnsentError::NotSent(_))),
        "{refused:?}"
    );
    assert_eq!(telemetry.lost_spans(), SPANS);

    // While it doesn't answer, there are more spans than the queue has room for.
    sink.answer(Answer::Never);
    let begun = Instant::now();
    for _ in 0..1_000 {
        call().await;
    }
    let took = begun.elapsed();
    assert!(took < TIME, "1,000 calls took {took:?}");
    let _late = telemetry.flush(TIME).await;
    let lost = telemetry.lost_spans();
    assert!(lost > SPANS, "nothing of 5,000 spans was lost");
    assert!(lost <= SPANS + 1_000 * SPANS, "{lost}");

    // It is there again.
    sink.answer(Answer::Take);
    let before = sink.spans().len();
    call().await;
    telemetry.flush(TIME).await.expect("it takes them");
    assert!(sink.spans().len() > before);

    // Nothing listens any more.
    let lost = telemetry.lost_spans();
    drop(sink);
    call().await;
    telemetry.flush(TIME).await.expect_err("nobody is there");
    assert_eq!(telemetry.lost_spans(), lost + SPANS);
    telemetry
        .shutdown(TIME)
        .await
        .expect("there is nothing left");
}
