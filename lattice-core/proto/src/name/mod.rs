//! Names: one newtype each, parsed once at the edge.
//!
//! | name | rule | example |
//! | --- | --- | --- |
//! | [`LatticeName`], [`HostId`], [`ComponentId`], [`LinkName`], [`WormholeId`], [`AppName`], [`ConfigName`] | 1 to 63 of `a-z 0-9 -`, starts with a letter or digit | `edge-1` |
//! | [`InterfaceName`] | `namespace:package/interface`, then `@` and a semantic version | `wasi:keyvalue/store@0.2.0` |
//! | [`FunctionName`] | a WIT label: words of letters and digits joined by `-` | `list-keys` |
//!
//! Every parser answers a [`NameError`] that says the rule.

use std::{borrow::Cow, convert::Infallible};

mod interface;
mod label;
mod text;

pub use interface::{FunctionName, InterfaceName};
pub use label::{AppName, ComponentId, ConfigName, HostId, LatticeName, LinkName, WormholeId};

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
#[error("`{given}` is no {what}: {rule}")]
pub struct NameError {
    /// What the name was for: "lattice name", "host id", …
    pub what: Cow<'static, str>,
    /// The text that was given, cut to 80 characters.
    pub given: String,
    /// The rule that it breaks.
    pub rule: Cow<'static, str>,
}

/// For names that are already parsed: they are taken as anything that parses.
impl From<Infallible> for NameError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A name, or a text that is parsed as one: what functions that take a name accept.
pub trait IntoName<N> {
    /// The name.
    ///
    /// # Errors
    /// [`NameError`] when the text breaks the rule of `N`.
    fn into_name(self) -> Result<N, NameError>;
}

impl<N, T: TryInto<N, Error: Into<NameError>>> IntoName<N> for T {
    fn into_name(self) -> Result<N, NameError> {
        self.try_into().map_err(Into::into)
    }
}

impl NameError {
    pub(crate) fn new(what: &'static str, given: &str, rule: &'static str) -> Self {
        Self {
            what: what.into(),
            given: given.chars().take(80).collect(),
            rule: rule.into(),
        }
    }
}
