//! The store of `bucket.wit` as a native provider.

use bytes::Bytes;
use lattice_core::sync::Mutex;
use lattice_provider_sdk::{Call, Stateless};
use std::{collections::BTreeMap, sync::Arc};

lattice_provider_sdk::provider!({ path: "tests/guests/bucket", world: "bucket-store" });

use lattice_test::bucket::store::{self, Error, KeyResponse, Store};

/// Keys of one page.
const PAGE: usize = 2;

type Entries = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A store in memory. Buckets of one name have the same content.
#[derive(Default)]
pub(super) struct Buckets(Mutex<BTreeMap<String, Entries>>);

/// An open bucket.
pub(super) struct Bucket(Entries);

impl Stateless for Buckets {
    type World = World;
}

impl Store for Buckets {
    type Bucket = Bucket;

    async fn open(&self, _: &Call<Self>, identifier: String) -> Result<Bucket, Error> {
        match &*identifier {
            "missing" => Err(Error::NoSuchStore),
            "secret" => Err(Error::AccessDenied),
            "" => Err(Error::Other("a bucket has a name".to_owned())),
            _ => Ok(Bucket(self.0.lock().entry(identifier).or_default().clone())),
        }
    }
}

impl store::Bucket<Buckets> for Bucket {
    async fn get(&self, _: &Call<Buckets>, key: String) -> Result<Option<Bytes>, Error> {
        Ok(self.0.lock().get(&key).cloned())
    }

    async fn set(&self, _: &Call<Buckets>, key: String, value: Bytes) -> Result<(), Error> {
        self.0.lock().insert(key, value);
        Ok(())
    }

    async fn delete(&self, _: &Call<Buckets>, key: String) -> Result<(), Error> {
        self.0.lock().remove(&key);
        Ok(())
    }

    async fn exists(&self, _: &Call<Buckets>, key: String) -> Result<bool, Error> {
        Ok(self.0.lock().contains_key(&key))
    }

    async fn list_keys(
        &self,
        _: &Call<Buckets>,
        cursor: Option<String>,
    ) -> Result<KeyResponse, Error> {
        let entries = self.0.lock();
        let from = cursor.unwrap_or_default();
        let mut keys = entries.range(from..).map(|(key, _)| key.clone());
        Ok(KeyResponse {
            keys: keys.by_ref().take(PAGE).collect(),
            cursor: keys.next(),
        })
    }
}
