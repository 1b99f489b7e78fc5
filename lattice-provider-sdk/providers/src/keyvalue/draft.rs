//! `wasi:keyvalue@0.2.0-draft`.

use super::{
    backend::{Addition, Backend, Failure},
    provider::{Bucket, KeyValue},
    worlds::wasi::keyvalue_0_2_0_draft::{
        atomics::Atomics,
        batch::Batch,
        store::{self, Error, KeyResponse, Store},
    },
};
use bytes::Bytes;
use lattice_provider_sdk::Call;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoSuchBucket(_) => Self::NoSuchStore,
            Failure::ReadOnly => Self::AccessDenied,
            failure => Self::Other(failure.to_string()),
        }
    }
}

impl<B: Backend> Store for KeyValue<B> {
    type Bucket = Bucket<B>;

    async fn open(&self, call: &Call<Self>, identifier: String) -> Result<Bucket<B>, Error> {
        Ok(self.bucket(call, &identifier)?)
    }
}

impl<B: Backend> store::Bucket<KeyValue<B>> for Bucket<B> {
    async fn get(&self, call: &Call<KeyValue<B>>, key: String) -> Result<Option<Bytes>, Error> {
        Ok(self.value(call, &key).await?)
    }

    async fn set(&self, call: &Call<KeyValue<B>>, key: String, value: Bytes) -> Result<(), Error> {
        self.put(call, key, value).await?;
        Ok(())
    }

    async fn delete(&self, call: &Call<KeyValue<B>>, key: String) -> Result<(), Error> {
        self.remove(call, key).await?;
        Ok(())
    }

    async fn exists(&self, call: &Call<KeyValue<B>>, key: String) -> Result<bool, Error> {
        Ok(self.has(call, &key).await?)
    }

    async fn list_keys(
        &self,
        call: &Call<KeyValue<B>>,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        let cursors = &self.shared.cursors;
        let after = match cursor {
            None => None,
            Some(number) => {
                let key = cursors.key(&self.name, number);
                Some(key.ok_or(Failure::InvalidCursor)?)
            }
        };
        let (keys, has_more) = self.page(call, "", after.as_deref()).await?;
        let last = keys.last().filter(|_| has_more);
        let cursor = last.map(|key| cursors.behind(&self.name, key));
        Ok(KeyResponse { keys, cursor })
    }
}

impl<B: Backend> Atomics for KeyValue<B> {
    async fn increment(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        key: String,
        delta: u64,
    ) -> Result<u64, Error> {
        // A counter has 63 bits and a sign. One below zero isn't a number here.
        let delta = i64::try_from(delta).map_err(|_| Failure::CounterOverflow)?;
        let sum = bucket.add(call, key, Addition { delta, least: 0 }).await?;
        let sum = u64::try_from(sum).map_err(|_| Failure::CounterOverflow)?;
        Ok(sum)
    }
}

impl<B: Backend> Batch for KeyValue<B> {
    async fn get_many(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        let values = bucket.values(call, &keys).await?;
        let entries = keys.into_iter().zip(values);
        Ok(entries.map(|(key, value)| Some((key, value?))).collect())
    }

    async fn set_many(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        key_values: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        bucket.put_all(call, key_values).await?;
        Ok(())
    }

    async fn delete_many(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        bucket.remove_all(call, keys).await?;
        Ok(())
    }
}
