//! Who may ask for what. Every request passes here first, and every response last.
//!
//! ```text
//! host name ──► origin ──► token, or cookie ──► read-only ──► handler, with a deadline
//!    421          403            401                403                 504
//! ```

use crate::{limits::UiLimits, problem::Problem, token::Token};
use axum::{
    extract::{Request, State as Given},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
use tokio::time::timeout;

/// What a person sees whose browser has no session.
const NO_SESSION: &str = include_str!("no_session.html");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every response.
const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The rules of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<Rules>);

/// What a [`Guard`] decides by.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) token: Token,
    /// What a browser gets as its cookie in exchange for the token.
    pub(crate) session: Token,
    /// In lower case, beside `localhost` and all addresses.
    pub(crate) host_names: BTreeSet<String>,
    pub(crate) is_read_only: bool,
    /// The paths of POSTs that change nothing.
    pub(crate) reads: &'static [&'static str],
    pub(crate) limits: UiLimits,
}

/// What becomes of a request that isn't refused.
enum Admitted {
    /// It goes to its handler.
    Through,
    /// It has brought the token: the response sets this cookie.
    Enters(String),
}

impl Guard {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(rules))
    }

    fn admit(&self, request: &Request) -> Result<Admitted, Problem> {
        let rules = &*self.0;
        let (uri, headers) = (request.uri(), request.headers());
        let host = rules.host(uri, headers)?;
        let is_api = is_api(uri);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_api || !reads {
            check_origin(headers, &host, reads)?;
        }
        let cookie = cookie_name(&host);
        if uri.path() == "/"
            && reads
            && let Some(given) = token_in(uri)
        {
            return if rules.token.is(given) {
                // Without a path, browsers keep it for the folder of this address. So two pages
                // below different paths of one server don't take each other's place.
                let session = rules.session.as_str();
                Ok(Admitted::Enters(format!(
                    "{cookie}={session}; HttpOnly; SameSite=Strict"
                )))
            } else {
                Err(no_session(
                    "the token in the address isn't that of this start",
                ))
            };
        }
        if !rules.has_session(headers, &cookie) {
            return Err(no_session(
                "the request has neither the cookie nor the token",
            ));
        }
        if rules.is_read_only && !reads && !rules.reads.contains(&uri.path()) {
            let problem = Problem::new(
                StatusCode::FORBIDDEN,
                "read-only",
                "this page can't change anything",
            );
            return Err(problem
                .why("it was started as read-only")
                .next("start it without `--read-only` (`--ui-read-only` of `lattice up`), or use the command `lattice`"));
        }
        Ok(Admitted::Through)
    }
}

impl Rules {
    /// Returns the host that the request asks for, if it is one of ours. A page on another site
    /// can let its own name lead to this address, but the browser then says that name.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let mut given = headers.get_all(header::HOST).iter();
        let of_header = given
            .next()
            .map(|value| Authority::try_from(value.as_bytes()));
        let of_header = of_header
            .transpose()
            .map_err(|_| wrong_host("it isn't a host name"))?;
        if given.next().is_some() {
            return Err(wrong_host("there are several"));
        }
        let named = [uri.authority().cloned(), of_header];
        let mut named = named.into_iter().flatten();
        let host = named.next().ok_or_else(|| wrong_host("there is none"))?;
        for name in std::iter::once(host.clone()).chain(named) {
            if !self.is_ours(&name) {
                return Err(wrong_host(&format!(
                    "`{}` isn't a name of this page",
                    name.host()
                )));
            }
        }
        Ok(host)
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let is_address = bare.unwrap_or(&name).parse::<IpAddr>().is_ok();
        let has_user = host.as_str().contains('@');
        !has_user && (is_address || name == "localhost" || self.host_names.contains(&name))
    }

    fn has_session(&self, headers: &HeaderMap, cookie: &str) -> bool {
        let text = |value: &'_ HeaderValue| value.to_str().ok().map(str::to_owned);
        let bearer = headers.get(header::AUTHORIZATION).and_then(text);
        if let Some(given) = bearer
            .as_deref()
            .and_then(|value| value.strip_prefix("Bearer "))
        {
            return self.token.is(given.trim());
        }
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(text)
            .any(|value| {
                let pairs = value
                    .split(';')
                    .filter_map(|pair| pair.trim().split_once('='));
                pairs
                    .filter(|(name, _)| *name == cookie)
                    .any(|(_, value)| self.session.is(value))
            })
    }
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

/// Browsers keep cookies by host and not by port, so that two pages on one machine need two names.
fn cookie_name(host: &Authority) -> String {
    format!("lattice-ui-{}", host.port_u16().unwrap_or(80))
}

/// Returns the token in the query of an address.
fn token_in(uri: &Uri) -> Option<&str> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("token="))
}

/// Refuses what another site makes a browser send. Browsers say where a request comes from, and
/// other programs, which say nothing, need the token anyway.
///
/// A page on another port of this machine is the same *site*, so that `SameSite=Strict` doesn't
/// keep the cookie from it. It is another *origin*.
fn check_origin(headers: &HeaderMap, host: &Authority, reads: bool) -> Result<(), Problem> {
    let foreign = |from: &str| {
        let what = "the request comes from a page of another origin";
        let problem = Problem::new(StatusCode::FORBIDDEN, "foreign-origin", what);
        Err(problem
            .why(from)
            .next("open this page itself, at the address that was shown at its start"))
    };
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => foreign("the browser says so in `Sec-Fetch-Site`"),
        };
    }
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| !reads) else {
        return Ok(());
    };
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let authority = origin.as_ref().and_then(Uri::authority);
    if authority.is_some_and(|origin| origin == host) {
        Ok(())
    } else {
        foreign("its `Origin` isn't this page's address")
    }
}

fn no_session(why: &str) -> Problem {
    let what = "the page wants the token of its start";
    Problem::new(StatusCode::UNAUTHORIZED, "no-session", what)
        .why(why)
        .next("open the address that was shown when the page was started; it ends with `?token=…`")
}

fn wrong_host(why: &str) -> Problem {
    let what = "the host name of the request isn't one of this page's";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong-host", what)
        .why(why)
        .next("use the address of the machine or `localhost`, or allow the name with `Ui::host_name` (`--ui-host` of the command `lattice`)")
}

/// The outermost layer of the service.
pub(crate) async fn guarded(
    Given(guard): Given<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = is_api(request.uri());
    let wants_page = request.uri().path() == "/" && request.method() == Method::GET;
    let mut response = match guard.admit(&request) {
        Ok(Admitted::Through) => {
            let limits = guard.0.limits;
            request.extensions_mut().insert(limits);
            let answered = timeout(limits.response, next.run(request)).await;
            answered.unwrap_or_else(|_| too_late().into_response())
        }
        Ok(Admitted::Enters(cookie)) => enter(&cookie),
        Err(problem) if wants_page && problem.status() == StatusCode::UNAUTHORIZED => {
            let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
            (problem.status(), [kind], NO_SESSION).into_response()
        }
        Err(problem) => problem.into_response(),
    };
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if is_api || is_error || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The response to the address with the token: the page without it, so that it isn't in the
/// browser's history or on its screen.
fn enter(cookie: &str) -> Response {
    let location = (header::LOCATION, HeaderValue::from_static("./"));
    // The name and the session have only plain characters.
    match HeaderValue::from_str(cookie) {
        Ok(cookie) => (
            StatusCode::SEE_OTHER,
            [location, (header::SET_COOKIE, cookie)],
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn too_late() -> Problem {
    let what = "there was no response in time";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", what)
        .next("look at the state of the lattice before you try again: what was asked for may have been done")
}

#[cfg(test)]
mod tests;
