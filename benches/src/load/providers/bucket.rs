//! The bucket of S3 in which objects are kept: that of a variable, or one of a server that is
//! started.

use crate::{Failure, responder::LATTICE};
use lattice_core::{Lattice, error::chain};
use lattice_provider_sdk::{IntoService as _, Secret, serve};
use lattice_providers::blobstore::{S3, S3Settings};
use lattice_test_servers::S3Bucket;
use std::{env, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Variable with a bucket of a server of S3, such as `http://127.0.0.1:9000/bench`.
const URL: &str = "LATTICE_BENCH_S3";
/// Variables with the id of an access key of that server, and with the key.
const KEY: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
/// A key for a server that is started, which takes any, but no request without one.
const ANY: &str = "any";
/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// A bucket of a server of S3.
pub(super) struct Bucket {
    endpoint: String,
    name: String,
    /// The id of the access key, and the key. Without them, requests aren't signed.
    key: [Option<String>; 2],
    /// The server, if it was started here. It ends some seconds after this value.
    _server: Option<S3Bucket>,
}

impl Bucket {
    /// Returns the bucket that variables name, or else one of a server that is started.
    ///
    /// # Errors
    /// Fails with the reason when there is none that can be used.
    pub(super) async fn find() -> Result<Self, String> {
        let bucket = match Self::named()? {
            Some(named) => named,
            None => Self::started().await?,
        };
        bucket.check().await?;
        Ok(bucket)
    }

    /// Returns the bucket that variables name, if they do. It may not exist.
    ///
    /// # Errors
    /// Fails with the reason when what they name isn't a bucket.
    pub(super) fn named() -> Result<Option<Self>, String> {
        let Some(url) = env::var(URL).ok().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let Some((endpoint, name)) = split(&url) else {
            return Err(format!(
                "{URL} isn't a bucket, such as `http://127.0.0.1:9000/bench`"
            ));
        };
        Ok(Some(Self {
            endpoint: endpoint.to_owned(),
            name: name.to_owned(),
            key: KEY.map(|name| env::var(name).ok()),
            _server: None,
        }))
    }

    async fn started() -> Result<Self, String> {
        let server = S3Bucket::create().await.map_err(|missing| {
            let missing = chain(&missing);
            format!(
                "{missing}; or name a bucket with {URL}, such as `http://127.0.0.1:9000/bench`, and its access key with {} and {}",
                KEY[0], KEY[1]
            )
        })?;
        Ok(Self {
            endpoint: server.endpoint(),
            name: server.name().to_owned(),
            key: KEY.map(|_| Some(ANY.to_owned())),
            _server: Some(server),
        })
    }

    /// Returns the variables that name it, with their values.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let key = KEY.into_iter().zip(self.key.clone());
        let key = key.filter_map(|(name, value)| Some((name, value?)));
        let url = format!("{}/{}", self.endpoint, self.name);
        key.chain([(URL, url)]).collect()
    }

    /// Returns the settings of a provider of its objects.
    pub(super) fn settings(&self) -> S3Settings {
        let [id, key] = self.key.clone();
        S3Settings {
            bucket: self.name.clone(),
            region: None,
            endpoint: Some(self.endpoint.clone()),
            anonymous: id.is_none(),
            access_key_id: id,
            secret_access_key: key.map(Secret::new),
            session_token: None,
            virtual_hosted: false,
            ca_file: None,
            prefix: String::new(),
            timeout: Duration::from_secs(10),
        }
    }

    /// Fails with the reason when the server doesn't answer, or has no such bucket.
    async fn check(&self) -> Result<(), String> {
        let address = address_of(&self.endpoint);
        match timeout(CONNECT, TcpStream::connect(&address)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(format!("no server of S3 answers at {address}: {error}")),
            Err(_) => return Err(format!("no server of S3 answers at {address} in time")),
        }
        let unusable = format!("the bucket `{}` can't be used at {address}", self.name);
        let checked = usable(self.settings()).await;
        checked.map_err(|reason| format!("{unusable}: {}", chain(&*reason)))
    }
}

/// Fails if a provider with these settings isn't well: there is no such bucket, or no access to it.
async fn usable(settings: S3Settings) -> Result<(), Failure> {
    let lattice = Lattice::in_memory(LATTICE).await?;
    let provider = S3::new(settings).into_service();
    let _serving = serve(&lattice, "bucket", provider.clone()).await?;
    Ok(provider.health().await?)
}

/// Splits the URL of a bucket into that of its server, and its name.
fn split(url: &str) -> Option<(&str, &str)> {
    let (endpoint, bucket) = url.rsplit_once('/')?;
    let (_, authority) = endpoint.split_once("://")?;
    let is_bucket = !authority.is_empty() && !authority.contains('/') && !bucket.is_empty();
    is_bucket.then_some((endpoint, bucket))
}

/// Returns the host and the port of a URL without a path.
fn address_of(endpoint: &str) -> String {
    let (scheme, authority) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_by_its_url() {
        let found = split("http://127.0.0.1:9000/bench");
        assert_eq!(found, Some(("http://127.0.0.1:9000", "bench")));
        for wrong in ["", "bench", "http://", "http://host/", "http://host/a/b"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
        for (endpoint, address) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://s3.local", "s3.local:80"),
            ("https://s3.local", "s3.local:443"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(address_of(endpoint), address);
        }
    }
}
