//! The record of a wormhole.

use super::{HostName, WormholeAuth, WormholeLimits, WormholeRuleError, canonical_path, hosts};
use crate::{
    name::{AppName, ComponentId, LinkName},
    record_format::Extra,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A public endpoint that leads to an actor: `wormhole.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WormholeSpec {
    /// The app that declared it, or `None` if it was put by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The host name of the requests that it serves: a whole name, or one label, which ingresses
    /// complete with their own domains. `None` for any host name, if there are no `domains` either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// More host names of the requests that it serves: domains that point at an ingress.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub domains: BTreeSet<String>,
    /// The beginning of the paths that it serves, in whole segments: `/api` includes `/api/x` and
    /// not `/apis`. `/` for all of them.
    pub path: String,
    /// The actor that serves the requests.
    pub actor: ComponentId,
    /// The name of the link. A provider that serves the requests is told it, so that it can tell
    /// the wormholes that lead to it apart; an actor isn't.
    #[serde(default, skip_serializing_if = "is_default")]
    pub link: LinkName,
    /// Whether requests are let through.
    pub state: WormholeState,
    /// Limits of its requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: WormholeLimits,
    /// The requests that it lets through, or `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<WormholeAuth>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether a wormhole lets requests through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WormholeState {
    /// Requests are let through.
    Open,
    /// No request is let through.
    Closed,
}

impl WormholeSpec {
    /// Makes an open wormhole for every request to any host name, without limits of its own.
    pub fn new(actor: ComponentId) -> Self {
        Self {
            app: None,
            host: None,
            domains: BTreeSet::new(),
            path: "/".to_owned(),
            actor,
            link: LinkName::default(),
            state: WormholeState::Open,
            limits: WormholeLimits::default(),
            auth: None,
            extra: Extra::default(),
        }
    }

    /// Returns whether requests are let through.
    pub fn is_open(&self) -> bool {
        self.state == WormholeState::Open
    }

    /// Returns every host name that leads to it, the `host` first. There are none if it serves any
    /// host name.
    pub fn hosts(&self) -> impl Iterator<Item = HostName> {
        let host = self.host.as_deref().map(HostName::of_record);
        let domains = self.domains.iter();
        let domains = domains.map(|domain| HostName::of_record(domain));
        let first = host.clone();
        let domains = domains.filter(move |domain| first.as_ref() != Some(domain));
        host.into_iter().chain(domains)
    }

    /// Returns whether it serves requests for any host name.
    pub fn serves_any_host(&self) -> bool {
        self.host.is_none() && self.domains.is_empty()
    }

    /// Returns whether it has this host name and path, which is in the form in which it is
    /// compared.
    pub(crate) fn has(&self, host: &HostName, path: &str) -> bool {
        canonical_path(&self.path) == path && self.hosts().any(|own| own == *host)
    }

    /// Brings the host names and the path into the form in which they are compared: host names in
    /// lower case without a dot at the end, a path without a slash at the end.
    ///
    /// # Errors
    /// Fails with a [`WormholeRuleError`] if a host name, the path, or an entry of `auth` breaks
    /// its rule.
    pub fn checked(mut self) -> Result<Self, WormholeRuleError> {
        let check = |host: &String| host.parse::<HostName>().map(|host| host.to_string());
        self.host = self.host.as_ref().map(check).transpose()?;
        let domains: Result<BTreeSet<String>, _> = self.domains.iter().map(check).collect();
        self.domains = domains?;
        if let Some(host) = &self.host {
            self.domains.remove(host);
        }
        hosts::check_domains(self.domains.len())?;
        hosts::check_path(&self.path)?;
        self.path = canonical_path(&self.path).to_owned();
        if let Some(auth) = &self.auth {
            auth.check()?;
        }
        Ok(self)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
