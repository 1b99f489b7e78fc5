//! Files that may not grow any more. A limit for the files of a process stands for a full disk.

use crate::{
    nats::{NatsConfig, NatsServer},
    wait::{eventually, soon},
};
use bindings::lattice::{blobstore, keyvalue};
use futures_util::stream;
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_provider_sdk::{ByteReader, Bytes, Caller, Link};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

mod bindings {
    lattice_provider_sdk::client!({ inline: "
        package test:full;
        world test {
            import lattice:blobstore/store@0.1.0;
            import lattice:keyvalue/store@0.1.0;
        }
    " });
}

/// Far more than any call takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file may have 8,192 blocks, which are 4 MiB or 8 MiB, as the shell counts. To write more is an
/// error of the file system, as the signal that would end the process is ignored.
const LIMITED: &str = "trap '' XFSZ; ulimit -f 8192; exec \"$@\"";
/// More than that.
const TOO_MUCH: usize = 9 << 20;

/// A provider in a process with that limit, to which `app` is linked.
struct Scene {
    caller: Caller,
    process: Child,
    folder: TempDir,
    _lattice: Lattice,
    _server: NatsServer,
}

impl Scene {
    async fn new(provider: &str, interface: &str) -> Self {
        let server = NatsConfig::default().jetstream().start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let key = LatticeKey::generate();
        let process = process(provider, &folder.path().join("data"), (&server, &key));
        let lattice = Lattice::connect(server.url(), "default").key(key);
        let lattice = lattice.await.expect("connected");
        let link = Link::new("app", interface, provider).expect("valid");
        lattice.links().put(link).await.expect("it is put");
        let served = soon("it is served", lattice.served(provider)).await;
        served.expect("an id");
        Self {
            caller: lattice.caller("app").expect("an id"),
            process,
            folder,
            _lattice: lattice,
            _server: server,
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn process(provider: &str, path: &Path, (server, key): (&NatsServer, &LatticeKey)) -> Child {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", LIMITED, "sh", env!("CARGO_BIN_EXE_lattice-provider")])
        .args([provider, "--set", &format!("path={}", path.display())])
        .env_clear()
        .env("LATTICE_NATS", server.url())
        .env("LATTICE_KEY", key.expose_hex().as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("it starts")
}

#[tokio::test]
async fn a_file_of_values_that_is_full_still_reads() {
    let interface = keyvalue::store::INTERFACE.name();
    let scene = Scene::new("keyvalue-file", interface).await;
    let store = keyvalue::store::StoreClient::new(scene.caller.clone());
    eventually("the link is known", async || {
        matches!(store.set("first", b"value").await, Ok(Ok(())))
    })
    .await;
    let value = vec![7; 1 << 20];
    let mut full = None;
    for number in 0..TOO_MUCH / value.len() {
        let key = format!("{number}");
        let set = store.set(&key, &value).timeout(PATIENCE).await;
        if let Err(error) = set.expect("called") {
            full = Some(error);
            break;
        }
    }
    let is_told = matches!(
        &full,
        Some(keyvalue::store::Error::Other(text)) if text.contains("keyvalue-file is full")
    );
    assert!(is_told, "{full:?}");
    let first = store.get("first").timeout(PATIENCE).await;
    let first = first.expect("called").expect("it is read");
    assert_eq!(first.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn a_folder_of_objects_that_is_full_keeps_what_it_has() {
    let interface = blobstore::store::INTERFACE.name();
    let scene = Scene::new("blobstore-file", interface).await;
    let store = blobstore::store::StoreClient::new(scene.caller.clone());
    eventually("the link is known", async || {
        matches!(store.create_container("c").await, Ok(Ok(())))
    })
    .await;
    let put = async |object: &str, size: usize| {
        let id = blobstore::types::ObjectId {
            container: "c".to_owned(),
            object: object.to_owned(),
        };
        let chunk = Bytes::from(vec![7; size.min(1 << 20)]);
        let chunks = vec![chunk; size.div_ceil(1 << 20)];
        let data = ByteReader::new(stream::iter(chunks));
        let put = store.put_object(&id, data).timeout(PATIENCE).await;
        put.expect("called").map(|stored| stored.size)
    };
    assert_eq!(put("o", 1_000).await, Ok(1_000));
    let full = put("o", TOO_MUCH).await;
    let is_told = matches!(full, Err(blobstore::types::Error::Full(_)));
    assert!(is_told, "{full:?}");
    let id = blobstore::types::ObjectId {
        container: "c".to_owned(),
        object: "o".to_owned(),
    };
    let kept = store.object_info(&id).timeout(PATIENCE).await;
    assert_eq!(kept.expect("called").expect("it is there").size, 1_000);
    let partial = fs::read_dir(scene.folder.path().join("data/partial"));
    assert_eq!(partial.expect("the folder").count(), 0);
}
