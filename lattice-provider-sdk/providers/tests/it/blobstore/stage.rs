//! A provider that is served, with a client that is linked to it.

use futures_util::{TryStreamExt, stream};
use lattice_provider_sdk::{
    Broken, ByteReader, Bytes, Caller, IntoService, Lattice, Link, ServeHandle, serve,
};
use lattice_providers::blobstore::LinkConfig;
use std::{any::Any, time::Duration};

mod bindings {
    lattice_provider_sdk::client!({ inline: "
        package test:blobstore;
        world test {
            import lattice:blobstore/store@0.1.0;
        }
    " });
}

pub(super) use bindings::lattice::blobstore::{
    store::{INTERFACE, StoreClient},
    types::{ByteRange, Error, ObjectData, ObjectId, ObjectMetadata},
};

/// Far more than any call takes, on a busy machine too.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A provider `blobs`, and a client over the link of `app`.
pub(super) struct Stage {
    pub(super) lattice: Lattice,
    pub(super) store: StoreClient<Caller>,
    _serving: ServeHandle,
    kept: Vec<Box<dyn Any>>,
}

impl Stage {
    pub(super) async fn of(provider: impl IntoService) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let serving = serve(&lattice, "blobs", provider).await.expect("served");
        let store = linked(&lattice, "app", None).await;
        Self {
            lattice,
            store,
            _serving: serving,
            kept: Vec::new(),
        }
    }

    /// Keeps what the provider needs for as long as it is served.
    pub(super) fn keeping(mut self, kept: impl Any) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    /// Links another component, with a config.
    pub(super) async fn link(&self, source: &str, config: &LinkConfig) -> StoreClient<Caller> {
        linked(&self.lattice, source, Some(config)).await
    }

    pub(super) async fn create(&self, container: &str) {
        let created = self.store.create_container(container).timeout(PATIENCE);
        created.await.expect("called").expect("created");
    }

    pub(super) async fn put(&self, id: &ObjectId, data: impl Into<Bytes>) -> Result<u64, Error> {
        let data = ByteReader::new(stream::iter([data.into()]));
        put(&self.store, id, data).await
    }

    pub(super) async fn get(
        &self,
        id: &ObjectId,
        range: Option<(u64, u64)>,
    ) -> Result<Vec<u8>, Error> {
        let object = self.open(id, range).await?;
        let (length, data) = (object.length, whole(object.data).await.expect("whole"));
        assert_eq!(data.len() as u64, length);
        Ok(data)
    }

    pub(super) async fn open(
        &self,
        id: &ObjectId,
        range: Option<(u64, u64)>,
    ) -> Result<ObjectData, Error> {
        let range = range.map(|(first, last)| ByteRange { first, last });
        let call = self.store.get_object(id, range.as_ref()).timeout(PATIENCE);
        call.await.expect("called")
    }

    pub(super) async fn info(&self, id: &ObjectId) -> Result<ObjectMetadata, Error> {
        let call = self.store.object_info(id).timeout(PATIENCE);
        call.await.expect("called")
    }

    pub(super) async fn has(&self, id: &ObjectId) -> bool {
        let call = self.store.has_object(id).timeout(PATIENCE);
        call.await.expect("called").expect("the container exists")
    }

    /// Returns the names of the objects in a container, sorted.
    pub(super) async fn names(&self, container: &str) -> Result<Vec<String>, Error> {
        let call = self.store.list_objects(container).timeout(PATIENCE);
        let names = call.await.expect("called")?;
        let mut names: Vec<String> = names.try_collect().await.expect("whole");
        names.sort();
        Ok(names)
    }
}

async fn linked(
    lattice: &Lattice,
    source: &str,
    config: Option<&LinkConfig>,
) -> StoreClient<Caller> {
    let mut link = Link::new(source, INTERFACE.name(), "blobs").expect("valid");
    if let Some(config) = config {
        link = link.config(config).expect("JSON");
    }
    lattice.links().put(link).await.expect("put");
    StoreClient::new(lattice.caller(source).expect("an id"))
}

/// Writes an object, and returns its size.
pub(super) async fn put(
    store: &StoreClient<Caller>,
    id: &ObjectId,
    data: ByteReader,
) -> Result<u64, Error> {
    let call = store.put_object(id, data).timeout(PATIENCE);
    call.await.expect("called").map(|stored| stored.size)
}

/// Returns all of a stream.
pub(super) async fn whole(data: ByteReader) -> Result<Vec<u8>, Broken> {
    let chunks: Vec<Bytes> = data.try_collect().await?;
    Ok(chunks.concat())
}

pub(super) fn id(container: &str, object: &str) -> ObjectId {
    ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    }
}

/// With a key that only a server takes that doesn't check it.
#[cfg(feature = "blobstore-s3")]
pub(super) fn s3_settings(
    endpoint: &str,
    bucket: &str,
) -> lattice_providers::blobstore::S3Settings {
    lattice_providers::blobstore::S3Settings {
        bucket: bucket.to_owned(),
        region: None,
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("enigma".to_owned().into()),
        session_token: None,
        anonymous: false,
        virtual_hosted: false,
        ca_file: None,
        prefix: String::new(),
        timeout: Duration::from_secs(10),
    }
}

/// With the key of an account that needs no token, as emulators have it.
#[cfg(feature = "blobstore-s3")]
pub(super) fn gcs_settings(
    endpoint: &str,
    bucket: &str,
) -> lattice_providers::blobstore::GcsSettings {
    let key = serde_json::json!({
        "private_key": "enigma",
        "private_key_id": "id",
        "client_email": "test@example.com",
        "disable_oauth": true,
    });
    lattice_providers::blobstore::GcsSettings {
        bucket: bucket.to_owned(),
        service_account_key: Some(key.to_string().into()),
        anonymous: false,
        endpoint: Some(endpoint.to_owned()),
        ca_file: None,
        prefix: String::new(),
        timeout: Duration::from_secs(10),
    }
}
