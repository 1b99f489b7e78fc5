//! Stores that are slower than their callers wait: these still get the interface's own error.

use super::stage::{Error, Stage, id};
use futures_util::stream;
use lattice_provider_sdk::{ByteReader, Bytes, CallError};
use std::time::Duration;

/// What a call has. The stores have far more. The provider ends it 250 ms earlier, which is enough
/// for a busy machine to reply.
const DEADLINE: Duration = Duration::from_secs(4);

async fn is_out_of_time<T>(
    function: &str,
    call: impl IntoFuture<Output = Result<Result<T, Error>, CallError>>,
) {
    match call.await {
        Ok(Ok(_)) => panic!("{function} succeeds"),
        Ok(Err(error)) => assert_eq!(error, Error::Timeout, "{function}"),
        Err(error) => panic!("{function}: {error}"),
    }
}

/// Calls all functions of a store that says nothing any more, at once.
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
async fn all_functions_are_out_of_time(stage: &Stage) {
    let store = &stage.store;
    let (object, other) = (id("c", "o"), id("c", "p"));
    let data = ByteReader::new(stream::iter([Bytes::from_static(b"data")]));
    let names = ["o".to_owned()];
    let create = store.create_container("c").timeout(DEADLINE);
    let container_info = store.container_info("c").timeout(DEADLINE);
    let exists = store.container_exists("c").timeout(DEADLINE);
    let delete = store.delete_container("c").timeout(DEADLINE);
    let clear = store.clear_container("c").timeout(DEADLINE);
    let list = store.list_objects("c").timeout(DEADLINE);
    let get = store.get_object(&object, None).timeout(DEADLINE);
    let put = store.put_object(&object, data).timeout(DEADLINE);
    let info = store.object_info(&object).timeout(DEADLINE);
    let has = store.has_object(&object).timeout(DEADLINE);
    let remove = store.delete_objects("c", &names).timeout(DEADLINE);
    let copy = store.copy_object(&object, &other).timeout(DEADLINE);
    let rename = store.move_object(&object, &other).timeout(DEADLINE);
    tokio::join!(
        is_out_of_time("create-container", create),
        is_out_of_time("container-info", container_info),
        is_out_of_time("container-exists", exists),
        is_out_of_time("delete-container", delete),
        is_out_of_time("clear-container", clear),
        is_out_of_time("list-objects", list),
        is_out_of_time("get-object", get),
        is_out_of_time("put-object", put),
        is_out_of_time("object-info", info),
        is_out_of_time("has-object", has),
        is_out_of_time("delete-objects", remove),
        is_out_of_time("copy-object", copy),
        is_out_of_time("move-object", rename),
    );
}

#[cfg(feature = "blobstore-s3")]
#[tokio::test]
async fn a_server_of_s3_that_hangs_ends_no_call_late() {
    use lattice_providers::blobstore::S3;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let settings = super::stage::s3_settings(&format!("http://{address}"), "b");
    assert!(settings.timeout > DEADLINE, "it isn't what ends the calls");
    let stage = Stage::of(S3::new(settings)).await;
    all_functions_are_out_of_time(&stage).await;
    drop(listener);
}

#[cfg(feature = "blobstore-nats")]
#[tokio::test]
async fn a_nats_server_that_hangs_ends_no_call_late() {
    use lattice_providers::blobstore::{Nats, NatsStoreSettings};
    let server = crate::nats::NatsConfig::default().jetstream().start().await;
    let settings = NatsStoreSettings::new(server.url());
    let own = settings.connection.timeout;
    assert!(own > DEADLINE, "it isn't what ends the calls");
    let stage = Stage::of(Nats::new(settings)).await;
    stage.create("c").await;
    server.signal("STOP");
    all_functions_are_out_of_time(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn data_that_does_not_come_is_told_in_time_and_not_stored() {
    let stage = super::memory().await;
    stage.create("c").await;
    let object = id("c", "o");
    let data = ByteReader::new(stream::pending::<Bytes>());
    let put = stage.store.put_object(&object, data).timeout(DEADLINE);
    is_out_of_time("put-object", put).await;
    assert_eq!(stage.names("c").await, Ok(Vec::new()));
}
