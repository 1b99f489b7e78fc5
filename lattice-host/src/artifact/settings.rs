//! Settings for registries and the cache.

use super::{Artifacts, cache::Cache};
use crate::limits::ByteSize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

/// Builds [`Artifacts`].
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched before `build`"]
pub struct ArtifactsBuilder {
    cache: Option<PathBuf>,
    cache_size: ByteSize,
    pub(super) settings: Settings,
}

/// Settings that all parts use.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "oci"),
    expect(dead_code, reason = "most of it is about registries")
)]
pub(super) struct Settings {
    pub(super) max_size: ByteSize,
    pub(super) credentials: BTreeMap<String, Credentials>,
    pub(super) docker_config: DockerConfig,
    pub(super) plain_http: BTreeSet<String>,
    /// PEM.
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) tags: Tags,
    pub(super) connect: Duration,
    pub(super) silence: Duration,
    pub(super) whole: Duration,
    pub(super) attempts: NonZeroU32,
    pub(super) transfers: NonZeroUsize,
}

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// No credentials.
    Anonymous,
    /// User and password. They also work for a registry that requires a token, which is requested
    /// with them.
    Basic {
        /// Name of the user.
        user: String,
        /// Password of the user, or a token in place of it.
        password: String,
    },
    /// A token that the registry itself accepts.
    Bearer {
        /// The token.
        token: String,
    },
    /// A token for which the registry's token service gives one that the registry accepts. Docker
    /// stores it as `identitytoken`.
    Identity {
        /// The token.
        token: String,
    },
}

/// What to do when a tag can't be resolved because its registry can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tags {
    /// Fail, because the tag may have moved.
    #[default]
    AskRegistry,
    /// Use the image that the tag had when it was last resolved, if that is in the cache.
    LastKnownWhenDown,
}

/// Whether docker's logins are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DockerConfig {
    Ignored,
    #[cfg(feature = "oci")]
    Used,
}

impl Default for ArtifactsBuilder {
    fn default() -> Self {
        let at_least_one = |more| NonZeroUsize::MIN.saturating_add(more);
        Self {
            cache: None,
            cache_size: ByteSize::gib(2),
            settings: Settings {
                max_size: ByteSize::mib(256),
                credentials: BTreeMap::new(),
                docker_config: DockerConfig::Ignored,
                plain_http: BTreeSet::new(),
                roots: Vec::new(),
                tags: Tags::default(),
                connect: Duration::from_secs(10),
                silence: Duration::from_secs(15),
                whole: Duration::from_secs(300),
                attempts: NonZeroU32::MIN.saturating_add(4),
                transfers: at_least_one(3),
            },
        }
    }
}

impl ArtifactsBuilder {
    /// Caches images in this folder, which is created when needed. Several processes may share it.
    /// Without a cache, images are fetched whenever they are requested.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Sets the most space that the cache uses on disk, 2 GiB by default. The least recently used
    /// images are deleted first.
    pub fn cache_size(mut self, size: ByteSize) -> Self {
        self.cache_size = size;
        self
    }

    /// Sets the size of the largest image that is accepted, 256 MiB by default.
    pub fn max_size(mut self, size: ByteSize) -> Self {
        self.settings.max_size = size;
        self
    }

    /// Sets the longest time for one fetch or push, including all attempts and waiting, 5 minutes
    /// by default.
    pub fn within(mut self, time: Duration) -> Self {
        self.settings.whole = time;
        self
    }

    pub(super) fn cache_of(&self) -> Option<Cache> {
        let folder = self.cache.clone()?;
        Some(Cache::new(folder, self.cache_size))
    }

    /// Builds the [`Artifacts`]. This contacts no registry yet.
    pub fn build(self) -> Artifacts {
        Artifacts::new(self)
    }
}

#[cfg(feature = "oci")]
impl ArtifactsBuilder {
    /// Sets the credentials for one registry, named as in the images (`registry.example.com`,
    /// `localhost:5000`).
    pub fn credentials(mut self, registry: impl Into<String>, credentials: Credentials) -> Self {
        self.settings
            .credentials
            .insert(registry.into(), credentials);
        self
    }

    /// Uses docker's logins (`~/.docker/config.json`, and the helpers it names) for registries
    /// without [credentials](Self::credentials) of their own.
    pub fn docker_config(mut self) -> Self {
        self.settings.docker_config = DockerConfig::Used;
        self
    }

    /// Uses plain HTTP for this registry, named as in the images. Digests are still checked, but
    /// credentials and contents can be read on the way.
    pub fn plain_http(mut self, registry: impl Into<String>) -> Self {
        self.settings.plain_http.insert(registry.into());
        self
    }

    /// Trusts certificates of registries that this authority (PEM) has issued, in addition to those
    /// that this host trusts.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.settings.roots.push(pem.into());
        self
    }

    /// Sets what to do with a tag while its registry is down. By default, resolving it fails.
    pub fn tags(mut self, tags: Tags) -> Self {
        self.settings.tags = tags;
        self
    }

    /// Sets the longest time to open a connection, 10 seconds by default.
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.settings.connect = time;
        self
    }

    /// Sets the longest silence of a registry before an attempt is given up, 15 seconds by default.
    pub fn silent_for(mut self, time: Duration) -> Self {
        self.settings.silence = time;
        self
    }

    /// Sets the number of attempts for a request that fails transiently, 5 by default, which takes
    /// about 5 seconds.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// Sets the number of concurrent transfers, 4 by default. Each may hold an image of the
    /// [largest size](Self::max_size) in memory.
    pub fn transfers(mut self, transfers: NonZeroUsize) -> Self {
        self.settings.transfers = transfers;
        self
    }
}

impl Credentials {
    /// Creates credentials from a user and a password.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    /// Creates credentials from a token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer {
            token: token.into(),
        }
    }
}

/// Omits the secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { user, .. } => f
                .debug_struct("Basic")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::Bearer { .. } => f.debug_struct("Bearer").finish_non_exhaustive(),
            Self::Identity { .. } => f.debug_struct("Identity").finish_non_exhaustive(),
        }
    }
}

#[cfg(all(test, feature = "oci"))]
mod tests {
    use super::*;

    #[test]
    fn the_largest_settings_are_possible() {
        let largest = Artifacts::builder()
            .cache_size(ByteSize::bytes(u64::MAX))
            .max_size(ByteSize::bytes(u64::MAX))
            .within(Duration::MAX)
            .connect_within(Duration::MAX)
            .silent_for(Duration::MAX)
            .attempts(NonZeroU32::MAX)
            .transfers(NonZeroUsize::MAX);
        // More would panic here.
        let _ = largest.build();
    }
}
