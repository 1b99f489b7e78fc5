//! What goes wrong in one backend, and its own promises.

use super::stage::{Error, INTERFACE, PATIENCE, Stage, StoreClient, id, put};
use futures_util::stream;
use lattice_core::{
    name::{FunctionName, InterfaceName},
    quantity::ByteSize,
};
use lattice_provider_sdk::{ByteReader, Bytes, Link};
use lattice_providers::blobstore::{File, FileSettings, Memory, MemorySettings};
use std::fs;

#[tokio::test]
async fn memory_that_is_full_keeps_what_it_has() {
    let settings = MemorySettings {
        max_object_size: ByteSize::kib(8),
        capacity: ByteSize::kib(10),
    };
    let stage = Stage::of(Memory::new(settings)).await;
    stage.create("c").await;
    let object = id("c", "a");
    stage.put(&object, vec![1; 6 << 10]).await.expect("it fits");
    let full = stage.put(&id("c", "b"), vec![1; 6 << 10]).await;
    assert!(matches!(full, Err(Error::Full(_))), "{full:?}");
    let large = stage.put(&id("c", "b"), vec![1; 9 << 10]).await;
    assert_eq!(large, Err(Error::TooLarge(8 << 10)));
    assert_eq!(stage.info(&object).await.expect("there").size, 6 << 10);
    let call = stage.store.clear_container("c").timeout(PATIENCE);
    call.await.expect("called").expect("cleared");
    stage
        .put(&id("c", "b"), vec![1; 6 << 10])
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn files_survive_the_provider_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = || FileSettings {
        path: folder.path().into(),
        max_object_size: Some(ByteSize::mib(1)),
    };
    let object = id("c", "../o");
    {
        let stage = Stage::of(File::new(settings())).await;
        stage.create("c").await;
        stage.put(&object, "kept").await.expect("stored");
        let large = stage.put(&id("c", "large"), vec![1; (1 << 20) + 1]).await;
        assert_eq!(large, Err(Error::TooLarge(1 << 20)));
        let partial = fs::read_dir(folder.path().join("partial")).expect("the folder");
        assert_eq!(partial.count(), 0);
    }
    let stage = Stage::of(File::new(settings())).await;
    assert_eq!(stage.get(&object, None).await, Ok(b"kept".to_vec()));
    let entries = fs::read_dir(folder.path()).expect("the folder");
    assert_eq!(entries.count(), 2, "containers and partial");
}

#[tokio::test]
async fn a_reader_of_a_file_that_is_replaced_reads_the_old_one() {
    let stage = super::file().await;
    stage.create("c").await;
    let object = id("c", "o");
    let old = vec![1; 1 << 20];
    stage.put(&object, old.clone()).await.expect("stored");
    let found = stage.open(&object, None).await.expect("there");
    stage.put(&object, "new").await.expect("stored");
    assert_eq!(super::stage::whole(found.data).await, Ok(old));
    assert_eq!(stage.get(&object, None).await, Ok(b"new".to_vec()));
}

#[tokio::test]
async fn a_folder_that_can_not_be_used_is_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("written");
    let lattice = lattice_provider_sdk::Lattice::in_memory("test")
        .await
        .expect("a lattice");
    let settings = FileSettings {
        path: file.into(),
        max_object_size: None,
    };
    let served = lattice_provider_sdk::serve(&lattice, "blobs", File::new(settings)).await;
    let error = served.map(drop).expect_err("it isn't a folder");
    let told = lattice_core::error::chain(&error);
    assert!(told.contains("path"), "{told}");
}

#[tokio::test]
async fn the_provider_is_served_under_the_name_of_the_draft_too() {
    let stage = super::memory().await;
    stage.create("c").await;
    let name = "wasi:blobstore/blobstore@0.2.0-draft";
    let link = Link::new("actor", name, "blobs").expect("valid");
    stage.lattice.links().put(link).await.expect("put");
    let function = INTERFACE.functions().iter();
    let mut function = function.filter(|function| function.name == "container-exists");
    let function = function.next().expect("declared");
    let function = lattice_core::call::FunctionRef::new(
        InterfaceName::new(name).expect("a name"),
        FunctionName::new(function.name).expect("a name"),
        function.signature,
    );
    let caller = stage.lattice.caller("actor").expect("an id");
    let args = lattice_core::value::to_bytes(&("c",)).expect("encoded");
    let context = lattice_core::call::Context::within(PATIENCE);
    let result = caller
        .invoke(&function, args, context)
        .await
        .expect("called");
    let exists: Result<bool, Error> = lattice_core::value::from_bytes(&result).expect("decoded");
    assert_eq!(exists, Ok(true));
    // Without a link of this interface, there is no call.
    let store = StoreClient::new(caller);
    assert!(store.container_exists("c").await.is_err());
}

#[tokio::test]
async fn a_config_with_unknown_fields_refuses_the_link() {
    let stage = super::memory().await;
    let link = Link::new("app2", INTERFACE.name(), "blobs").expect("valid");
    let link = link
        .config(&serde_json::json!({ "read_only": true }))
        .expect("JSON");
    stage.lattice.links().put(link).await.expect("put");
    let store = StoreClient::new(stage.lattice.caller("app2").expect("an id"));
    let error = store.container_exists("c").await.expect_err("refused");
    assert!(error.to_string().contains("read_only"), "{error}");
}

#[cfg(feature = "blobstore-s3")]
mod s3 {
    use super::{super::stage::s3_settings, Error, Stage, id};
    use crate::servers;
    use lattice_providers::blobstore::{S3, S3Settings};
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    fn settings(endpoint: &str) -> S3Settings {
        S3Settings {
            timeout: Duration::from_millis(500),
            ..s3_settings(endpoint, "b")
        }
    }

    async fn fails(endpoint: String) -> Error {
        let stage = Stage::of(S3::new(settings(&endpoint))).await;
        let call = stage
            .store
            .object_info(&id("c", "o"))
            .timeout(super::PATIENCE);
        let error = call
            .await
            .expect("the call itself succeeds")
            .expect_err("no server");
        assert!(!format!("{error:?}").contains("enigma"), "{error:?}");
        error
    }

    #[tokio::test]
    async fn a_server_that_refuses_the_key_fails_calls() {
        let Some(server) = servers::s3().await else {
            return;
        };
        let with = |key: &str| S3Settings {
            access_key_id: Some(server.key_id().to_owned()),
            secret_access_key: Some(key.to_owned().into()),
            ..s3_settings(&server.endpoint(), server.bucket())
        };
        let stage = Stage::of(S3::new(with(server.key()))).await;
        stage.create("c").await;
        let object = id("c", "o");
        stage.put(&object, "data").await.expect("stored");
        assert_eq!(stage.get(&object, None).await, Ok(b"data".to_vec()));
        let unknown = s3_settings(&server.endpoint(), server.bucket());
        for settings in [with("enigma"), unknown] {
            let stage = Stage::of(S3::new(settings)).await;
            let refused = stage.get(&object, None).await.expect_err("another key");
            assert!(matches!(refused, Error::AccessDenied(_)), "{refused:?}");
            assert!(!format!("{refused:?}").contains("enigma"), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_bucket_that_is_missing_is_named_in_the_error() {
        let Some(bucket) = servers::s3_bucket().await else {
            return;
        };
        let settings = s3_settings(&bucket.endpoint(), "missing-bucket");
        let stage = Stage::of(S3::new(settings)).await;
        let store = &stage.store;
        let info = store.container_info("c").timeout(super::PATIENCE).await;
        let missing = info.expect("called").expect_err("there is no bucket");
        let is_named =
            matches!(&missing, Error::Other(reason) if reason.contains("missing-bucket"));
        assert!(is_named, "{missing:?}");
        let created = store.create_container("c").timeout(super::PATIENCE).await;
        created.expect("called").expect_err("there is no bucket");
    }

    #[tokio::test]
    async fn a_server_that_is_away_fails_calls_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let error = fails(format!("http://{address}")).await;
        assert!(
            matches!(error, Error::Unavailable(_) | Error::Timeout),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_fails_calls_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        assert_eq!(fails(format!("http://{address}")).await, Error::Timeout);
        drop(listener);
    }

    #[tokio::test]
    async fn a_server_that_answers_garbage_fails_calls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                // Only one that is gone fails.
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(b"garbage\r\n\r\n").await;
            }
        });
        let error = fails(format!("http://{address}")).await;
        assert!(
            !matches!(error, Error::NoSuchObject(_) | Error::NoSuchContainer(_)),
            "{error:?}"
        );
        serving.abort();
    }
}

#[cfg(feature = "blobstore-nats")]
#[tokio::test]
async fn a_nats_server_that_goes_and_comes_back_keeps_its_objects() {
    let mut server = crate::nats::NatsConfig::default().jetstream().start().await;
    let mut settings = lattice_providers::blobstore::NatsStoreSettings::new(server.url());
    settings.connection.timeout = std::time::Duration::from_millis(500);
    let stage = Stage::of(lattice_providers::blobstore::Nats::new(settings)).await;
    let object = id("c", "o");
    stage.create("c").await;
    stage.put(&object, "kept").await.expect("stored");
    server.kill();
    let away = stage
        .get(&object, None)
        .await
        .expect_err("there is no server");
    assert!(
        matches!(
            away,
            Error::Timeout | Error::Unavailable(_) | Error::Other(_)
        ),
        "{away:?}"
    );
    server.restart().await;
    let back = async {
        loop {
            if stage.get(&object, None).await == Ok(b"kept".to_vec()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back)
        .await
        .expect("it is back");
}

#[cfg(feature = "blobstore-nats")]
#[tokio::test]
async fn a_nats_container_that_is_full_keeps_what_it_has() {
    use async_nats::jetstream;
    let server = crate::nats::NatsConfig::default().jetstream().start().await;
    let client = async_nats::connect(server.url()).await.expect("connects");
    let config = jetstream::object_store::Config {
        bucket: "c".to_owned(),
        max_bytes: 100 << 10,
        ..jetstream::object_store::Config::default()
    };
    let made = jetstream::new(client).create_object_store(config).await;
    made.expect("the container that the provider uses");
    let settings = lattice_providers::blobstore::NatsStoreSettings::new(server.url());
    let stage = Stage::of(lattice_providers::blobstore::Nats::new(settings)).await;
    let (first, second) = (id("c", "first"), id("c", "second"));
    let data = vec![7; 64 << 10];
    stage.put(&first, data.clone()).await.expect("it fits");
    let full = stage.put(&second, data.clone()).await;
    assert!(matches!(full, Err(Error::Full(_))), "{full:?}");
    assert_eq!(stage.get(&first, None).await, Ok(data.clone()));
    assert!(!stage.has(&second).await, "no part of it is an object");

    let names = [first.object];
    let call = stage.store.delete_objects("c", &names).timeout(PATIENCE);
    call.await.expect("called").expect("deleted");
    stage.put(&second, data).await.expect("there is room again");
}

#[tokio::test]
async fn a_call_that_its_caller_drops_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = FileSettings {
        path: folder.path().into(),
        max_object_size: None,
    };
    let stage = Stage::of(File::new(settings)).await;
    stage.create("c").await;
    let partial = folder.path().join("partial");
    let count = || fs::read_dir(&partial).expect("the folder").count();
    let chunks = stream::iter([Bytes::from(vec![1; 1 << 20])]);
    let endless = ByteReader::new(futures_util::StreamExt::chain(chunks, stream::pending()));
    let object = id("c", "o");
    let write = put(&stage.store, &object, endless);
    let until = async |expected| {
        while count() != expected {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let begun = async {
        tokio::select! {
            stored = write => panic!("it has no end: {stored:?}"),
            () = until(1) => {}
        }
    };
    tokio::time::timeout(PATIENCE, begun)
        .await
        .expect("it is being written");
    tokio::time::timeout(PATIENCE, until(0))
        .await
        .expect("it is removed");
    assert_eq!(stage.names("c").await, Ok(Vec::new()));
}

#[cfg(feature = "blobstore-nats")]
#[tokio::test]
async fn an_object_whose_container_is_cleared_meanwhile_is_not_stored_in_part() {
    let stage = super::nats().await;
    stage.create("c").await;
    let object = id("c", "o");
    let (mut writer, data) = ByteReader::channel();
    let write = async {
        // More than may be on its way, so that some of it is stored.
        for _ in 0..64 {
            let chunk = Bytes::from(vec![1; 64 << 10]);
            writer.send(chunk).await.expect("it is read");
        }
        let cleared = stage.store.clear_container("c").timeout(PATIENCE);
        cleared.await.expect("called").expect("cleared");
        let last = Bytes::from_static(b"end");
        writer.send(last).await.expect("it is read");
        writer.end();
    };
    let (stored, ()) = tokio::join!(put(&stage.store, &object, data), write);
    assert!(
        matches!(&stored, Err(Error::Incomplete(reason)) if reason.contains("cleared")),
        "{stored:?}"
    );
    assert_eq!(stage.names("c").await, Ok(Vec::new()));
}
