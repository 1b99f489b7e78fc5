//! What a new link is to be.

use crate::{
    links::{self, Link},
    problem::Problem,
    target,
};
use serde::Deserialize;

/// Longest time until a link expires, in seconds: ten years.
const LONGEST: u64 = 10 * 366 * 24 * 60 * 60;

/// What a client asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLink {
    /// Where the link leads.
    pub(crate) url: String,
    /// Its code. By default, it is a random one.
    #[serde(default)]
    pub(crate) alias: Option<String>,
    /// After how many seconds it expires. By default, it doesn't.
    #[serde(default)]
    pub(crate) expires_in: Option<u64>,
}

impl NewLink {
    /// Stores the link. Returns its code with it.
    pub(crate) fn add(&self, own_host: Option<&str>, now: u64) -> Result<(String, Link), Problem> {
        let url = target::check(&self.url, own_host)?;
        if self
            .alias
            .as_deref()
            .is_some_and(|alias| !links::is_code(alias))
        {
            return Err(Problem::Alias);
        }
        let expires = match self.expires_in {
            None => None,
            Some(seconds @ 1..=LONGEST) => Some(now + seconds),
            Some(_) => return Err(Problem::Expiry),
        };
        let link = Link::new(url, now, expires);
        let code = links::add(&link, self.alias.as_deref())?;
        Ok((code, link))
    }
}
