//! One request to one registry.

use super::{
    authority::Authority,
    http::{Call, Http},
    manifest::{ACCEPTED, Layer, MANIFEST, MAX_MANIFEST, Written},
    request::{Action, Request, retry_after, with_pause},
};
use crate::artifact::{
    ImageDigest, OciReference, RegistryError, digest::Hasher, settings::Settings,
};
use bytes::Bytes;
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE},
};
use std::{io, sync::Arc};
use tokio::time::timeout;

/// The most bytes that are read of the body of an error.
const MAX_ERROR: usize = 16 << 10;

/// A client for registries.
pub(super) struct Client {
    http: Http,
    authority: Authority,
    settings: Arc<Settings>,
}

/// The received part of a layer.
#[derive(Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    hasher: Hasher,
}

impl Client {
    /// Creates a client. Reads this host's certificates, which takes a few milliseconds.
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, RegistryError> {
        Ok(Self {
            http: Http::new(&settings)?,
            authority: Authority::new(Arc::clone(&settings)),
            settings,
        })
    }

    /// Fetches the document that this image names, and its digest, which is the image's if it has
    /// one. Of a document that is too large, it returns only one byte more than the limit.
    pub(super) async fn manifest(
        &self,
        image: &OciReference,
    ) -> Result<(Bytes, ImageDigest), RegistryError> {
        let request = Request::new(image, Action::Pull);
        let name = match image.digest() {
            Some(digest) => digest.to_string(),
            None => image.tag().unwrap_or("latest").to_owned(),
        };
        let url = self.url(&request, &format!("manifests/{name}"))?;
        let mut call = Call::new(Method::GET, url);
        for accepted in ACCEPTED {
            call.headers
                .append(ACCEPT, HeaderValue::from_static(accepted));
        }
        let response = self.succeed(&request, &call).await?;
        let said = response.headers().get("docker-content-digest").cloned();
        let bytes = self.http.body(response, MAX_MANIFEST).await;
        let bytes = bytes.map_err(|error| request.unanswered(error))?;
        let found = ImageDigest::of(&bytes);
        if bytes.len() > MAX_MANIFEST {
            return Ok((bytes, found));
        }
        let said = match said {
            None => None,
            Some(said) => Some(said_digest(&request, &said)?),
        };
        match image.digest().or(said) {
            Some(expected) if expected != found => Err(request.damaged(expected, found)),
            _ => Ok((bytes, found)),
        }
    }

    /// Downloads this layer until it is complete, starting after the received part.
    pub(super) async fn layer(
        &self,
        image: &OciReference,
        layer: &Layer,
        received: &mut Received,
        mut seen: impl FnMut(u64),
    ) -> Result<(), RegistryError> {
        let request = Request::new(image, Action::Pull);
        let mut response = self.open(&request, layer, received).await?;
        loop {
            let next = timeout(self.settings.silence, response.chunk()).await;
            match next.map_err(|_| request.silent(self.settings.silence))? {
                Ok(Some(bytes)) => received
                    .take(&bytes, layer)
                    .ok_or_else(|| request.oversized(layer))?,
                // The digest decides whether the bytes are right, however the connection ends.
                Ok(None) | Err(_) if received.is_whole(layer) => return Ok(()),
                Err(error) => {
                    return Err(
                        request.broken(received.size(), io::Error::other(error.without_url()))
                    );
                }
                Ok(None) => {
                    return Err(
                        request.broken(received.size(), io::ErrorKind::UnexpectedEof.into())
                    );
                }
            }
            seen(received.size());
            // A server may keep the connection open after the last byte.
            if received.is_whole(layer) {
                return Ok(());
            }
        }
    }

    /// Requests the rest of a layer, or all of it when the registry doesn't support ranges.
    async fn open(
        &self,
        request: &Request<'_>,
        layer: &Layer,
        received: &mut Received,
    ) -> Result<Response, RegistryError> {
        let url = self.url(request, &format!("blobs/{}", layer.digest))?;
        let whole = Call::new(Method::GET, url);
        let offset = received.size();
        if offset > 0 {
            let mut rest = whole.clone();
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            rest.headers.insert(
                RANGE,
                range.map_err(|error| request.protocol(io::Error::other(error)))?,
            );
            let response = self.authority.send(&self.http, request, &rest).await?;
            let status = response.status();
            if status == StatusCode::PARTIAL_CONTENT && starts_at(&response, offset) {
                return Ok(response);
            }
            // A registry that can't continue a download may still start it over.
            if status == StatusCode::OK {
                *received = Received::default();
                return Ok(response);
            }
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                return Err(self.failed(request, response).await);
            }
            *received = Received::default();
        }
        self.succeed(request, &whole).await
    }

    /// Pushes a component and its documents to the registry.
    pub(super) async fn push(
        &self,
        image: &OciReference,
        (digest, bytes): (ImageDigest, &Bytes),
        written: &Written,
    ) -> Result<(), RegistryError> {
        let request = Request::new(image, Action::Push);
        for (digest, bytes) in [
            (digest, bytes.clone()),
            (written.config_digest, written.config.clone().into()),
        ] {
            if !self.has(&request, digest).await? {
                self.upload(&request, digest, bytes).await?;
            }
        }
        let name = format!("manifests/{}", image.tag().unwrap_or("latest"));
        let mut call = Call::new(Method::PUT, self.url(&request, &name)?);
        call.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(MANIFEST));
        call.body = Some(written.manifest.clone().into());
        self.succeed(&request, &call).await?;
        Ok(())
    }

    /// Returns whether the registry has these bytes.
    async fn has(&self, request: &Request<'_>, digest: ImageDigest) -> Result<bool, RegistryError> {
        let url = self.url(request, &format!("blobs/{digest}"))?;
        let call = Call::new(Method::HEAD, url);
        let response = self.authority.send(&self.http, request, &call).await?;
        let status = response.status();
        match status.as_u16() {
            200..300 => Ok(true),
            401 | 403 | 408 | 429 | 500.. => Err(with_pause(
                request.status(status.as_u16(), b""),
                retry_after(response.headers()),
            )),
            _ => Ok(false),
        }
    }

    async fn upload(
        &self,
        request: &Request<'_>,
        digest: ImageDigest,
        bytes: Bytes,
    ) -> Result<(), RegistryError> {
        let start = Call::new(Method::POST, self.url(request, "blobs/uploads/")?);
        let started = self.succeed(request, &start).await?;
        let location = started.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let url = location.and_then(|location| start.url.join(location).ok());
        let mut url = url.ok_or_else(|| {
            let text = "it doesn't say where to upload to";
            request.protocol(io::Error::other(text))
        })?;
        if start.url.scheme() == "https" && url.scheme() != "https" {
            // A registry behind a proxy that ends TLS may not know that it is reached over HTTPS.
            let is_same = url.host_str() == start.url.host_str();
            if !is_same || url.set_scheme("https").is_err() {
                let text = "it wants the upload at a place that is not HTTPS";
                return Err(request.protocol(io::Error::other(text)));
            }
        }
        url.query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let mut call = Call::new(Method::PUT, url);
        call.owner = start.owner;
        let kind = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, kind);
        call.body = Some(bytes);
        self.succeed(request, &call).await?;
        Ok(())
    }

    /// Sends a request, and fails unless its status is a success.
    async fn succeed(&self, request: &Request<'_>, call: &Call) -> Result<Response, RegistryError> {
        let response = self.authority.send(&self.http, request, call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.failed(request, response).await)
    }

    /// Returns the error of a response that isn't a success.
    async fn failed(&self, request: &Request<'_>, response: Response) -> RegistryError {
        let (status, pause) = (response.status().as_u16(), retry_after(response.headers()));
        let error = match self.http.body(response, MAX_ERROR).await {
            Ok(body) => request.status(status, body.get(..MAX_ERROR).unwrap_or(&body)),
            // The status is known, and is more useful than the error of reading its explanation.
            Err(_) => request.status(status, b""),
        };
        with_pause(error, pause)
    }

    /// Returns the URL of something in the repository of an image.
    fn url(&self, request: &Request<'_>, what: &str) -> Result<Url, RegistryError> {
        let (registry, repository) = (request.image.registry(), request.image.repository());
        let scheme = if self.settings.plain_http.contains(registry) {
            "http"
        } else {
            "https"
        };
        // The host of Docker Hub's registry isn't the one in the names of its images.
        let host = match registry {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        Url::parse(&format!("{scheme}://{host}/v2/{repository}/{what}"))
            .map_err(|error| request.protocol(io::Error::other(error)))
    }
}

/// Returns the digest in a header of the registry.
fn said_digest(request: &Request<'_>, header: &HeaderValue) -> Result<ImageDigest, RegistryError> {
    let digest = header.to_str().ok().and_then(|text| text.parse().ok());
    digest.ok_or_else(|| {
        request.protocol(io::Error::other("its digest header isn't a sha256 digest"))
    })
}

/// Returns whether a part of a body starts at this byte, according to the registry.
fn starts_at(response: &Response, offset: u64) -> bool {
    let Some(range) = response.headers().get(CONTENT_RANGE) else {
        return true;
    };
    let range = range.to_str().unwrap_or_default();
    range.starts_with(&format!("bytes {offset}-"))
}

impl Received {
    /// Adds bytes to the layer. Returns `None` when they are more than the layer has.
    fn take(&mut self, bytes: &[u8], layer: &Layer) -> Option<()> {
        let total = self.size() + bytes.len() as u64;
        if total > layer.size.as_u64() {
            return None;
        }
        self.bytes.extend_from_slice(bytes);
        self.hasher.update(bytes);
        Some(())
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn is_whole(&self, layer: &Layer) -> bool {
        self.size() == layer.size.as_u64()
    }

    pub(super) fn finish(
        self,
        image: &OciReference,
        layer: &Layer,
    ) -> Result<Bytes, RegistryError> {
        let found = self.hasher.digest();
        if found == layer.digest {
            return Ok(self.bytes.into());
        }
        Err(RegistryError::Damaged {
            registry: image.registry().into(),
            image: image.to_string(),
            expected: layer.digest,
            found,
        })
    }
}
