//! The word of a component that decides about each request.

use super::Stopped;
use crate::http::exchange::{Head, Header, Verdict, VerifierClient, is_of_connection};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, HOST, TE, TRAILER},
    request::Parts,
};
use lattice_core::{
    call::{CallError, Context},
    client::Caller,
};
use std::net::IpAddr;

/// Asks the wormhole's verifier about a request, and adds the headers that it wants.
pub(super) async fn check(
    caller: Caller,
    parts: &mut Parts,
    client: Option<IpAddr>,
    context: &Context,
) -> Result<(), Stopped> {
    let head = head(parts, client);
    let verifier = VerifierClient::new(caller);
    match verifier.verify(&head).on_behalf_of(context).await {
        Ok(Verdict::Allow(headers)) => add(&mut parts.headers, headers),
        Ok(Verdict::Deny(refusal)) => Err(Stopped::Denied(Box::new(refusal))),
        Err(CallError::DeadlineExceeded { .. }) => Err(Stopped::Late),
        Err(error) => Err(Stopped::Unchecked(format!(
            "the call of the verifier failed: {error}"
        ))),
    }
}

fn head(parts: &Parts, client: Option<IpAddr>) -> Head {
    let kept = parts.headers.iter();
    let kept = kept.filter(|(name, _)| !is_of_connection(name) && **name != HOST);
    Head {
        method: parts.method.as_str().to_owned(),
        authority: parts.uri.authority().map(ToString::to_string),
        path_with_query: parts.uri.path_and_query().map(ToString::to_string),
        headers: kept
            .map(|(name, value)| Header {
                name: name.as_str().to_owned(),
                value: Bytes::copy_from_slice(value.as_bytes()),
            })
            .collect(),
        client_address: client.map(|address| address.to_string()),
    }
}

/// Adds headers in place of those with the same names. Headers that say where a message ends, or
/// where it goes, aren't for a verifier to say.
fn add(headers: &mut HeaderMap, added: Vec<Header>) -> Result<(), Stopped> {
    let invalid = |name: &str| {
        Stopped::Unchecked(format!(
            "the verifier adds the header `{}`, which isn't valid",
            name.escape_debug()
        ))
    };
    let mut parsed = Vec::with_capacity(added.len());
    for Header { name, value } in added {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(&name))?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| invalid(&name))?;
        let is_for_others = [CONTENT_LENGTH, HOST, TE, TRAILER].contains(&header);
        if !is_for_others && !is_of_connection(&header) {
            parsed.push((header, value));
        }
    }
    for (name, _) in &parsed {
        headers.remove(name);
    }
    for (name, value) in parsed {
        let name_text = name.clone();
        let added = headers.try_append(name, value);
        added.map_err(|_| invalid(name_text.as_str()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &'static str) -> Header {
        Header {
            name: name.to_owned(),
            value: Bytes::from_static(value.as_bytes()),
        }
    }

    #[test]
    fn headers_of_a_verifier_replace_those_of_the_client() {
        let mut headers = HeaderMap::new();
        headers.append("x-user", HeaderValue::from_static("forged"));
        headers.append("x-user", HeaderValue::from_static("forged too"));
        headers.append("accept", HeaderValue::from_static("*/*"));
        let added = vec![
            header("X-User", "ada"),
            header("x-role", "a"),
            header("x-role", "b"),
            header("content-length", "7"),
            header("transfer-encoding", "chunked"),
            header("host", "other"),
        ];
        add(&mut headers, added).expect("valid headers");
        let users: Vec<_> = headers.get_all("x-user").iter().collect();
        assert_eq!(users, ["ada"]);
        assert_eq!(headers.get_all("x-role").iter().count(), 2);
        assert_eq!(headers["accept"], "*/*");
        assert_eq!(headers.len(), 4, "{headers:?}");
    }

    #[test]
    fn headers_that_are_not_valid_keep_a_request_out() {
        for (name, value) in [("x y", "a"), ("x", "a\r\nb: c"), ("", "a")] {
            let added = add(&mut HeaderMap::new(), vec![header(name, value)]);
            assert!(matches!(added, Err(Stopped::Unchecked(_))), "{name:?}");
        }
    }
}
