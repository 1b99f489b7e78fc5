//! The spans of operations.

use super::stage::{Stage, id};
use crate::log::Log;

/// Returns the spans of operations that have ended, without those around them.
fn ended(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text.lines();
    let spans = lines.filter_map(|line| line.split_once(": lattice::backend: close"));
    let own = spans.filter_map(|(spans, _)| spans.rsplit_once("backend{"));
    own.map(|(_, span)| span.to_owned()).collect()
}

async fn operations_have_spans(stage: Stage, system: &str) {
    let log = Log::default();
    stage.create("photos").await;
    let captured = log.capture_spans();
    let cat = id("photos", "cat");
    stage.put(&cat, "meow").await.expect("stored");
    assert!(!stage.has(&id("photos", "dog")).await);
    stage
        .get(&id("photos", "dog"), None)
        .await
        .expect_err("none");
    assert_eq!(stage.get(&cat, None).await, Ok(b"meow".to_vec()));
    drop(captured);
    let spans = ended(&log);
    let names = ["put", "has", "get", "get"];
    assert_eq!(spans.len(), names.len(), "{spans:#?}");
    for (place, (span, name)) in spans.iter().zip(names).enumerate() {
        for field in [
            format!("otel.name=\"{name} photos\""),
            "otel.kind=\"client\"".to_owned(),
            format!("lattice.blobstore.system=\"{system}\""),
            format!("lattice.blobstore.operation=\"{name}\""),
        ] {
            assert!(span.contains(&field), "{field} isn't in {span}");
        }
        // Only the object that isn't there could not be read.
        assert_eq!(span.contains("error.type"), place == 2, "{span}");
        assert!(!span.contains("cat") && !span.contains("meow"), "{span}");
    }
}

#[tokio::test]
async fn in_memory() {
    operations_have_spans(super::memory().await, "memory").await;
}

#[cfg(feature = "blobstore-s3")]
#[tokio::test]
async fn through_the_client_of_clouds() {
    operations_have_spans(super::remote().await, "object_store").await;
}
