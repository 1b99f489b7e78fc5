//! From what went wrong to the error that the sender of the request gets.

use super::{body::Aborted, connect::ConnectError};
use crate::http::exchange::{DnsErrorPayload, ErrorCode, TlsAlertReceivedPayload};
use lattice_core::error::chain;
use std::{error::Error, io};

/// Why a request has no response.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// For the sender.
    pub(super) code: ErrorCode,
    /// For the log.
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        Self::new(code_of(error), chain(error))
    }

    /// Returns whether the link's config doesn't let the request go where it should.
    pub(super) fn is_denied(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited
        )
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        let reason = format!("the request can't be sent: {code}");
        Self { code, reason }
    }
}

/// Returns the code for an error of the body of a response.
pub(super) fn code_of_body(error: &hyper::Error) -> ErrorCode {
    if error.is_incomplete_message() {
        return ErrorCode::HttpResponseIncomplete;
    }
    match code_of(error) {
        ErrorCode::ConnectionTerminated => ErrorCode::HttpResponseIncomplete,
        code => code,
    }
}

/// Returns the code for an error of the client, by the most exact one of its causes.
fn code_of(error: &(dyn Error + 'static)) -> ErrorCode {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| cause(*error)).collect();
    let by = |code: fn(&(dyn Error + 'static)) -> Option<ErrorCode>| {
        causes.iter().find_map(|cause| code(*cause))
    };
    by(of_ours)
        .or_else(|| by(of_hyper))
        .or_else(|| by(of_io))
        .unwrap_or(ErrorCode::HttpProtocolError)
}

/// Returns the next cause. `io::Error` leaves out the error that it contains.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        let inner = error.get_ref()?;
        return Some(inner);
    }
    error.source()
}

fn of_ours(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    if let Some(Aborted(code)) = error.downcast_ref() {
        return Some(code.clone());
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_connect(error));
    }
    error.downcast_ref().map(of_tls)
}

fn of_connect(error: &ConnectError) -> ErrorCode {
    match error {
        ConnectError::Uri(..) => ErrorCode::HttpRequestUriInvalid,
        ConnectError::NotAllowed(_) => ErrorCode::HttpRequestDenied,
        ConnectError::Limit(_) => ErrorCode::ConnectionLimitReached,
        ConnectError::Dns { .. } => ErrorCode::DnsError(DnsErrorPayload {
            rcode: None,
            info_code: None,
        }),
        ConnectError::DnsTimeout(_) => ErrorCode::DnsTimeout,
        ConnectError::NoAddress(_) => ErrorCode::DestinationNotFound,
        ConnectError::Prohibited { .. } => ErrorCode::DestinationIpProhibited,
        ConnectError::Timeout(_) | ConnectError::TlsTimeout => ErrorCode::ConnectionTimeout,
        ConnectError::Tcp { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
            io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                ErrorCode::DestinationIpUnroutable
            }
            _ => ErrorCode::DestinationUnavailable,
        },
    }
}

fn of_tls(error: &rustls::Error) -> ErrorCode {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            ErrorCode::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => {
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some(u8::from(*alert)),
                alert_message: Some(format!("{alert:?}")),
            })
        }
        _ => ErrorCode::TlsProtocolError,
    }
}

fn of_hyper(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        return Some(ErrorCode::HttpResponseHeaderSectionSize(None));
    }
    if error.is_parse() {
        return Some(ErrorCode::HttpProtocolError);
    }
    if error.is_timeout() {
        return Some(ErrorCode::ConnectionReadTimeout);
    }
    let is_gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    is_gone.then_some(ErrorCode::ConnectionTerminated)
}

fn of_io(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    match error.downcast_ref::<io::Error>()?.kind() {
        // Reading has no timeout of its own.
        io::ErrorKind::TimedOut => Some(ErrorCode::ConnectionWriteTimeout),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(ErrorCode::ConnectionTerminated),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::outgoing::target::Host;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Box<dyn Error + Send + Sync>);

    fn code(error: impl Into<Box<dyn Error + Send + Sync>>) -> ErrorCode {
        Failure::of(&Outer(error.into())).code
    }

    #[test]
    fn the_most_exact_cause_counts() {
        let host = || Host::Name("a.example".to_owned());
        assert_eq!(
            code(ConnectError::DnsTimeout(host())),
            ErrorCode::DnsTimeout
        );
        let aborted = io::Error::other(Aborted(ErrorCode::HttpRequestBodySize(Some(3))));
        assert_eq!(code(aborted), ErrorCode::HttpRequestBodySize(Some(3)));
        let tls = |error| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(code(tls(expired)), ErrorCode::TlsCertificateError);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied);
        assert_eq!(
            code(tls(alert)),
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some(49),
                alert_message: Some("AccessDenied".to_owned()),
            })
        );
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(code(reset), ErrorCode::ConnectionTerminated);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(code(late), ErrorCode::ConnectionWriteTimeout);
        assert_eq!(code("anything else"), ErrorCode::HttpProtocolError);
    }
}
