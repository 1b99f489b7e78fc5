//! Who may pass a wormhole: passwords, tokens, or the word of a verifier.
//!
//! A request passes only when it was checked. Whatever fails meanwhile keeps it out.

mod basic;
mod bearer;
mod cache;
mod verifier;

pub use basic::hash_password;
pub use bearer::hash_token;

use crate::http::exchange::Refusal;
use basic::Passwords;
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
    request::Parts,
};
use lattice_core::{call::Context, client::Caller, wormhole::WormholeAuth, wormholes::Wormhole};
use std::net::IpAddr;
use tokio::time::timeout_at;

/// Checks requests.
#[derive(Default)]
pub(super) struct Gate {
    passwords: Passwords,
}

/// Why a request may not pass.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It has no credentials, or wrong ones. The value says which are wanted.
    Unauthorized(HeaderValue),
    /// The verifier refused it, with this answer.
    Denied(Box<Refusal>),
    /// It could not be checked, for this reason.
    Unchecked(String),
    /// It was not checked by the deadline of its response.
    Late,
}

impl Gate {
    /// Lets a request pass that the wormhole's rules allow. Credentials that were checked here are
    /// removed from it, and what the verifier wants to add is added. The verifier is called on
    /// behalf of the request, and the check ends by the deadline of the context.
    pub(super) async fn check(
        &self,
        wormhole: &Wormhole,
        parts: &mut Parts,
        client: Option<IpAddr>,
        (caller, context): (impl FnOnce() -> Caller + Send, &Context),
    ) -> Result<(), Stopped> {
        let checked = self.check_in_time(wormhole, parts, client, (caller, context));
        let checked = timeout_at(context.deadline, checked).await;
        checked.unwrap_or(Err(Stopped::Late))
    }

    async fn check_in_time(
        &self,
        wormhole: &Wormhole,
        parts: &mut Parts,
        client: Option<IpAddr>,
        (caller, context): (impl FnOnce() -> Caller + Send, &Context),
    ) -> Result<(), Stopped> {
        let Some(auth) = &wormhole.spec.auth else {
            return Ok(());
        };
        match auth {
            WormholeAuth::Basic { users } => {
                let credentials = credentials(&parts.headers, "basic").and_then(basic::parse);
                let Some((user, password)) = credentials else {
                    return Err(Stopped::Unauthorized(basic::challenge()));
                };
                let (passwords, id) = (&self.passwords, &wormhole.id);
                if !passwords.verify(id, users, &user, password).await? {
                    return Err(Stopped::Unauthorized(basic::challenge()));
                }
                parts.headers.remove(AUTHORIZATION);
                Ok(())
            }
            WormholeAuth::Bearer { tokens } => {
                let token = credentials(&parts.headers, "bearer");
                if !token.is_some_and(|token| bearer::is_known(token, tokens)) {
                    return Err(Stopped::Unauthorized(bearer::challenge(token.is_some())));
                }
                parts.headers.remove(AUTHORIZATION);
                Ok(())
            }
            WormholeAuth::Verifier { .. } => {
                verifier::check(caller(), parts, client, context).await
            }
            _ => Err(Stopped::Unchecked(
                "this host doesn't know the wormhole's kind of `auth`; update it".to_owned(),
            )),
        }
    }
}

impl Stopped {
    /// Adds what the client needs to know to the head of the answer.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Self::Unauthorized(challenge) = self {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
    }
}

/// Returns the credentials of a scheme, if the request has them and no others.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    let (named, credentials) = value.split_at_checked(scheme.len())?;
    let is_one = values.next().is_none() && credentials.starts_with(b" ");
    (is_one && named.eq_ignore_ascii_case(scheme.as_bytes())).then(|| credentials.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_one_scheme() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            let value = |value: &&'static str| (AUTHORIZATION, HeaderValue::from_static(value));
            values.iter().map(value).collect()
        };
        for (values, found) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bEARER   abc "], Some("abc")),
            (&["Bearerabc"], None),
            (&["Basic abc"], None),
            (&["Bear"], None),
            (&["Bearer"], None),
            (&["Bearer a", "Bearer b"], None),
            (&[], None),
        ] {
            let headers = headers(values);
            let credentials = credentials(&headers, "bearer");
            assert_eq!(credentials, found.map(str::as_bytes), "{values:?}");
        }
    }
}
