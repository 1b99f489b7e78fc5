//! What every backend does.

use super::stage::{Error, PATIENCE, Stage, id, put, whole};
use futures_util::{StreamExt, future::join_all, stream};
use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::{ByteReader, Bytes};
use lattice_providers::blobstore::LinkConfig;

pub(super) async fn containers(stage: &Stage) {
    let store = &stage.store;
    let exists = async |name| {
        store
            .container_exists(name)
            .timeout(PATIENCE)
            .await
            .expect("called")
    };
    let info = async |name| {
        store
            .container_info(name)
            .timeout(PATIENCE)
            .await
            .expect("called")
    };
    assert_eq!(exists("photos").await, Ok(false));
    let missing = Err(Error::NoSuchContainer("photos".to_owned()));
    assert_eq!(info("photos").await.map(drop), missing);
    assert_eq!(
        stage.put(&id("photos", "cat"), "meow").await.map(drop),
        missing
    );
    assert_eq!(
        stage.get(&id("photos", "cat"), None).await.map(drop),
        missing
    );
    assert_eq!(stage.names("photos").await.map(drop), missing);

    stage.create("photos").await;
    assert_eq!(exists("photos").await, Ok(true));
    assert_eq!(info("photos").await.expect("there").name, "photos");
    stage
        .put(&id("photos", "cat"), "meow")
        .await
        .expect("stored");
    // It is left as it is.
    stage.create("photos").await;
    assert_eq!(stage.names("photos").await, Ok(vec!["cat".to_owned()]));

    let cleared = store.clear_container("photos").timeout(PATIENCE).await;
    assert_eq!(cleared.expect("called"), Ok(()));
    assert_eq!(stage.names("photos").await, Ok(Vec::new()));
    stage
        .put(&id("photos", "cat"), "meow")
        .await
        .expect("stored");
    let delete = async || {
        store
            .delete_container("photos")
            .timeout(PATIENCE)
            .await
            .expect("called")
    };
    assert_eq!(delete().await, Ok(()));
    assert_eq!(delete().await, missing);
    assert_eq!(exists("photos").await, Ok(false));
    stage.create("photos").await;
    assert_eq!(
        stage.names("photos").await,
        Ok(Vec::new()),
        "nothing comes back"
    );
}

pub(super) async fn objects(stage: &Stage) {
    stage.create("c").await;
    let object = id("c", "o");
    let missing = Err(Error::NoSuchObject("o".to_owned()));
    assert_eq!(stage.get(&object, None).await.map(drop), missing);
    assert_eq!(stage.info(&object).await.map(drop), missing);
    assert!(!stage.has(&object).await);

    assert_eq!(stage.put(&object, "a long first version").await, Ok(20));
    assert_eq!(stage.put(&object, "second").await, Ok(6));
    assert_eq!(stage.get(&object, None).await, Ok(b"second".to_vec()));
    assert!(stage.has(&object).await);
    let info = stage.info(&object).await.expect("there");
    assert_eq!((&*info.name, &*info.container, info.size), ("o", "c", 6));
    assert!(info.created_at > 1_600_000_000, "{}", info.created_at);

    let empty = id("c", "empty");
    assert_eq!(stage.put(&empty, "").await, Ok(0));
    assert_eq!(stage.get(&empty, None).await, Ok(Vec::new()));
    assert_eq!(stage.get(&empty, Some((0, 9))).await, Ok(Vec::new()));
    let every_byte: Vec<u8> = (0..=255).collect();
    stage
        .put(&object, every_byte.clone())
        .await
        .expect("stored");
    assert_eq!(stage.get(&object, None).await, Ok(every_byte));

    let names = ["o", "never", "empty"].map(str::to_owned);
    let deleted = stage
        .store
        .delete_objects("c", &names)
        .timeout(PATIENCE)
        .await;
    assert_eq!(deleted.expect("called"), Ok(()));
    assert_eq!(stage.names("c").await, Ok(Vec::new()));
    assert_eq!(stage.get(&object, None).await.map(drop), missing);
}

pub(super) async fn ranges(stage: &Stage) {
    stage.create("c").await;
    let object = id("c", "o");
    // Longer than the chunks of any backend.
    let data: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    stage.put(&object, data.clone()).await.expect("stored");
    for (first, last) in [
        (0, 0),
        (0, 9),
        (5, 5),
        (131_000, 132_000),
        (299_999, 299_999),
    ] {
        let expected =
            &data[usize::try_from(first).expect("small")..=usize::try_from(last).expect("small")];
        let found = stage.get(&object, Some((first, last))).await;
        assert!(found.as_deref() == Ok(expected), "{first} to {last}");
    }
    let tail = Ok(&data[299_990..]);
    for last in [299_999, 300_000, u64::MAX] {
        let found = stage.get(&object, Some((299_990, last))).await;
        assert!(found.as_deref() == tail, "to {last}");
    }
    let invalid = Err(Error::InvalidRange(300_000));
    for range in [(300_000, 300_001), (7, 6), (u64::MAX, u64::MAX)] {
        let found = stage.get(&object, Some(range)).await.map(drop);
        assert_eq!(found, invalid, "{range:?}");
    }
}

pub(super) async fn names(stage: &Stage) {
    let every_byte: String = (0..=127_u8).map(char::from).collect();
    let long = "é".repeat(140);
    let odd = [
        "..",
        ".",
        "/",
        "a/b",
        "a//b",
        "/etc/passwd",
        "../../etc/passwd",
        "a\\b",
        "%41",
        "A",
        "a",
        " ",
        "*",
        ">",
        "\0",
        "\n",
        "💾",
        ".hidden",
        "a#1",
        "a?b",
        &every_byte,
        &long,
    ];
    for container in ["..", "a/b c", "💾%"] {
        stage.create(container).await;
        stage
            .put(&id(container, "o"), container.to_owned())
            .await
            .expect("stored");
        assert_eq!(
            stage.names(container).await,
            Ok(vec!["o".to_owned()]),
            "{container:?}"
        );
    }
    stage.create("odd").await;
    for name in odd {
        let stored = stage.put(&id("odd", name), name.to_owned()).await;
        assert_eq!(stored, Ok(name.len() as u64), "{name:?}");
    }
    for name in odd {
        let found = stage.get(&id("odd", name), None).await;
        assert_eq!(found.as_deref(), Ok(name.as_bytes()), "{name:?}");
    }
    let mut expected = odd.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(stage.names("odd").await, Ok(expected));

    for name in ["", &"x".repeat(1_025)] {
        let stored = stage.put(&id("odd", name), "data").await;
        assert!(matches!(stored, Err(Error::InvalidName(_))), "{stored:?}");
    }
    let created = stage.store.create_container("").await.expect("called");
    assert!(matches!(created, Err(Error::InvalidName(_))), "{created:?}");
}

pub(super) async fn broken(stage: &Stage) {
    stage.create("c").await;
    let (new, old) = (id("c", "new"), id("c", "old"));
    stage.put(&old, "old").await.expect("stored");
    for object in [&new, &old] {
        // Long enough that something was written before.
        let (mut writer, data) = ByteReader::channel();
        let write = async {
            for _ in 0..40 {
                if writer.send(Bytes::from(vec![1; 64 << 10])).await.is_err() {
                    return;
                }
            }
            writer.fail("out of data");
        };
        let (stored, ()) = tokio::join!(put(&stage.store, object, data), write);
        assert!(
            matches!(&stored, Err(Error::Incomplete(reason)) if reason.contains("out of data")),
            "{stored:?}"
        );
    }
    // A writer that dies doesn't end its data.
    let (mut writer, data) = ByteReader::channel();
    let write = async {
        writer
            .send(Bytes::from_static(b"part"))
            .await
            .expect("it is read");
        drop(writer);
    };
    let (stored, ()) = tokio::join!(put(&stage.store, &new, data), write);
    assert!(matches!(stored, Err(Error::Incomplete(_))), "{stored:?}");
    assert!(!stage.has(&new).await);
    assert_eq!(stage.get(&old, None).await, Ok(b"old".to_vec()));
    assert_eq!(stage.names("c").await, Ok(vec!["old".to_owned()]));
}

pub(super) async fn large(stage: &Stage) {
    const CHUNK: usize = 256 << 10;
    const CHUNKS: u8 = 56;
    stage.create("c").await;
    let object = id("c", "large");
    // Three parts of an upload to S3.
    let chunks = stream::iter((0..CHUNKS).map(|number| Bytes::from(vec![number; CHUNK])));
    let size = CHUNK as u64 * u64::from(CHUNKS);
    assert_eq!(
        put(&stage.store, &object, ByteReader::new(chunks)).await,
        Ok(size)
    );

    let found = stage.open(&object, None).await.expect("there");
    assert_eq!((found.length, found.metadata.size), (size, size));
    let mut at = 0;
    let mut data = found.data;
    while let Some(chunk) = data.next().await {
        for byte in chunk.expect("whole") {
            assert_eq!(usize::from(byte), at / CHUNK);
            at += 1;
        }
    }
    assert_eq!(at as u64, size);

    // Readers that stop half-way don't disturb others.
    for _ in 0..3 {
        let mut data = stage.open(&object, None).await.expect("there").data;
        assert!(data.next().await.expect("data").is_ok());
    }
    let last = stage
        .open(&object, Some((size - 1, size)))
        .await
        .expect("there");
    assert_eq!(whole(last.data).await, Ok(vec![CHUNKS - 1]));
}

pub(super) async fn copies(stage: &Stage) {
    stage.create("from").await;
    stage.create("to").await;
    let (source, target) = (id("from", "a"), id("to", "b"));
    let copy = async |from, to| {
        stage
            .store
            .copy_object(from, to)
            .timeout(PATIENCE)
            .await
            .expect("called")
    };
    let rename = async |from, to| {
        stage
            .store
            .move_object(from, to)
            .timeout(PATIENCE)
            .await
            .expect("called")
    };
    let missing = Err(Error::NoSuchObject("a".to_owned()));
    assert_eq!(copy(&source, &target).await, missing);
    assert_eq!(rename(&source, &target).await, missing);

    stage.put(&source, "data").await.expect("stored");
    stage
        .put(&target, "older and longer")
        .await
        .expect("stored");
    assert_eq!(copy(&source, &target).await, Ok(()));
    assert_eq!(stage.get(&target, None).await, Ok(b"data".to_vec()));
    // A copy is an object of its own.
    stage.put(&target, "changed").await.expect("stored");
    assert_eq!(stage.get(&source, None).await, Ok(b"data".to_vec()));

    assert_eq!(rename(&source, &source).await, Ok(()));
    assert_eq!(copy(&source, &source).await, Ok(()));
    assert_eq!(rename(&source, &target).await, Ok(()));
    assert_eq!(stage.get(&target, None).await, Ok(b"data".to_vec()));
    assert!(!stage.has(&source).await);

    let nowhere = id("nowhere", "b");
    let missing = Err(Error::NoSuchContainer("nowhere".to_owned()));
    assert_eq!(copy(&target, &nowhere).await, missing);
    assert_eq!(rename(&target, &nowhere).await, missing);
    assert!(stage.has(&target).await);
}

pub(super) async fn lists(stage: &Stage) {
    stage.create("c").await;
    let names: Vec<String> = (0..60)
        .map(|number| format!("object-{number:02}"))
        .collect();
    for name in &names {
        stage
            .put(&id("c", name), name.clone())
            .await
            .expect("stored");
    }
    assert_eq!(stage.names("c").await.as_ref(), Ok(&names));
    let call = stage.store.list_objects("c").timeout(PATIENCE);
    let mut listed = call.await.expect("called").expect("there");
    let first = listed.next().await.expect("a name").expect("whole");
    // What is added or deleted meanwhile may be in it or not. All else is, once.
    stage.put(&id("c", "added"), "").await.expect("stored");
    let deleted = ["object-30".to_owned()];
    let call = stage.store.delete_objects("c", &deleted).timeout(PATIENCE);
    call.await.expect("called").expect("deleted");
    let mut found = vec![first];
    while let Some(name) = listed.next().await {
        found.push(name.expect("whole"));
    }
    found.retain(|name| name != "added" && name != "object-30");
    found.sort();
    let expected: Vec<_> = names
        .iter()
        .filter(|name| *name != "object-30")
        .cloned()
        .collect();
    assert_eq!(found, expected);
}

/// More names than any backend reads at once.
pub(super) async fn long_lists(stage: &Stage) {
    stage.create("c").await;
    let names: Vec<String> = (0..600)
        .map(|number| format!("object-{number:03}"))
        .collect();
    for part in names.chunks(50) {
        let stored = part.iter().map(|name| async move {
            stage.put(&id("c", name), "").await.expect("stored");
        });
        join_all(stored).await;
    }
    assert_eq!(stage.names("c").await.as_ref(), Ok(&names));

    let call = stage.store.list_objects("c").timeout(PATIENCE);
    let mut listed = call.await.expect("called").expect("there");
    let first = listed.next().await.expect("a name").expect("whole");
    // Some of those that come later, wherever the backend has them.
    let deleted = names.iter().filter(|name| **name != first);
    let deleted: Vec<_> = deleted.step_by(7).cloned().collect();
    let call = stage.store.delete_objects("c", &deleted).timeout(PATIENCE);
    call.await.expect("called").expect("deleted");
    for number in 0..20 {
        let added = format!("added-{number}");
        stage.put(&id("c", &added), "").await.expect("stored");
    }
    let mut found = vec![first];
    while let Some(name) = listed.next().await {
        found.push(name.expect("whole"));
    }
    let stays = |name: &String| !name.starts_with("added-") && !deleted.contains(name);
    found.retain(stays);
    found.sort();
    let expected: Vec<_> = names.iter().filter(|name| stays(name)).cloned().collect();
    assert_eq!(found, expected);
}

pub(super) async fn links(stage: &Stage) {
    stage.create("tenant-photos").await;
    let config = LinkConfig {
        container_prefix: "tenant-".to_owned(),
        containers: Some(vec!["photos".to_owned(), "videos".to_owned()]),
        read_only: false,
        max_object_size: Some(ByteSize::kib(1)),
    };
    let tenant = stage.link("tenant", &config).await;
    let data = |size| ByteReader::new(stream::iter([Bytes::from(vec![1; size])]));
    let object = id("photos", "cat");
    assert_eq!(put(&tenant, &object, data(1_024)).await, Ok(1_024));
    assert_eq!(
        put(&tenant, &object, data(1_025)).await,
        Err(Error::TooLarge(1_024))
    );
    let info = stage
        .info(&id("tenant-photos", "cat"))
        .await
        .expect("the small one");
    assert_eq!(info.size, 1_024);
    assert_eq!(
        put(&tenant, &id("videos", "cat"), data(1)).await,
        Err(Error::NoSuchContainer("videos".to_owned())),
        "without the prefix"
    );
    let other = put(&tenant, &id("tenant-photos", "cat"), data(1)).await;
    assert!(matches!(other, Err(Error::AccessDenied(_))), "{other:?}");

    let config = LinkConfig {
        read_only: true,
        ..LinkConfig::default()
    };
    let reader = stage.link("reader", &config).await;
    let object = id("tenant-photos", "cat");
    let found = reader.get_object(&object, None).timeout(PATIENCE).await;
    assert!(found.expect("called").is_ok());
    let denied = [
        put(&reader, &object, data(1)).await.map(drop),
        reader.create_container("new").await.expect("called"),
        reader
            .clear_container("tenant-photos")
            .await
            .expect("called"),
        reader
            .delete_container("tenant-photos")
            .await
            .expect("called"),
        reader
            .move_object(&object, &id("tenant-photos", "dog"))
            .await
            .expect("called"),
    ];
    for denied in denied {
        assert!(matches!(denied, Err(Error::AccessDenied(_))), "{denied:?}");
    }
    assert!(stage.has(&object).await);
}
