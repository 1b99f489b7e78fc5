//! Classifies the failures of requests.

use super::{
    http::HttpError,
    manifest::{Layer, brief},
};
use crate::artifact::{Credentials, ImageDigest, OciReference, RegistryError};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use std::{error::Error, io, sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// A request to a registry: the image, and the credentials after they were first needed. Errors
/// name both.
pub(super) struct Request<'a> {
    pub(super) image: &'a OciReference,
    pub(super) action: Action,
    pub(super) credentials: OnceCell<Credentials>,
}

/// The permissions that the credentials need.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Pull,
    Push,
}

/// The body of a registry's error.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl<'a> Request<'a> {
    pub(super) fn new(image: &'a OciReference, action: Action) -> Self {
        Self {
            image,
            action,
            credentials: OnceCell::new(),
        }
    }

    pub(super) fn registry(&self) -> String {
        self.image.registry().into()
    }

    /// Returns the scope that a token needs, in the form that token services use.
    pub(super) fn scope(&self) -> String {
        let actions = match self.action {
            Action::Pull => "pull",
            Action::Push => "pull,push",
        };
        format!("repository:{}:{actions}", self.image.repository())
    }

    pub(super) fn silent(&self, after: Duration) -> RegistryError {
        RegistryError::Silent {
            registry: self.registry(),
            after,
        }
    }

    pub(super) fn broken(&self, received: u64, error: io::Error) -> RegistryError {
        RegistryError::Broken {
            registry: self.registry(),
            image: self.image.to_string(),
            received,
            source: Arc::new(error),
        }
    }

    pub(super) fn oversized(&self, layer: &Layer) -> RegistryError {
        RegistryError::Oversized {
            registry: self.registry(),
            image: self.image.to_string(),
            declared: layer.size.as_u64(),
        }
    }

    pub(super) fn damaged(&self, expected: ImageDigest, found: ImageDigest) -> RegistryError {
        RegistryError::Damaged {
            registry: self.registry(),
            image: self.image.to_string(),
            expected,
            found,
        }
    }

    fn not_found(&self) -> RegistryError {
        RegistryError::NotFound {
            image: self.image.to_string(),
        }
    }

    pub(super) fn unauthorized(&self) -> RegistryError {
        let (registry, repository) = (self.registry(), self.image.repository().into());
        let user = match self.credentials.get() {
            None | Some(Credentials::Anonymous) => {
                return RegistryError::CredentialsNeeded {
                    registry,
                    repository,
                };
            }
            Some(Credentials::Basic { user, .. }) => format!("`{user}`"),
            Some(Credentials::Bearer { .. } | Credentials::Identity { .. }) => "the token".into(),
        };
        RegistryError::CredentialsRefused {
            registry,
            repository,
            user,
        }
    }

    pub(super) fn insecure_realm(&self, realm: &str) -> RegistryError {
        RegistryError::InsecureRealm {
            registry: self.registry(),
            realm: brief(realm),
        }
    }

    pub(super) fn protocol(&self, error: io::Error) -> RegistryError {
        RegistryError::Protocol {
            registry: self.registry(),
            source: Arc::new(error),
        }
    }

    /// Returns the error of a request without a response.
    pub(super) fn unanswered(&self, error: HttpError) -> RegistryError {
        let registry = self.registry();
        let error = match error {
            HttpError::Silent(after) => return self.silent(after),
            HttpError::Redirect(text) => {
                return self.protocol(io::Error::other(format!("it redirects {text}")));
            }
            HttpError::Tls(error) => return error,
            HttpError::Library(error) => error,
        };
        if is_of_certificate(&error) {
            RegistryError::Untrusted {
                registry,
                source: Arc::new(error),
            }
        } else if error.is_connect() {
            RegistryError::Unreachable {
                registry,
                source: Arc::new(error),
            }
        } else if error.is_decode() || error.is_builder() {
            RegistryError::Protocol {
                registry,
                source: Arc::new(error),
            }
        } else {
            self.broken(0, io::Error::other(error))
        }
    }

    /// Returns the error of a response with this status.
    pub(super) fn status(&self, status: u16, body: &[u8]) -> RegistryError {
        let (code, message) = explained(body);
        match (status, code.as_str()) {
            (401 | 403, _) | (_, "UNAUTHORIZED" | "DENIED") => self.unauthorized(),
            (404, _) => self.not_found(),
            (408 | 429 | 500.., _) | (_, "TOOMANYREQUESTS") => RegistryError::Failing {
                registry: self.registry(),
                status,
                message,
                after: None,
            },
            _ => RegistryError::Refused {
                registry: self.registry(),
                message: format!("status {status} {message}"),
            },
        }
    }
}

/// Returns the time after which a server may be asked again. A date, which few servers send, is
/// ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Adds this time to the error of a server that may be asked again.
pub(super) fn with_pause(mut error: RegistryError, pause: Option<Duration>) -> RegistryError {
    if let RegistryError::Failing { after, .. } = &mut error {
        *after = pause;
    }
    error
}

/// Returns the code and the message in the body of an error.
fn explained(body: &[u8]) -> (String, String) {
    let first = serde_json::from_slice(body)
        .ok()
        .and_then(|Errors { errors }| errors.into_iter().next());
    match first {
        Some(OneError { code, message }) => (brief(&code), brief(&message.unwrap_or_default())),
        None => (String::new(), brief(&String::from_utf8_lossy(body))),
    }
}

/// Returns whether the cause is a certificate that isn't trusted.
fn is_of_certificate(error: &(dyn Error + 'static)) -> bool {
    // The inner error of an I/O error is not among its sources; only the inner error's sources are.
    if let Some(held) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return is_of_certificate(held);
    }
    match error.downcast_ref::<rustls::Error>() {
        Some(error) => matches!(error, rustls::Error::InvalidCertificate(_)),
        None => error.source().is_some_and(is_of_certificate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn the_time_to_wait_is_read_in_seconds() {
        for (text, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            let after = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), after, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
