//! The store of `bucket.wit` as a native provider.

use bytes::Bytes;
use lattice_core::sync::Mutex;
use lattice_provider_sdk::{Call, Portable, PortableTypes, Refusal, Stateless};
use std::{collections::BTreeMap, sync::Arc};

lattice_provider_sdk::provider!({ path: "tests/guests/bucket", world: "bucket-store" });

use lattice_test::bucket::store::{self, Error, KeyResponse, Store};

/// Keys of one page.
const PAGE: usize = 2;

type Entries = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A store in memory, which its clones share. Buckets of one name have the same content.
#[derive(Clone, Default)]
pub(super) struct Buckets(Arc<Mutex<BTreeMap<String, Entries>>>);

/// An open bucket.
pub(super) struct Bucket {
    identifier: String,
    entries: Entries,
}

impl Buckets {
    fn bucket(&self, identifier: String) -> Bucket {
        let mut buckets = self.0.lock();
        let entries = buckets.entry(identifier.clone()).or_default().clone();
        Bucket {
            identifier,
            entries,
        }
    }
}

impl Stateless for Buckets {
    type World = World;

    fn portable() -> PortableTypes<Self> {
        PortableTypes::none().with::<Bucket>()
    }
}

impl Portable<Buckets> for Bucket {
    fn to_token(&self) -> Vec<u8> {
        self.identifier.clone().into_bytes()
    }

    async fn from_token(
        provider: &Buckets,
        _: &Call<Buckets>,
        token: &[u8],
    ) -> Result<Self, Refusal> {
        let identifier = String::from_utf8(token.to_vec())?;
        Ok(provider.bucket(identifier))
    }
}

impl Store for Buckets {
    type Bucket = Bucket;

    async fn open(&self, _: &Call<Self>, identifier: String) -> Result<Bucket, Error> {
        match &*identifier {
            "missing" => Err(Error::NoSuchStore),
            "secret" => Err(Error::AccessDenied),
            "" => Err(Error::Other("a bucket has a name".to_owned())),
            _ => Ok(self.bucket(identifier)),
        }
    }
}

impl store::Bucket<Buckets> for Bucket {
    async fn get(&self, _: &Call<Buckets>, key: String) -> Result<Option<Bytes>, Error> {
        Ok(self.entries.lock().get(&key).cloned())
    }

    async fn set(&self, _: &Call<Buckets>, key: String, value: Bytes) -> Result<(), Error> {
        self.entries.lock().insert(key, value);
        Ok(())
    }

    async fn delete(&self, _: &Call<Buckets>, key: String) -> Result<(), Error> {
        self.entries.lock().remove(&key);
        Ok(())
    }

    async fn exists(&self, _: &Call<Buckets>, key: String) -> Result<bool, Error> {
        Ok(self.entries.lock().contains_key(&key))
    }

    async fn list_keys(
        &self,
        _: &Call<Buckets>,
        cursor: Option<String>,
    ) -> Result<KeyResponse, Error> {
        let entries = self.entries.lock();
        let from = cursor.unwrap_or_default();
        let mut keys = entries.range(from..).map(|(key, _)| key.clone());
        Ok(KeyResponse {
            keys: keys.by_ref().take(PAGE).collect(),
            cursor: keys.next(),
        })
    }
}
