//! Credentials for a registry, and the tokens that its token service issues for them.

use super::{
    challenge::Challenge,
    docker,
    http::{Call, Http},
    request::{Request, retry_after, with_pause},
};
use crate::artifact::{
    Credentials, RegistryError,
    settings::{DockerConfig, Settings},
};
use data_encoding::BASE64;
use lattice_core::sync::Mutex;
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use std::{collections::BTreeMap, io, sync::Arc};

/// The largest accepted response of a token service. Tokens have a few KiB.
const MAX_TOKEN: usize = 64 << 10;
/// The name with which this client requests tokens.
const CLIENT: &str = "lattice";

/// Authenticates requests.
pub(super) struct Authority {
    settings: Arc<Settings>,
    /// The header that was last accepted, by registry and scope.
    accepted: Mutex<BTreeMap<(String, String), HeaderValue>>,
}

/// The response of a token service, which may have the token in either field.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Authority {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            accepted: Mutex::default(),
        }
    }

    /// Sends a request with the header that the registry last accepted. If the registry then
    /// requires credentials, sends it once more with new ones.
    pub(super) async fn send(
        &self,
        http: &Http,
        request: &Request<'_>,
        call: &Call,
    ) -> Result<Response, RegistryError> {
        let known = self.known(request);
        let send = async |authorization| {
            let response = http.send(call, authorization).await;
            response.map_err(|error| request.unanswered(error))
        };
        let mut response = send(known.as_ref()).await?;
        if response.status() == StatusCode::FORBIDDEN && known.is_some() {
            // Some registries respond like this to an expired login. Without it, they require a new
            // one.
            self.forget(request);
            response = send(None).await?;
            // The error names their user.
            self.credentials(request).await?;
        }
        // Only the registry itself may require credentials, not a server to which it redirects.
        let is_own = response.url().origin() == call.owner.origin();
        if response.status() != StatusCode::UNAUTHORIZED || !is_own {
            return Ok(response);
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let headers = headers.iter().filter_map(|header| header.to_str().ok());
        let Some(challenge) = Challenge::read(headers) else {
            return Ok(response);
        };
        let Some(authorization) = self.authorize(http, request, challenge).await? else {
            return Ok(response);
        };
        let response = send(Some(&authorization)).await?;
        if !matches!(response.status().as_u16(), 401 | 403) {
            self.remember(request, authorization);
        }
        Ok(response)
    }

    /// Returns the credentials for requests of the registry.
    async fn credentials<'r>(
        &self,
        request: &'r Request<'_>,
    ) -> Result<&'r Credentials, RegistryError> {
        let (registry, repository) = (request.image.registry(), request.image.repository());
        let find = async || match (
            self.settings.credentials.get(registry),
            self.settings.docker_config,
        ) {
            (Some(given), _) => Ok(given.clone()),
            (None, DockerConfig::Ignored) => Ok(Credentials::Anonymous),
            (None, DockerConfig::Used) => {
                docker::credentials(registry, repository, self.settings.silence).await
            }
        };
        request.credentials.get_or_try_init(find).await
    }

    /// Returns the header that was last accepted for such a request.
    fn known(&self, request: &Request<'_>) -> Option<HeaderValue> {
        let accepted = self.accepted.lock();
        accepted
            .get(&(request.registry(), request.scope()))
            .cloned()
    }

    /// Drops the header that was accepted before.
    fn forget(&self, request: &Request<'_>) {
        let mut accepted = self.accepted.lock();
        accepted.remove(&(request.registry(), request.scope()));
    }

    /// Records a header, to be sent with the next such request.
    fn remember(&self, request: &Request<'_>, header: HeaderValue) {
        let mut accepted = self.accepted.lock();
        accepted.insert((request.registry(), request.scope()), header);
    }

    /// Returns the header that responds to a challenge, or `None` if these credentials don't fit
    /// it.
    async fn authorize(
        &self,
        http: &Http,
        request: &Request<'_>,
        challenge: Challenge,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let credentials = self.credentials(request).await?;
        if let Credentials::Bearer { token } = credentials {
            return Ok(secret(&format!("Bearer {token}")));
        }
        match (challenge, credentials) {
            (Challenge::Basic, Credentials::Basic { user, password }) => Ok(basic(user, password)),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service }, credentials) => {
                let realm = self.realm(request, &realm)?;
                let call = token_call(realm, service.as_deref(), &request.scope(), credentials);
                let header = match credentials {
                    Credentials::Basic { user, password } => basic(user, password),
                    _ => None,
                };
                let token = token(http, request, &call, header.as_ref()).await?;
                secret(&format!("Bearer {token}"))
                    .map(Some)
                    .ok_or_else(|| request.unauthorized())
            }
        }
    }

    /// Returns the URL of a token service. The registry chooses it, so it must not be one to which
    /// credentials are sent unencrypted, unless the registry itself uses plain HTTP.
    fn realm(&self, request: &Request<'_>, realm: &str) -> Result<Url, RegistryError> {
        let url = Url::parse(realm);
        let url = url.map_err(|error| request.protocol(io::Error::other(error)))?;
        let is_plain = self.settings.plain_http.contains(request.image.registry());
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_plain => Ok(url),
            _ => Err(request.insecure_realm(realm)),
        }
    }
}

/// Returns the request for a token.
fn token_call(
    mut realm: Url,
    service: Option<&str>,
    scope: &str,
    credentials: &Credentials,
) -> Call {
    let service = service.map(|service| ("service", service));
    let what = [("scope", scope)].into_iter().chain(service);
    let Credentials::Identity { token } = credentials else {
        realm.query_pairs_mut().extend_pairs(what);
        return Call::new(Method::GET, realm);
    };
    let mut form = Url::parse("form:").unwrap_or_else(|_| realm.clone());
    form.query_pairs_mut()
        .clear()
        .extend_pairs(what)
        .extend_pairs([
            ("grant_type", "refresh_token"),
            ("client_id", CLIENT),
            ("refresh_token", token.as_str()),
        ]);
    let mut call = Call::new(Method::POST, realm);
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    call.headers.insert(CONTENT_TYPE, kind);
    call.body = Some(form.query().unwrap_or_default().to_owned().into());
    call
}

async fn token(
    http: &Http,
    request: &Request<'_>,
    call: &Call,
    authorization: Option<&HeaderValue>,
) -> Result<String, RegistryError> {
    let response = http.send(call, authorization).await;
    let response = response.map_err(|error| request.unanswered(error))?;
    let (status, pause) = (response.status(), retry_after(response.headers()));
    let body = http.body(response, MAX_TOKEN).await;
    let body = body.map_err(|error| request.unanswered(error))?;
    if body.len() > MAX_TOKEN {
        let text = format!("its token service sends more than {MAX_TOKEN} bytes");
        return Err(request.protocol(io::Error::other(text)));
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(with_pause(request.status(status.as_u16(), &body), pause));
    }
    let token = match serde_json::from_slice(&body) {
        Ok(Token {
            token,
            access_token,
        }) if status.is_success() => token.or(access_token),
        _ => None,
    };
    token.ok_or_else(|| request.unauthorized())
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let pair = BASE64.encode(format!("{user}:{password}").as_bytes());
    secret(&format!("Basic {pair}"))
}

/// Returns a header whose value is not shown. `None` for a text that can't be one.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::artifact::{Artifacts, oci::request::Action};

    #[test]
    fn a_token_service_without_tls_is_refused_unless_its_registry_uses_plain_http() {
        let builder = Artifacts::builder().plain_http("plain.example:5000");
        let authority = Authority::new(Arc::new(builder.settings));
        for (registry, realm, is_taken) in [
            ("r.example", "https://auth.example/token", true),
            ("r.example", "http://auth.example/token", false),
            ("r.example", "http://169.254.169.254/latest", false),
            ("r.example", "file:///etc/passwd", false),
            (
                "plain.example:5000",
                "http://plain.example:5000/token",
                true,
            ),
            ("plain.example:5000", "https://auth.example/token", true),
            ("plain.example:5000", "gopher://auth.example", false),
        ] {
            let image = format!("{registry}/a:1").parse().unwrap();
            let request = Request::new(&image, Action::Pull);
            let url = authority.realm(&request, realm);
            assert_eq!(url.is_ok(), is_taken, "{registry}: {realm}");
            let refused = url.err();
            assert!(
                matches!(refused, None | Some(RegistryError::InsecureRealm { .. })),
                "{refused:?}"
            );
        }
        let image = "r.example/a:1".parse().unwrap();
        let request = Request::new(&image, Action::Pull);
        let error = authority.realm(&request, "nowhere").unwrap_err();
        assert!(matches!(error, RegistryError::Protocol { .. }), "{error:?}");
    }
}
