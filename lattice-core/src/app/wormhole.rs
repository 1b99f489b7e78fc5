//! The wormholes of a manifest.

use super::{
    check::Found,
    problem::{ManifestPath, ProblemKind},
    values,
};
use crate::{
    desired::{WormholeSpec, WormholeState},
    name::{ComponentId, LinkName},
    quantity::ByteSize,
    wormhole::{
        HostName, PasswordHash, Rate, TokenHash, WormholeAuth, WormholeLimits, WormholeRuleError,
        check_domains, check_path,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

/// A wormhole of an app: a public endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WormholeManifest {
    /// The actor that it leads to.
    #[schemars(with = "String")]
    pub actor: ComponentId,
    /// Serves requests for this host name: a whole name, or one label, which ingresses complete
    /// with their own domains. If it is left out, and `domains` as well, requests for any host name
    /// are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Serves requests for these host names as well: domains that point at an ingress.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub domains: BTreeSet<String>,
    /// Serves only requests whose path begins with these segments. `"/"` by default.
    #[serde(default = "root")]
    pub path: String,
    /// The name of the link, by which a provider tells the wormholes that lead to it apart.
    /// `"default"` by default.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(with = "String")]
    pub link: LinkName,
    /// `"open"` (by default) or `"closed"`.
    #[serde(default = "open")]
    #[schemars(schema_with = "values::wormhole_state_schema")]
    pub state: WormholeState,
    /// Limits of its requests. One that is left out is that of the ingress.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: WormholeLimitsManifest,
    /// The requests that it lets through. All of them, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<WormholeAuthManifest>,
}

/// Limits of a wormhole's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WormholeLimitsManifest {
    /// The largest body of a request: a number of bytes, or a text such as `"10MiB"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "values::size"
    )]
    #[schemars(schema_with = "values::size_schema")]
    pub body: Option<u64>,
    /// The time until the actor has returned the head of its response: a text such as `"10s"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub head_timeout: Option<Duration>,
    /// The time until the whole response has been sent: a text such as `"5m"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub total_timeout: Option<Duration>,
    /// How many requests one ingress lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateManifest>,
    /// How many requests of one client one ingress lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_rate: Option<RateManifest>,
}

/// How many requests may come in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RateManifest {
    /// How many a second, on average.
    pub per_second: NonZeroU32,
    /// How many at once, after a time without any. As many as in a second by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
}

/// The requests that a wormhole lets through. It has one of `basic`, `bearer` and `verifier`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WormholeAuthManifest {
    /// The hashes of passwords by user, as `lattice wormhole hash` prints them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub basic: Option<BTreeMap<String, PasswordHash>>,
    /// The hashes of tokens, as `lattice wormhole hash --token` prints them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub bearer: Option<Vec<TokenHash>>,
    /// An actor that decides, through `lattice:http/verifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub verifier: Option<ComponentId>,
    /// The name of the link, by which a provider tells the wormholes whose verifier it is apart.
    /// `"default"` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub verifier_link: Option<LinkName>,
}

fn root() -> String {
    "/".to_owned()
}

fn open() -> WormholeState {
    WormholeState::Open
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl WormholeManifest {
    /// Makes an open wormhole for every request to any host name.
    pub fn new(actor: ComponentId) -> Self {
        Self {
            actor,
            host: None,
            domains: BTreeSet::new(),
            path: root(),
            link: LinkName::default(),
            state: open(),
            limits: WormholeLimitsManifest::default(),
            auth: None,
        }
    }

    /// Returns the wormhole of a manifest that declares this record.
    pub(super) fn of(spec: &WormholeSpec) -> Self {
        Self {
            actor: spec.actor.clone(),
            host: spec.host.clone(),
            domains: spec.domains.clone(),
            path: spec.path.clone(),
            link: spec.link.clone(),
            state: spec.state,
            limits: WormholeLimitsManifest::of(&spec.limits),
            auth: spec.auth.as_ref().map(WormholeAuthManifest::of),
        }
    }

    /// Returns the record for the store.
    ///
    /// # Errors
    /// Fails with the first problem. [`check`](Self::check) finds all of them.
    pub(super) fn to_spec(&self) -> Result<WormholeSpec, WormholeRuleError> {
        let mut spec = WormholeSpec::new(self.actor.clone());
        spec.host.clone_from(&self.host);
        spec.domains.clone_from(&self.domains);
        spec.path.clone_from(&self.path);
        spec.link = self.link.clone();
        spec.state = self.state;
        spec.limits = self.limits.to_limits();
        let auth = self.auth.as_ref().map(WormholeAuthManifest::to_auth);
        spec.auth = auth.transpose()?;
        spec.checked()
    }

    /// Returns everything that is wrong with the wormhole in itself.
    pub(super) fn check(&self, path: &ManifestPath) -> Vec<Found> {
        let mut found = Vec::new();
        let mut check = |path: ManifestPath, checked: Result<(), WormholeRuleError>| {
            if let Err(error) = checked {
                let reason = error.to_string();
                found.push((path, ProblemKind::BadValue { reason }));
            }
        };
        let follows_rule = |host: &str| host.parse::<HostName>().map(drop);
        if let Some(host) = &self.host {
            check(path.field("host"), follows_rule(host));
        }
        for domain in &self.domains {
            check(path.field("domains"), follows_rule(domain));
        }
        check(path.field("domains"), check_domains(self.domains.len()));
        check(path.field("path"), check_path(&self.path));
        let Some(auth) = &self.auth else {
            return found;
        };
        let path = path.field("auth");
        check(path, auth.to_auth().and_then(|auth| auth.check()));
        found
    }
}

impl WormholeLimitsManifest {
    fn of(limits: &WormholeLimits) -> Self {
        let rate = |rate: Rate| RateManifest {
            per_second: rate.per_second,
            burst: Some(rate.burst),
        };
        Self {
            body: limits.body.map(ByteSize::as_u64),
            head_timeout: limits.head_timeout,
            total_timeout: limits.total_timeout,
            rate: limits.rate.map(rate),
            client_rate: limits.client_rate.map(rate),
        }
    }

    fn to_limits(&self) -> WormholeLimits {
        WormholeLimits {
            body: self.body.map(ByteSize::bytes),
            head_timeout: self.head_timeout,
            total_timeout: self.total_timeout,
            rate: self.rate.map(RateManifest::to_rate),
            client_rate: self.client_rate.map(RateManifest::to_rate),
        }
    }
}

impl RateManifest {
    fn to_rate(self) -> Rate {
        Rate {
            per_second: self.per_second,
            burst: self.burst.unwrap_or(self.per_second),
        }
    }
}

impl WormholeAuthManifest {
    fn of(auth: &WormholeAuth) -> Self {
        match auth.clone() {
            WormholeAuth::Basic { users } => Self {
                basic: Some(users),
                ..Self::default()
            },
            WormholeAuth::Bearer { tokens } => Self {
                bearer: Some(tokens),
                ..Self::default()
            },
            WormholeAuth::Verifier { actor, link } => Self {
                verifier: Some(actor),
                verifier_link: (link != LinkName::default()).then_some(link),
                ..Self::default()
            },
        }
    }

    /// Returns what it says, or `None` unless it has exactly one of its fields.
    fn to_auth(&self) -> Result<WormholeAuth, WormholeRuleError> {
        let Self {
            basic,
            bearer,
            verifier,
            verifier_link,
        } = self.clone();
        match (basic, bearer, verifier, verifier_link) {
            (Some(users), None, None, None) => Ok(WormholeAuth::Basic { users }),
            (None, Some(tokens), None, None) => Ok(WormholeAuth::Bearer { tokens }),
            (None, None, Some(actor), link) => Ok(WormholeAuth::Verifier {
                actor,
                link: link.unwrap_or_default(),
            }),
            _ => Err(WormholeRuleError::Auth),
        }
    }
}
