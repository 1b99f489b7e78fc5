//! Errors of fetching and pushing.

use super::ImageDigest;
use crate::limits::ByteSize;
use std::{error::Error, io, path::PathBuf, sync::Arc, time::Duration};

/// A cause, shared by all callers that wait for the same download.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// Why an image can't be fetched. Cloned for all callers that wait for the same download.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file isn't there, or can't be read.
    #[error("can't read `{}`: check that the file is on this host and may be read", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// The image has no place to fetch it from but a cache or another host, and it isn't in the
    /// cache.
    #[error("{image} is not in the cache of this host: name a file or a registry to get it from")]
    NotHere {
        /// The image that was requested.
        image: String,
    },
    /// Larger than an image may be.
    #[error("{image} has {} bytes and the limit is {limit}: make it smaller, or raise the limit with `max_size`", size.as_u64())]
    TooLarge {
        /// The image that was requested.
        image: String,
        /// Its size, or the part of it that was read.
        size: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// The image isn't a single WebAssembly binary.
    #[error(
        "{image} is not a WebAssembly component but {found}: build one for `wasm32-wasip2`, and name that, or push it there"
    )]
    NotWasm {
        /// The image that was requested.
        image: String,
        /// The content that it has instead.
        found: String,
    },
    /// The content doesn't match its digest.
    #[error(
        "{image} should be {expected} but is {found}: it was changed or damaged; apply again to use its current content"
    )]
    Mismatch {
        /// The image that was requested.
        image: String,
        /// Digest that it should have.
        expected: ImageDigest,
        /// Digest that it has.
        found: ImageDigest,
    },
    /// Its manifest can't be used.
    #[error("the manifest of {image} can't be used, {reason}: push the image again")]
    Manifest {
        /// The image that was requested.
        image: String,
        /// The problem.
        reason: String,
    },
    /// It is an index of several images, and no entry is clearly the right one.
    #[error(
        "{image} is an index, and it isn't clear which of its images is the component: {found}; name one of them by its digest"
    )]
    Platforms {
        /// The image that was requested.
        image: String,
        /// Its images, each with its platform.
        found: String,
    },
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// All attempts together took too long.
    #[error(
        "{image} was not fetched within {after:?}: check the network, or raise the deadline with `within`"
    )]
    Deadline {
        /// The image that was requested.
        image: String,
        /// How long the host waited.
        after: Duration,
    },
    /// A part of the work ended without a result.
    #[error("fetching {image} ended unexpectedly: see the log, and report it")]
    Ended {
        /// The image that was requested.
        image: String,
    },
}

/// Why a request to a registry failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry can't be reached.
    #[error(
        "registry {registry} can't be reached: check its name and the network, and name it with `plain_http` if it speaks plain HTTP"
    )]
    Unreachable {
        /// Host of the registry.
        registry: String,
        /// What failed.
        source: Cause,
    },
    /// Its certificate isn't trusted.
    #[error(
        "the certificate of registry {registry} is not trusted: give its authority with `root_certificate`, or correct the name"
    )]
    Untrusted {
        /// Host of the registry.
        registry: String,
        /// What is wrong with the certificate.
        source: Cause,
    },
    /// It accepted the connection, and then sent nothing.
    #[error("registry {registry} sent nothing for {after:?}: check its log")]
    Silent {
        /// Host of the registry.
        registry: String,
        /// How long the host waited.
        after: Duration,
    },
    /// It requires credentials.
    #[error(
        "registry {registry} requires credentials for {repository}: give them with `credentials(\"{registry}\", …)`, or log in with docker and use `docker_config`"
    )]
    CredentialsNeeded {
        /// Host of the registry.
        registry: String,
        /// The image that was requested.
        repository: String,
    },
    /// It rejected the credentials.
    #[error(
        "registry {registry} rejects the credentials of {user} for {repository}: check them, and that they permit this"
    )]
    CredentialsRefused {
        /// Host of the registry.
        registry: String,
        /// The image that was requested.
        repository: String,
        /// The user of the credentials, or the fact that they are a token.
        user: String,
    },
    /// It requires credentials at a URL to which they would be sent unencrypted.
    #[error(
        "registry {registry} wants credentials at `{realm}`, which isn't HTTPS: correct the realm in its configuration"
    )]
    InsecureRealm {
        /// Host of the registry.
        registry: String,
        /// The URL of its token service.
        realm: String,
    },
    /// Docker's configuration could not provide credentials.
    #[error(
        "docker's configuration can't provide credentials for {registry}: repair it, or give them with `credentials(\"{registry}\", …)`"
    )]
    DockerConfig {
        /// Host of the registry.
        registry: String,
        /// What failed.
        source: Cause,
    },
    /// The image doesn't exist.
    #[error("there is no {image} in its registry: check repository and tag, or push it")]
    NotFound {
        /// The image that was requested.
        image: String,
    },
    /// The registry failed in all attempts.
    #[error("registry {registry} failed with status {status}: {message}; check its log")]
    Failing {
        /// Host of the registry.
        registry: String,
        /// HTTP status.
        status: u16,
        /// The message of the registry.
        message: String,
        /// The time after which it may be asked again, if it said one.
        after: Option<Duration>,
    },
    /// The registry refused the request.
    #[error("registry {registry} refused: {message}")]
    Refused {
        /// Host of the registry.
        registry: String,
        /// The message of the registry.
        message: String,
    },
    /// The connection broke in all attempts.
    #[error(
        "the connection to registry {registry} broke after {received} bytes of {image}: try again"
    )]
    Broken {
        /// Host of the registry.
        registry: String,
        /// The image that was requested.
        image: String,
        /// Bytes received until then.
        received: u64,
        /// What failed.
        source: Cause,
    },
    /// It sent more bytes than the manifest declares.
    #[error(
        "registry {registry} sends more than the {declared} bytes that the manifest of {image} declares: push the image again"
    )]
    Oversized {
        /// Host of the registry.
        registry: String,
        /// The image that was requested.
        image: String,
        /// The size in the manifest.
        declared: u64,
    },
    /// The bytes that it sent don't match their digest.
    #[error(
        "registry {registry} sends {found} instead of {expected} for {image}: its copy is damaged; push the image again"
    )]
    Damaged {
        /// Host of the registry.
        registry: String,
        /// The image that was requested.
        image: String,
        /// Digest that it should have.
        expected: ImageDigest,
        /// Digest that it has.
        found: ImageDigest,
    },
    /// Its response can't be understood.
    #[error(
        "registry {registry} doesn't speak the OCI protocol as expected: check that it is a registry"
    )]
    Protocol {
        /// Host of the registry.
        registry: String,
        /// What failed.
        source: Cause,
    },
    /// This program was built without the feature `oci`.
    #[error(
        "{image} is in a registry, and this program was built without the feature `oci`: use `file:`, or enable the feature"
    )]
    Off {
        /// The image that was requested.
        image: String,
    },
    /// This host has no certificate authorities, so HTTPS isn't possible.
    #[error(
        "no certificate authorities on this host, which HTTPS needs: install `ca-certificates`, name a bundle in the variable SSL_CERT_FILE, or give the authority of the registry with `root_certificate`"
    )]
    NoRoots,
    /// A given certificate can't be read.
    #[error(
        "the HTTP client can't be created: check the certificates given with `root_certificate`"
    )]
    Client {
        /// What failed.
        source: Cause,
    },
}

impl RegistryError {
    /// Returns whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Failing { .. }
                | Self::Broken { .. }
        )
    }
}

/// Why an image can't be pushed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The image isn't the name of a place in a registry.
    #[error("`{image}` is not in a registry: write `oci:registry/repository:tag`")]
    NotARegistry {
        /// Where it should have gone.
        image: String,
    },
    /// The image has no tag, or has a digest, which only the push determines.
    #[error("{image} has no tag to push to, or names a digest: write `:tag` and no digest")]
    NoTag {
        /// Where it should have gone.
        image: String,
    },
    /// The bytes aren't WebAssembly.
    #[error(
        "these are not the bytes of a WebAssembly component but {found}: build one, for example with the target wasm32-wasip2"
    )]
    NotWasm {
        /// What they are instead.
        found: String,
    },
    /// Larger than an image may be.
    #[error("the component has {} bytes and the limit is {limit}: make it smaller, or raise the limit with `max_size`", size.as_u64())]
    TooLarge {
        /// Its size.
        size: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// All attempts together took too long.
    #[error(
        "{image} was not pushed within {after:?}: check the network, or raise the deadline with `within`"
    )]
    Deadline {
        /// Where it should have gone.
        image: String,
        /// How long the host tried.
        after: Duration,
    },
    /// A part of the work ended without a result.
    #[error("pushing {image} ended unexpectedly: see the log, and report it")]
    Ended {
        /// Where it should have gone.
        image: String,
    },
    /// After the push, the registry has another manifest.
    #[error(
        "the registry reports {found} for {image} after {expected} was pushed: another push happened at the same time, or the registry is faulty; push again"
    )]
    Changed {
        /// Where it went.
        image: String,
        /// Digest of the manifest that was pushed.
        expected: ImageDigest,
        /// Digest of the manifest in the registry.
        found: ImageDigest,
    },
}
