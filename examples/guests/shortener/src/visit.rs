//! What a handler knows of a request, beside what it asks for.

use crate::clock;
use lattice_actor_sdk::http::Uri;

/// What a request says of this site, and when it came.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Scheme and authority, such as `http://short.localhost:8080`; empty if they aren't known.
    origin: String,
    /// The host name under which the site was reached.
    pub(crate) host: Option<String>,
    pub(crate) now: u64,
}

impl Visit {
    pub(crate) fn new(uri: &Uri) -> Self {
        let origin = uri.authority().map(|authority| {
            let scheme = uri.scheme_str().unwrap_or("http");
            format!("{scheme}://{authority}")
        });
        Self {
            origin: origin.unwrap_or_default(),
            host: uri.host().map(str::to_owned),
            now: clock::now(),
        }
    }

    /// Returns the address of the link with this code.
    pub(crate) fn address(&self, code: &str) -> String {
        format!("{}/{code}", self.origin)
    }
}
