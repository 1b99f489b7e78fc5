//! One request to one registry, and what its failure means.

use super::manifest::{ACCEPTED, Layer, MANIFEST, Written, brief};
use crate::artifact::{
    Credentials, Digest, OciRef, RegistryError,
    digest::Hasher,
    error::Cause,
    settings::{DockerConfig, Settings},
};
use bytes::Bytes;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use oci_client::{
    Client as Protocol, Reference, RegistryOperation,
    client::{BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::{DigestError, OciDistributionError as Failure, OciErrorCode},
    secrets::RegistryAuth,
};
use rustls::pki_types::{CertificateDer, pem, pem::PemObject as _};
use std::{error::Error, io, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::timeout};

/// Speaks with registries.
pub(super) struct Client {
    protocol: Protocol,
    settings: Arc<Settings>,
}

/// What of a layer is here.
#[derive(Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    hasher: Hasher,
}

/// Who asks whom for what; by which failures are told.
struct Request<'a> {
    image: &'a OciRef,
    reference: Reference,
    credentials: Credentials,
}

impl Client {
    /// Reads this host's certificates, for a few milliseconds.
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, RegistryError> {
        // Whoever chose another one for this process keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Without any the HTTP client would panic.
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

    /// The document that this image leads to, and its digest, which is the image's if that names one.
    pub(super) async fn manifest(&self, image: &OciRef) -> Result<(Bytes, Digest), RegistryError> {
        let request = self.request(image).await?;
        let auth = request.auth();
        let pulled = self
            .protocol
            .pull_manifest_raw(&request.reference, &auth, ACCEPTED);
        let (bytes, _) = self.answer(&request, pulled).await?;
        let found = Digest::of(&bytes);
        match image.digest() {
            Some(expected) if expected != found => Err(request.damaged(expected, found)),
            _ => Ok((bytes, found)),
        }
    }

    /// Adds to what is received of this layer until it is whole.
    pub(super) async fn layer(
        &self,
        image: &OciRef,
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
                None if received.is_whole(layer) => return Ok(()),
                // All of it is here; whether it is right is for its digest to say.
                Some(Err(_)) if received.is_whole(layer) => return Ok(()),
                Some(Err(error)) => return Err(request.broken(received, error)),
                None => return Err(request.broken(received, io::ErrorKind::UnexpectedEof.into())),
            }
            seen(received.bytes.len() as u64);
        }
    }

    /// The rest of a layer; or all of it, when the registry gives nothing less.
    async fn open(
        &self,
        request: &Request<'_>,
        layer: &Layer,
        received: &mut Received,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Failure> {
        let digest = layer.digest.to_string();
        let (image, offset) = (&request.reference, received.bytes.len() as u64);
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
                // A registry that can't continue may still begin.
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

    /// Puts a component and what describes it into the registry.
    pub(super) async fn push(
        &self,
        image: &OciRef,
        (digest, bytes): (Digest, &Bytes),
        written: &Written,
    ) -> Result<(), RegistryError> {
        let request = self.request(image).await?;
        let auth = request.auth();
        // Asks for the right to push before anything large is sent, and finds out a registry that says nothing.
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

    async fn request<'a>(&self, image: &'a OciRef) -> Result<Request<'a>, RegistryError> {
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
            DockerConfig::Used => from_docker(registry, self.settings.silence).await,
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

/// Those in a PEM file, of which there has to be one at least.
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

/// Whether it all came from a certificate that isn't believed.
fn is_of_certificate(error: &(dyn Error + 'static)) -> bool {
    // What an I/O error holds is not among its sources, only the sources of that are.
    if let Some(held) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return is_of_certificate(held);
    }
    match error.downcast_ref::<rustls::Error>() {
        Some(error) => matches!(error, rustls::Error::InvalidCertificate(_)),
        None => error.source().is_some_and(is_of_certificate),
    }
}

/// Docker's helpers are programs: they are given the time that a registry has.
async fn from_docker(registry: &str, silence: Duration) -> Result<Credentials, RegistryError> {
    let failed = |source: Cause| RegistryError::DockerConfig {
        registry: registry.into(),
        source,
    };
    let asked = registry.to_owned();
    let answer = spawn_blocking(move || docker_credential::get_credential(&asked));
    let answer = timeout(silence, answer)
        .await
        .map_err(|elapsed| failed(Arc::new(elapsed)))?
        .map_err(|ended| failed(Arc::new(ended)))?;
    match answer {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Credentials::Basic { user, password })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Credentials::Bearer { token }),
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(Credentials::Anonymous),
        Err(error) => Err(failed(Arc::new(error))),
    }
}

impl Received {
    /// `None` when it is more than the layer has.
    fn take(&mut self, bytes: &[u8], layer: &Layer) -> Option<()> {
        let total = self.bytes.len() as u64 + bytes.len() as u64;
        if total > layer.size.as_u64() {
            return None;
        }
        self.bytes.extend_from_slice(bytes);
        self.hasher.update(bytes);
        Some(())
    }

    fn is_whole(&self, layer: &Layer) -> bool {
        self.bytes.len() as u64 == layer.size.as_u64()
    }

    pub(super) fn finish(self, image: &OciRef, layer: &Layer) -> Result<Bytes, RegistryError> {
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

impl Request<'_> {
    fn registry(&self) -> String {
        self.image.registry().into()
    }

    fn auth(&self) -> RegistryAuth {
        match &self.credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Basic { user, password } => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
            Credentials::Bearer { token } => RegistryAuth::Bearer(token.clone()),
        }
    }

    fn silent(&self, after: Duration) -> RegistryError {
        RegistryError::Silent {
            registry: self.registry(),
            after,
        }
    }

    fn broken(&self, received: &Received, error: io::Error) -> RegistryError {
        RegistryError::Broken {
            registry: self.registry(),
            image: self.image.to_string(),
            received: received.bytes.len() as u64,
            source: Arc::new(error),
        }
    }

    fn oversized(&self, layer: &Layer) -> RegistryError {
        RegistryError::Oversized {
            registry: self.registry(),
            image: self.image.to_string(),
            declared: layer.size.as_u64(),
        }
    }

    fn damaged(&self, expected: Digest, found: Digest) -> RegistryError {
        RegistryError::Damaged {
            registry: self.registry(),
            image: self.image.to_string(),
            expected,
            found,
        }
    }

    fn not_found(&self) -> RegistryError {
        RegistryError::NotFound {
            image: self.image.to_string(),
        }
    }

    fn unauthorized(&self) -> RegistryError {
        let (registry, repository) = (self.registry(), self.image.repository().into());
        let user = match &self.credentials {
            Credentials::Anonymous => {
                return RegistryError::CredentialsNeeded {
                    registry,
                    repository,
                };
            }
            Credentials::Basic { user, .. } => format!("`{user}`"),
            Credentials::Bearer { .. } => "the token".into(),
        };
        RegistryError::CredentialsRefused {
            registry,
            repository,
            user,
        }
    }

    fn protocol(&self, error: io::Error) -> RegistryError {
        RegistryError::Protocol {
            registry: self.registry(),
            source: Arc::new(error),
        }
    }

    fn failed(&self, failure: Failure) -> RegistryError {
        let registry = self.registry();
        match failure {
            Failure::UnauthorizedError { .. } | Failure::AuthenticationFailure(_) => {
                self.unauthorized()
            }
            Failure::ServerError { code, message, .. } => self.status(code, &message),
            Failure::RegistryError { envelope, .. } => {
                let first = envelope.errors.into_iter().next();
                match first.map(|error| (error.code, error.message)) {
                    Some((code, message)) => self.refused(&code, &message),
                    None => RegistryError::Refused {
                        registry,
                        message: "without a reason".into(),
                    },
                }
            }
            Failure::ImageManifestNotFoundError(_) => self.not_found(),
            Failure::RequestError(error) => match error.status() {
                Some(status) => self.status(status.as_u16(), ""),
                None if is_of_certificate(&error) => RegistryError::Untrusted {
                    registry,
                    source: Arc::new(error),
                },
                None if error.is_connect() => RegistryError::Unreachable {
                    registry,
                    source: Arc::new(error),
                },
                None if error.is_decode() || error.is_builder() || error.is_redirect() => {
                    RegistryError::Protocol {
                        registry,
                        source: Arc::new(error),
                    }
                }
                None => self.broken(&Received::default(), io::Error::other(error)),
            },
            Failure::DigestError(DigestError::VerificationError { expected, actual }) => {
                match (expected.parse(), actual.parse()) {
                    (Ok(expected), Ok(found)) => self.damaged(expected, found),
                    _ => self.protocol(io::Error::other(format!(
                        "{} is not {}",
                        brief(&actual),
                        brief(&expected)
                    ))),
                }
            }
            other => RegistryError::Protocol {
                registry,
                source: Arc::new(other),
            },
        }
    }

    fn status(&self, status: u16, message: &str) -> RegistryError {
        let (registry, message) = (self.registry(), brief(message));
        match status {
            401 | 403 => self.unauthorized(),
            404 => self.not_found(),
            408 | 429 | 500.. => RegistryError::Failing {
                registry,
                status,
                message,
            },
            _ => RegistryError::Refused {
                registry,
                message: format!("status {status} {message}"),
            },
        }
    }

    /// By the code in the body: the library doesn't tell the status of such an answer.
    fn refused(&self, code: &OciErrorCode, message: &str) -> RegistryError {
        match code {
            OciErrorCode::Unauthorized | OciErrorCode::Denied => self.unauthorized(),
            OciErrorCode::ManifestUnknown
            | OciErrorCode::ManifestBlobUnknown
            | OciErrorCode::BlobUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound => self.not_found(),
            OciErrorCode::Toomanyrequests => self.status(429, message),
            _ => RegistryError::Refused {
                registry: self.registry(),
                message: brief(message),
            },
        }
    }
}
