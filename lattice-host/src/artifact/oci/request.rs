//! Classifies the failures of requests.

use super::manifest::{Layer, brief};
use crate::artifact::{Credentials, ImageDigest, OciReference, RegistryError};
use oci_client::{
    Reference,
    errors::{DigestError, OciDistributionError as Failure, OciErrorCode},
    secrets::RegistryAuth,
};
use std::{error::Error, io, sync::Arc, time::Duration};

/// A request to a registry: the image and the credentials. Errors name both.
pub(super) struct Request<'a> {
    pub(super) image: &'a OciReference,
    pub(super) reference: Reference,
    pub(super) credentials: Credentials,
}

impl Request<'_> {
    fn registry(&self) -> String {
        self.image.registry().into()
    }

    pub(super) fn auth(&self) -> RegistryAuth {
        match &self.credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Basic { user, password } => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
            Credentials::Bearer { token } => RegistryAuth::Bearer(token.clone()),
        }
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

    fn unauthorized(&self) -> RegistryError {
        let (registry, repository) = (self.registry(), self.image.repository().into());
        let user = match &self.credentials {
            Credentials::Anonymous => {
                return RegistryError::CredentialsNeeded {
                    registry,
                    repository,
                };
            }
            Credentials::Basic { user, .. } => format!("`{user}`"),
            Credentials::Bearer { .. } => "the token".into(),
        };
        RegistryError::CredentialsRefused {
            registry,
            repository,
            user,
        }
    }

    pub(super) fn protocol(&self, error: io::Error) -> RegistryError {
        RegistryError::Protocol {
            registry: self.registry(),
            source: Arc::new(error),
        }
    }

    pub(super) fn failed(&self, failure: Failure) -> RegistryError {
        let registry = self.registry();
        match failure {
            Failure::UnauthorizedError { .. } | Failure::AuthenticationFailure(_) => {
                self.unauthorized()
            }
            Failure::ServerError { code, message, .. } => self.status(code, &message),
            Failure::RegistryError { envelope, .. } => {
                let first = envelope.errors.into_iter().next();
                match first.map(|error| (error.code, error.message)) {
                    Some((code, message)) => self.refused(&code, &message),
                    None => RegistryError::Refused {
                        registry,
                        message: "without a reason".into(),
                    },
                }
            }
            Failure::ImageManifestNotFoundError(_) => self.not_found(),
            Failure::RequestError(error) => match error.status() {
                Some(status) => self.status(status.as_u16(), ""),
                None if is_of_certificate(&error) => RegistryError::Untrusted {
                    registry,
                    source: Arc::new(error),
                },
                None if error.is_connect() => RegistryError::Unreachable {
                    registry,
                    source: Arc::new(error),
                },
                None if error.is_decode() || error.is_builder() || error.is_redirect() => {
                    RegistryError::Protocol {
                        registry,
                        source: Arc::new(error),
                    }
                }
                None => self.broken(0, io::Error::other(error)),
            },
            Failure::DigestError(DigestError::VerificationError { expected, actual }) => {
                match (expected.parse(), actual.parse()) {
                    (Ok(expected), Ok(found)) => self.damaged(expected, found),
                    _ => self.protocol(io::Error::other(format!(
                        "{} is not {}",
                        brief(&actual),
                        brief(&expected)
                    ))),
                }
            }
            other => RegistryError::Protocol {
                registry,
                source: Arc::new(other),
            },
        }
    }

    fn status(&self, status: u16, message: &str) -> RegistryError {
        let (registry, message) = (self.registry(), brief(message));
        match status {
            401 | 403 => self.unauthorized(),
            404 => self.not_found(),
            408 | 429 | 500.. => RegistryError::Failing {
                registry,
                status,
                message,
            },
            _ => RegistryError::Refused {
                registry,
                message: format!("status {status} {message}"),
            },
        }
    }

    /// Classifies a response by the code in its body, because the library doesn't report its
    /// status.
    fn refused(&self, code: &OciErrorCode, message: &str) -> RegistryError {
        match code {
            OciErrorCode::Unauthorized | OciErrorCode::Denied => self.unauthorized(),
            OciErrorCode::ManifestUnknown
            | OciErrorCode::ManifestBlobUnknown
            | OciErrorCode::BlobUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound => self.not_found(),
            OciErrorCode::Toomanyrequests => self.status(429, message),
            _ => RegistryError::Refused {
                registry: self.registry(),
                message: brief(message),
            },
        }
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
