//! Names: one newtype each, parsed once at the edge.
//!
//! | name | rule | example |
//! | --- | --- | --- |
//! | [`LatticeName`], [`HostId`], [`ComponentId`], [`LinkName`], [`WormholeId`], [`AppName`], [`ConfigName`] | 1 to 63 of `a-z 0-9 -`, starts with a letter or digit | `edge-1` |
//! | [`InterfaceName`] | `namespace:package/interface`, then `@` and a semantic version | `wasi:keyvalue/store@0.2.0` |
//! | [`FunctionName`] | a WIT label: words of letters and digits joined by `-`; for resources `[constructor]r`, `[method]r.f` and `[static]r.f` | `list-keys` |
//! | [`SecretName`] | 1 to 253 letters of ASCII, digits, `.`, `-` and `_`, and not a `.` at the start | `db.password` |
//!
//! Every parser fails with a [`NameError`] that states the rule.

use std::{borrow::Cow, convert::Infallible};

mod interface;
mod label;
mod secret;
mod text;

pub use interface::{FunctionName, InterfaceName};
pub use label::{AppName, ComponentId, ConfigName, HostId, LatticeName, LinkName, WormholeId};
pub use secret::SecretName;

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
#[error("invalid {what} `{given}`: {rule}")]
pub struct NameError {
    /// The kind of name: "lattice name", "host id", …
    pub what: Cow<'static, str>,
    /// The given text, cut to 80 characters, or `…` if it may be a secret.
    pub given: String,
    /// The rule that it breaks.
    pub rule: Cow<'static, str>,
}

/// Lets functions that take an [`IntoName`] also take names that are parsed already.
impl From<Infallible> for NameError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A name, or text that is parsed as one. Functions that take a name accept either.
pub trait IntoName<N> {
    /// Returns the name.
    ///
    /// # Errors
    /// Fails with a [`NameError`] if the text breaks the rule of `N`.
    fn into_name(self) -> Result<N, NameError>;
}

impl<N, T: TryInto<N, Error: Into<NameError>>> IntoName<N> for T {
    fn into_name(self) -> Result<N, NameError> {
        self.try_into().map_err(Into::into)
    }
}

impl NameError {
    pub(crate) fn new(what: &'static str, given: &str, rule: impl Into<Cow<'static, str>>) -> Self {
        let given = if may_be_secret(given) {
            "…".to_owned()
        } else {
            given.chars().take(80).collect()
        };
        Self {
            what: what.into(),
            given,
            rule: rule.into(),
        }
    }
}

/// The fewest letters and digits in a row that may be a key, a seed or a token.
const KEY: usize = 32;

/// Returns whether a text may be a secret that was given in place of a name: a URL or the start of
/// one, which may have a login, or a key. Errors don't repeat it, and don't propose a name that is
/// like it.
fn may_be_secret(text: &str) -> bool {
    let is_url = text.contains("://");
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_key = words.any(|word| {
        word.len() >= KEY
            && word.bytes().any(|b| b.is_ascii_digit())
            && word.bytes().any(|b| b.is_ascii_alphabetic())
    });
    is_url || is_key
}
