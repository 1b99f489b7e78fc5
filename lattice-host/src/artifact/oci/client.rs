//! One request to one registry.

use super::{
    docker,
    manifest::{ACCEPTED, Layer, MANIFEST, Written},
    request::Request,
};
use crate::artifact::{
    Credentials, ImageDigest, OciReference, RegistryError,
    digest::Hasher,
    settings::{DockerConfig, Settings},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use oci_client::{
    Client as Protocol, Reference, RegistryOperation,
    client::{BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::OciDistributionError as Failure,
};
use rustls::pki_types::{CertificateDer, pem, pem::PemObject as _};
use std::{io, sync::Arc};
use tokio::time::timeout;

/// An HTTP client for registries.
pub(super) struct Client {
    protocol: Protocol,
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
        // This fails when the program has chosen another provider, which is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The HTTP client would panic without certificates.
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            return Err(RegistryError::NoRoots);
        }
        let mut roots = Vec::new();
        for pem in &settings.roots {
            roots.extend(certificates(pem)?);
        }
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(settings.plain_http.iter().cloned().collect()),
            extra_root_certificates: roots,
            connect_timeout: Some(settings.connect),
            user_agent: concat!("lattice/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let protocol = Protocol::try_from(config).map_err(|error| RegistryError::Client {
            source: Arc::new(error),
        })?;
        Ok(Self { protocol, settings })
    }

    /// Fetches the document that this image names, and its digest, which is the image's if it has
    /// one.
    pub(super) async fn manifest(
        &self,
        image: &OciReference,
    ) -> Result<(Bytes, ImageDigest), RegistryError> {
        let request = self.request(image).await?;
        let auth = request.auth();
        let pulled = self
            .protocol
            .pull_manifest_raw(&request.reference, &auth, ACCEPTED);
        let (bytes, _) = self.answer(&request, pulled).await?;
        let found = ImageDigest::of(&bytes);
        match image.digest() {
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
        let request = self.request(image).await?;
        self.protocol
            .store_auth_if_needed(request.reference.resolve_registry(), &request.auth())
            .await;
        let mut stream = self
            .answer(&request, self.open(&request, layer, received))
            .await?;
        loop {
            let next = timeout(self.settings.silence, stream.next()).await;
            match next.map_err(|_| request.silent(self.settings.silence))? {
                Some(Ok(bytes)) => received
                    .take(&bytes, layer)
                    .ok_or_else(|| request.oversized(layer))?,
                // The digest decides whether the bytes are right, however the connection ends.
                None | Some(Err(_)) if received.is_whole(layer) => return Ok(()),
                Some(Err(error)) => return Err(request.broken(received.size(), error)),
                None => {
                    return Err(
                        request.broken(received.size(), io::ErrorKind::UnexpectedEof.into())
                    );
                }
            }
            seen(received.size());
        }
    }

    /// Requests the rest of a layer, or all of it when the registry doesn't support ranges.
    async fn open(
        &self,
        request: &Request<'_>,
        layer: &Layer,
        received: &mut Received,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Failure> {
        let digest = layer.digest.to_string();
        let (image, offset) = (&request.reference, received.size());
        if offset > 0 {
            match self
                .protocol
                .pull_blob_stream_partial(image, &*digest, offset, None)
                .await
            {
                Ok(BlobResponse::Partial(rest)) => return Ok(rest.into_stream().boxed()),
                Ok(BlobResponse::Full(all)) => {
                    *received = Received::default();
                    return Ok(all.boxed());
                }
                // A registry that can't continue a download may still start it over.
                Err(
                    Failure::ServerError { code: 400..500, .. } | Failure::RegistryError { .. },
                ) => {
                    *received = Received::default();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self
            .protocol
            .pull_blob_stream(image, &*digest)
            .await?
            .boxed())
    }

    /// Pushes a component and its documents to the registry.
    pub(super) async fn push(
        &self,
        image: &OciReference,
        (digest, bytes): (ImageDigest, &Bytes),
        written: &Written,
    ) -> Result<(), RegistryError> {
        let request = self.request(image).await?;
        let auth = request.auth();
        // Requests the right to push before anything large is sent. This also detects a registry
        // that doesn't respond.
        let allowed = self
            .protocol
            .auth(&request.reference, &auth, RegistryOperation::Push);
        self.answer(&request, allowed).await?;
        for (digest, bytes) in [
            (digest, bytes.clone()),
            (written.config_digest, written.config.clone().into()),
        ] {
            let digest = digest.to_string();
            let there = self
                .answer(
                    &request,
                    self.protocol.blob_exists(&request.reference, &digest),
                )
                .await?;
            if !there {
                let pushed = self
                    .protocol
                    .push_blob(&request.reference, bytes, &digest)
                    .await;
                pushed.map_err(|failure| request.failed(failure))?;
            }
        }
        let media_type = MANIFEST
            .parse()
            .map_err(|_| request.protocol(io::ErrorKind::InvalidInput.into()))?;
        let pushed = self.protocol.push_manifest_raw(
            &request.reference,
            written.manifest.clone(),
            media_type,
        );
        self.answer(&request, pushed).await?;
        Ok(())
    }

    async fn request<'a>(&self, image: &'a OciReference) -> Result<Request<'a>, RegistryError> {
        let (registry, repository) = (image.registry().to_owned(), image.repository().to_owned());
        let reference = match (image.digest(), image.tag()) {
            (Some(digest), _) => Reference::with_digest(registry, repository, digest.to_string()),
            (None, tag) => {
                Reference::with_tag(registry, repository, tag.unwrap_or("latest").to_owned())
            }
        };
        let credentials = self.credentials(image.registry()).await?;
        Ok(Request {
            image,
            reference,
            credentials,
        })
    }

    async fn credentials(&self, registry: &str) -> Result<Credentials, RegistryError> {
        if let Some(given) = self.settings.credentials.get(registry) {
            return Ok(given.clone());
        }
        match self.settings.docker_config {
            DockerConfig::Ignored => Ok(Credentials::Anonymous),
            DockerConfig::Used => docker::credentials(registry, self.settings.silence).await,
        }
    }

    async fn answer<T>(
        &self,
        request: &Request<'_>,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, RegistryError> {
        let silence = self.settings.silence;
        let answered = timeout(silence, answer)
            .await
            .map_err(|_| request.silent(silence))?;
        answered.map_err(|failure| request.failed(failure))
    }
}

/// Parses the certificates in a PEM file. Fails when there are none.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, RegistryError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = match read {
        Ok(read) if read.is_empty() => Err(pem::Error::NoItemsFound),
        read => read,
    };
    let read = read.map_err(|error| RegistryError::Client {
        source: Arc::new(error),
    })?;
    let certificate = |der: CertificateDer<'_>| Certificate {
        encoding: CertificateEncoding::Der,
        data: der.to_vec(),
    };
    Ok(read.into_iter().map(certificate).collect())
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
