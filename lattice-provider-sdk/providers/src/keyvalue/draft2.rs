//! `wasi:keyvalue@0.2.0-draft2`, in both published shapes.

use super::{
    backend::{Addition, Backend, Failure},
    provider::{Bucket, Cas, KeyValue},
    worlds::{
        spin::wasi::keyvalue as spin,
        wasi::keyvalue_0_2_0_draft2::{
            atomics::{self, Atomics, CasError},
            batch::Batch,
            store::{self, Error, KeyResponse, Store},
        },
    },
};
use bytes::Bytes;
use lattice_provider_sdk::{Call, Own};

/// What a cursor begins with. The rest is the last key before it.
const CURSOR: char = '>';

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoSuchBucket(_) => Self::NoSuchStore,
            Failure::ReadOnly => Self::AccessDenied,
            failure => Self::Other(failure.to_string()),
        }
    }
}

impl From<Failure> for spin::store::Error {
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
        cursor: Option<String>,
    ) -> Result<KeyResponse, Error> {
        let after = match &cursor {
            None => None,
            Some(cursor) => Some(cursor.strip_prefix(CURSOR).ok_or(Failure::InvalidCursor)?),
        };
        let (keys, has_more) = self.page(call, "", after).await?;
        let last = keys.last().filter(|_| has_more);
        let cursor = last.map(|key| format!("{CURSOR}{key}"));
        Ok(KeyResponse { keys, cursor })
    }
}

impl<B: Backend> Atomics for KeyValue<B> {
    type Cas = Cas<B>;

    async fn cas_new(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        key: String,
    ) -> Result<Cas<B>, Error> {
        Ok(bucket.see(call, key).await?)
    }

    async fn increment(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        key: String,
        delta: i64,
    ) -> Result<i64, Error> {
        let addition = Addition {
            delta,
            least: i64::MIN,
        };
        Ok(bucket.add(call, key, addition).await?)
    }

    async fn swap(
        &self,
        call: &Call<Self>,
        cas: Cas<B>,
        value: Bytes,
    ) -> Result<(), CasError<Own<Cas<B>>>> {
        let failed =
            |failure: Failure| -> CasError<Own<Cas<B>>> { CasError::StoreError(failure.into()) };
        let Cas {
            bucket,
            key,
            seen,
            room,
        } = cas;
        let swapped = bucket.swap(call, key.clone(), (seen, value)).await;
        if swapped.map_err(failed)? {
            return Ok(());
        }
        // The value that it is seen with now takes the place of the other one.
        drop(room);
        let again = bucket.see(call, key).await.map_err(failed)?;
        Err(CasError::CasFailed(Own::new(again)))
    }
}

impl<B: Backend> atomics::Cas<KeyValue<B>> for Cas<B> {
    async fn current(&self, _: &Call<KeyValue<B>>) -> Result<Option<Bytes>, Error> {
        Ok(self.seen.value.clone())
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

impl<B: Backend> spin::store::Store for KeyValue<B> {
    type Bucket = Bucket<B>;
}

impl<B: Backend> spin::store::Bucket<KeyValue<B>> for Bucket<B> {}

impl<B: Backend> spin::batch::Batch for KeyValue<B> {
    async fn get_many(
        &self,
        call: &Call<Self>,
        bucket: &Bucket<B>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Bytes>)>, spin::store::Error> {
        let values = bucket.values(call, &keys).await?;
        Ok(keys.into_iter().zip(values).collect())
    }
}
