//! The links, in two buckets of a key-value store:
//!
//! ```text
//! links      code                  ──► the link, in JSON
//! expiries   time/code             ──► nothing; the times have 12 digits, so they are in order
//! ```
//!
//! A code belongs to one link until that is removed: it is taken by compare and swap. A link that
//! expires is in `expiries` before it is in `links`, so none is missed. An entry there whose link
//! is another one, or was never stored, means nothing.

use crate::{
    problem::Problem,
    random,
    wasi::keyvalue0_2_0_draft2::{
        atomics::{self, Cas, CasError},
        store::{self, Bucket, Error},
    },
};
use serde::{Deserialize, Serialize};

const LINKS: &str = "links";
const EXPIRIES: &str = "expiries";
/// Long enough for 10^13 codes, so that hardly any is found by guessing.
const CODE: usize = 9;
/// How many codes are tried for a link. Even with a billion links, one in 30,000 is taken.
const ATTEMPTS: usize = 4;

/// A short link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Tells it apart from others that had the same code. Its clicks are counted under it.
    pub(crate) id: String,
    /// Where it leads.
    pub(crate) url: String,
    /// When it was made, in seconds since 1970.
    pub(crate) created: u64,
    /// When it expires, if it does.
    pub(crate) expires: Option<u64>,
}

/// A link whose time has come.
#[derive(Debug)]
pub(crate) struct Due {
    key: String,
    code: String,
    expires: u64,
}

impl Link {
    /// Makes a link, which isn't stored yet.
    pub(crate) fn new(url: String, created: u64, expires: Option<u64>) -> Self {
        let id = random::name(20);
        Self {
            id,
            url,
            created,
            expires,
        }
    }

    fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Returns the link with this code, unless it has expired.
pub(crate) fn find(code: &str, now: u64) -> Result<Link, Problem> {
    if !is_code(code) {
        return Err(Problem::NoLink);
    }
    let link = stored(&open(LINKS)?, code)?;
    link.filter(|link| !link.has_expired(now))
        .ok_or(Problem::NoLink)
}

/// Stores a link under this alias, or under a new code. Returns which it is.
pub(crate) fn add(link: &Link, alias: Option<&str>) -> Result<String, Problem> {
    let links = open(LINKS)?;
    let value = serde_json::to_vec(link).map_err(|error| unavailable(&error.to_string()))?;
    if let Some(alias) = alias {
        return if take(&links, alias, (link, &value))? {
            Ok(alias.to_owned())
        } else {
            Err(Problem::AliasTaken)
        };
    }
    for _ in 0..ATTEMPTS {
        let code = random::name(CODE);
        if take(&links, &code, (link, &value))? {
            return Ok(code);
        }
    }
    Err(unavailable("all codes that were tried are taken"))
}

/// Returns whether this can be the code or the alias of a link.
pub(crate) fn is_code(code: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (3..=32).contains(&code.len())
        && code.bytes().all(is_allowed)
        && !["api", "links"].contains(&code)
}

/// Returns the links that have expired, or some of them.
pub(crate) fn due(now: u64) -> Result<Vec<Due>, Problem> {
    let page = open(EXPIRIES)?.list_keys(None).map_err(failed)?;
    let entries = page.keys.into_iter().filter_map(|key| {
        let (time, code) = key.split_once('/')?;
        let (expires, code) = (time.parse().ok()?, code.to_owned());
        Some(Due { key, code, expires })
    });
    Ok(entries.take_while(|due| due.expires <= now).collect())
}

/// Returns the link whose time has come, if it is still stored.
pub(crate) fn expired(due: &Due) -> Result<Option<Link>, Problem> {
    let link = stored(&open(LINKS)?, &due.code)?;
    Ok(link.filter(|link| link.expires == Some(due.expires)))
}

/// Removes an expired link. Its entry in `expiries` goes last, so that it is found again if this
/// fails in between.
pub(crate) fn remove(due: &Due, link: Option<&Link>) -> Result<(), Problem> {
    if link.is_some() {
        open(LINKS)?.delete(&due.code).map_err(failed)?;
    }
    open(EXPIRIES)?.delete(&due.key).map_err(failed)
}

/// Stores a link, unless its code is taken. Returns whether it is stored.
fn take(links: &Bucket, code: &str, (link, value): (&Link, &[u8])) -> Result<bool, Problem> {
    let cas = Cas::new(links, code).map_err(failed)?;
    if cas.current().map_err(failed)?.is_some() {
        return Ok(false);
    }
    if let Some(expires) = link.expires {
        let key = format!("{expires:012}/{code}");
        open(EXPIRIES)?.set(&key, &[]).map_err(failed)?;
    }
    match atomics::swap(cas, value) {
        Ok(()) => Ok(true),
        // Another request was faster.
        Err(CasError::CasFailed(_)) => Ok(false),
        Err(CasError::StoreError(error)) => Err(failed(error)),
    }
}

fn stored(links: &Bucket, code: &str) -> Result<Option<Link>, Problem> {
    let Some(value) = links.get(code).map_err(failed)? else {
        return Ok(None);
    };
    let link = serde_json::from_slice(&value);
    link.map(Some)
        .map_err(|error| unavailable(&format!("link `{code}` can't be read: {error}")))
}

fn open(bucket: &str) -> Result<Bucket, Problem> {
    store::open(bucket).map_err(failed)
}

fn failed(error: Error) -> Problem {
    match error {
        Error::NoSuchStore => unavailable("there is no such bucket"),
        Error::AccessDenied => unavailable("the link to the store may not do this"),
        Error::Other(reason) => unavailable(&reason),
    }
}

fn unavailable(reason: &str) -> Problem {
    Problem::Unavailable(format!("the store of links: {reason}"))
}
