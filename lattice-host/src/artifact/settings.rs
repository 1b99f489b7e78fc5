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

/// What all parts look up.
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
    /// Not at all.
    Anonymous,
    /// By name and password. Also for a registry that wants to see a token: these get it one.
    Basic {
        /// Name of the user.
        user: String,
        /// Password of the user, or a token that stands for it.
        password: String,
    },
    /// By a token that the registry itself understands.
    Bearer {
        /// The token.
        token: String,
    },
}

/// What to do about a tag when its registry can't be reached to resolve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tags {
    /// Fail: it might have moved.
    #[default]
    AskRegistry,
    /// Take what it meant when it was last seen, if that is in the cache.
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
    /// Keeps what is fetched in this folder, which is created when needed. Several processes may
    /// share it. Without one, everything is fetched whenever it is requested.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Most that the cache takes on disk; 2 GiB by default. What was used longest ago goes first.
    pub fn cache_size(mut self, size: ByteSize) -> Self {
        self.cache_size = size;
        self
    }

    /// Largest image that is taken; 256 MiB by default.
    pub fn max_size(mut self, size: ByteSize) -> Self {
        self.settings.max_size = size;
        self
    }

    /// Longest time for one fetch or push, all attempts and waiting included; 5 minutes by default.
    pub fn within(mut self, time: Duration) -> Self {
        self.settings.whole = time;
        self
    }

    pub(super) fn cache_of(&self) -> Option<Cache> {
        let folder = self.cache.clone()?;
        Some(Cache::new(folder, self.cache_size))
    }

    /// Builds it. This contacts no registry yet.
    pub fn build(self) -> Artifacts {
        Artifacts::new(self)
    }
}

#[cfg(feature = "oci")]
impl ArtifactsBuilder {
    /// Credentials for one registry, named as in the images (`registry.example.com`,
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

    /// Speaks plain HTTP with this registry, named as in the images. Digests are still checked, but
    /// credentials and contents can be read on the way.
    pub fn plain_http(mut self, registry: impl Into<String>) -> Self {
        self.settings.plain_http.insert(registry.into());
        self
    }

    /// Trusts registries whose certificates were issued by this authority (PEM), in addition to
    /// those that this host trusts.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.settings.roots.push(pem.into());
        self
    }

    /// What to do about a tag while its registry is down; by default, to fail.
    pub fn tags(mut self, tags: Tags) -> Self {
        self.settings.tags = tags;
        self
    }

    /// Longest time until a connection stands; 10 seconds by default.
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.settings.connect = time;
        self
    }

    /// Longest silence of a registry before it is given up, for each attempt; 15 seconds by
    /// default.
    pub fn silent_for(mut self, time: Duration) -> Self {
        self.settings.silence = time;
        self
    }

    /// How often a request is tried in all, when what fails may pass; 5 by default, which takes
    /// about 5 seconds.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// Transfers at once; 4 by default. Each may hold an image of the [largest
    /// size](Self::max_size) in memory.
    pub fn transfers(mut self, transfers: NonZeroUsize) -> Self {
        self.settings.transfers = transfers;
        self
    }
}

impl Credentials {
    /// A user and a password.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    /// A token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer {
            token: token.into(),
        }
    }
}

/// Without the secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { user, .. } => f
                .debug_struct("Basic")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::Bearer { .. } => f.debug_struct("Bearer").finish_non_exhaustive(),
        }
    }
}
