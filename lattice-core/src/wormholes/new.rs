//! A wormhole that is about to be created.

use super::WormholeError;
use crate::{
    desired::{WormholeSpec, WormholeState},
    name::{ComponentId, IntoName, LinkName, NameError, WormholeId},
    wormhole::{WormholeAuth, WormholeLimits},
};

/// A wormhole to [`create`](super::Wormholes::create): open, for every path, without limits of its
/// own, with a generated id and host name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is created until it is passed to `Wormholes::create`"]
pub struct NewWormhole {
    pub(super) id: Option<WormholeId>,
    pub(super) any_host: bool,
    pub(super) spec: WormholeSpec,
}

impl NewWormhole {
    /// Makes a wormhole that leads to this actor.
    ///
    /// # Errors
    /// Fails with a [`NameError`] if the id isn't valid.
    pub fn new(actor: impl IntoName<ComponentId>) -> Result<Self, NameError> {
        let spec = WormholeSpec::new(actor.into_name()?);
        Ok(Self::with(spec))
    }

    /// Makes a wormhole of a record. A host name is generated if it has none.
    pub fn with(spec: WormholeSpec) -> Self {
        Self {
            id: None,
            any_host: false,
            spec,
        }
    }

    /// Gives it this id instead of a generated one.
    ///
    /// # Errors
    /// Fails with a [`NameError`] if the id isn't valid.
    pub fn id(mut self, id: impl IntoName<WormholeId>) -> Result<Self, NameError> {
        self.id = Some(id.into_name()?);
        Ok(self)
    }

    /// Gives it this host name instead of a generated one.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.spec.host = Some(host.into());
        self
    }

    /// Lets it serve requests for any host name that no open wormhole has, instead of a generated
    /// one.
    pub fn any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    /// Adds a domain that leads to it beside its host name.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.spec.domains.insert(domain.into());
        self
    }

    /// Serves only paths that begin with these segments, such as `/api`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.spec.path = path.into();
        self
    }

    /// Sets the name of the link, by which a provider tells the wormholes that lead to it apart.
    /// `default` unless it is set.
    ///
    /// # Errors
    /// Fails with a [`NameError`] if the name isn't valid.
    pub fn link(mut self, link: impl IntoName<LinkName>) -> Result<Self, NameError> {
        self.spec.link = link.into_name()?;
        Ok(self)
    }

    /// Creates it closed, so that no request is let through yet.
    pub fn closed(mut self) -> Self {
        self.spec.state = WormholeState::Closed;
        self
    }

    /// Sets limits of its requests.
    pub fn limits(mut self, limits: WormholeLimits) -> Self {
        self.spec.limits = limits;
        self
    }

    /// Sets whom it lets through.
    pub fn auth(mut self, auth: WormholeAuth) -> Self {
        self.spec.auth = Some(auth);
        self
    }

    /// Returns it with names and paths in canonical form.
    pub(super) fn checked(mut self) -> Result<Self, WormholeError> {
        self.spec = self.spec.checked()?;
        // Only an app owns what its manifest declares.
        self.spec.app = None;
        Ok(self)
    }
}
