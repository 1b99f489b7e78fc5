//! Errors of requests: of calls, of streams, and of wasmtime-wasi-http.

use super::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};
use lattice_core::call::{CallError, Part};
use lattice_provider_sdk::Broken;
use wasmtime_wasi_http::Error as WasiError;

/// Why a request that was sent to a component has no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The call failed.
    #[error("the call of the component that serves the request failed")]
    Call(#[from] CallError),
    /// The component answered with an error, or its response isn't valid.
    #[error("the component that serves the request answered with the error {0}")]
    Code(ErrorCode),
}

impl SendError {
    /// Returns the error as a guest gets it.
    pub(crate) fn into_code(self) -> ErrorCode {
        match self {
            Self::Call(error) => code_of_call(&error),
            Self::Code(code) => code,
        }
    }
}

/// Returns the code for a call that failed.
pub(crate) fn code_of_call(error: &CallError) -> ErrorCode {
    match error {
        CallError::NotLinked { .. } | CallError::OperatorDenied => ErrorCode::HttpRequestDenied,
        CallError::LinkRejected { .. }
        | CallError::NotExported { .. }
        | CallError::SchemaMismatch { .. } => ErrorCode::ConfigurationError,
        CallError::NotServed { .. }
        | CallError::LinkTableBehind
        | CallError::HostGone { .. }
        | CallError::Stopping { .. } => ErrorCode::DestinationUnavailable,
        CallError::Overloaded { .. } | CallError::TooManySessions { .. } => {
            ErrorCode::ConnectionLimitReached
        }
        CallError::TooLarge { what, limit } => match what {
            Part::Arguments => ErrorCode::HttpRequestHeaderSectionSize(u32::try_from(*limit).ok()),
            _ => ErrorCode::HttpResponseHeaderSectionSize(u32::try_from(*limit).ok()),
        },
        CallError::DeadlineExceeded { .. } => ErrorCode::HttpResponseTimeout,
        CallError::TooManyHops { .. } => ErrorCode::LoopDetected,
        CallError::HostLost { .. }
        | CallError::InstanceLost { .. }
        | CallError::Disconnected { .. } => ErrorCode::ConnectionTerminated,
        error => ErrorCode::InternalError(Some(error.to_string())),
    }
}

/// Returns the code for a body that broke.
pub(crate) fn code_of_broken(broken: &Broken) -> ErrorCode {
    match broken {
        Broken::Failed { reason } | Broken::InstanceLost { reason } => {
            ErrorCode::InternalError(Some(reason.to_string()))
        }
        Broken::Invalid { .. } => ErrorCode::HttpProtocolError,
        _ => ErrorCode::ConnectionTerminated,
    }
}

/// Returns the code as wasmtime-wasi-http has it.
pub(crate) fn wasi_of_code(code: ErrorCode) -> WasiError {
    use ErrorCode as C;
    use WasiError as W;
    match code {
        C::DnsTimeout => W::DnsTimeout,
        C::DnsError(DnsErrorPayload { rcode, info_code }) => W::DnsError { rcode, info_code },
        C::DestinationNotFound => W::DestinationNotFound,
        C::DestinationUnavailable => W::DestinationUnavailable,
        C::DestinationIpProhibited => W::DestinationIpProhibited,
        C::DestinationIpUnroutable => W::DestinationIpUnroutable,
        C::ConnectionRefused => W::ConnectionRefused,
        C::ConnectionTerminated => W::ConnectionTerminated,
        C::ConnectionTimeout => W::ConnectionTimeout,
        C::ConnectionReadTimeout => W::ConnectionReadTimeout,
        C::ConnectionWriteTimeout => W::ConnectionWriteTimeout,
        C::ConnectionLimitReached => W::ConnectionLimitReached,
        C::TlsProtocolError => W::TlsProtocolError,
        C::TlsCertificateError => W::TlsCertificateError,
        C::TlsAlertReceived(alert) => W::TlsAlertReceived {
            alert_id: alert.alert_id,
            alert_message: alert.alert_message,
        },
        C::HttpRequestDenied => W::HttpRequestDenied,
        C::HttpRequestLengthRequired => W::HttpRequestLengthRequired,
        C::HttpRequestBodySize(size) => W::HttpRequestBodySize(size),
        C::HttpRequestMethodInvalid => W::HttpRequestMethodInvalid,
        C::HttpRequestUriInvalid => W::HttpRequestUriInvalid,
        C::HttpRequestUriTooLong => W::HttpRequestUriTooLong,
        C::HttpRequestHeaderSectionSize(size) => W::HttpRequestHeaderSectionSize(size),
        C::HttpRequestHeaderSize(field) => {
            let (field_name, field_size) = field_of(field);
            W::HttpRequestHeaderSize {
                field_name,
                field_size,
            }
        }
        C::HttpRequestTrailerSectionSize(size) => W::HttpRequestTrailerSectionSize(size),
        C::HttpRequestTrailerSize(field) => {
            let (field_name, field_size) = field_of(Some(field));
            W::HttpRequestTrailerSize {
                field_name,
                field_size,
            }
        }
        code => wasi_of_response_code(code),
    }
}

fn wasi_of_response_code(code: ErrorCode) -> WasiError {
    use ErrorCode as C;
    use WasiError as W;
    match code {
        C::HttpResponseIncomplete => W::HttpResponseIncomplete,
        C::HttpResponseHeaderSectionSize(size) => W::HttpResponseHeaderSectionSize(size),
        C::HttpResponseHeaderSize(field) => {
            let (field_name, field_size) = field_of(Some(field));
            W::HttpResponseHeaderSize {
                field_name,
                field_size,
            }
        }
        C::HttpResponseBodySize(size) => W::HttpResponseBodySize(size),
        C::HttpResponseTrailerSectionSize(size) => W::HttpResponseTrailerSectionSize(size),
        C::HttpResponseTrailerSize(field) => {
            let (field_name, field_size) = field_of(Some(field));
            W::HttpResponseTrailerSize {
                field_name,
                field_size,
            }
        }
        C::HttpResponseTransferCoding(coding) => W::HttpResponseTransferCoding(coding),
        C::HttpResponseContentCoding(coding) => W::HttpResponseContentCoding(coding),
        C::HttpResponseTimeout => W::HttpResponseTimeout,
        C::HttpUpgradeFailed => W::HttpUpgradeFailed,
        C::HttpProtocolError => W::HttpProtocolError,
        C::LoopDetected => W::LoopDetected,
        C::ConfigurationError => W::ConfigurationError,
        C::InternalError(reason) => W::InternalError(reason),
        other => W::InternalError(Some(other.to_string())),
    }
}

fn field_of(field: Option<FieldSizePayload>) -> (Option<String>, Option<u32>) {
    field.map_or((None, None), |field| (field.field_name, field.field_size))
}

/// Returns the code for an error of wasmtime-wasi-http.
pub(crate) fn code_of_wasi(error: WasiError) -> ErrorCode {
    use ErrorCode as C;
    use WasiError as W;
    match error {
        W::Hyper(error) => C::InternalError(Some(error.to_string())),
        W::Connect(error) => C::InternalError(Some(error.to_string())),
        W::Tls(_) | W::TlsProtocolError => C::TlsProtocolError,
        W::DnsTimeout => C::DnsTimeout,
        W::DnsError { rcode, info_code } => C::DnsError(DnsErrorPayload { rcode, info_code }),
        W::DestinationNotFound => C::DestinationNotFound,
        W::DestinationUnavailable => C::DestinationUnavailable,
        W::DestinationIpProhibited => C::DestinationIpProhibited,
        W::DestinationIpUnroutable => C::DestinationIpUnroutable,
        W::ConnectionRefused => C::ConnectionRefused,
        W::ConnectionTerminated => C::ConnectionTerminated,
        W::ConnectionTimeout => C::ConnectionTimeout,
        W::ConnectionReadTimeout => C::ConnectionReadTimeout,
        W::ConnectionWriteTimeout => C::ConnectionWriteTimeout,
        W::ConnectionLimitReached => C::ConnectionLimitReached,
        W::TlsCertificateError => C::TlsCertificateError,
        W::TlsAlertReceived {
            alert_id,
            alert_message,
        } => C::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id,
            alert_message,
        }),
        W::HttpRequestDenied => C::HttpRequestDenied,
        W::HttpRequestLengthRequired => C::HttpRequestLengthRequired,
        W::HttpRequestBodySize(size) => C::HttpRequestBodySize(size),
        W::HttpRequestMethodInvalid => C::HttpRequestMethodInvalid,
        W::HttpRequestUriInvalid => C::HttpRequestUriInvalid,
        W::HttpRequestUriTooLong => C::HttpRequestUriTooLong,
        W::HttpRequestHeaderSectionSize(size) => C::HttpRequestHeaderSectionSize(size),
        W::HttpRequestHeaderSize {
            field_name,
            field_size,
        } => C::HttpRequestHeaderSize(Some(FieldSizePayload {
            field_name,
            field_size,
        })),
        W::HttpRequestTrailerSectionSize(size) => C::HttpRequestTrailerSectionSize(size),
        W::HttpRequestTrailerSize {
            field_name,
            field_size,
        } => C::HttpRequestTrailerSize(FieldSizePayload {
            field_name,
            field_size,
        }),
        error => code_of_wasi_response(error),
    }
}

fn code_of_wasi_response(error: WasiError) -> ErrorCode {
    use ErrorCode as C;
    use WasiError as W;
    match error {
        W::HttpResponseIncomplete => C::HttpResponseIncomplete,
        W::HttpResponseHeaderSectionSize(size) => C::HttpResponseHeaderSectionSize(size),
        W::HttpResponseHeaderSize {
            field_name,
            field_size,
        } => C::HttpResponseHeaderSize(FieldSizePayload {
            field_name,
            field_size,
        }),
        W::HttpResponseBodySize(size) => C::HttpResponseBodySize(size),
        W::HttpResponseTrailerSectionSize(size) => C::HttpResponseTrailerSectionSize(size),
        W::HttpResponseTrailerSize {
            field_name,
            field_size,
        } => C::HttpResponseTrailerSize(FieldSizePayload {
            field_name,
            field_size,
        }),
        W::HttpResponseTransferCoding(coding) => C::HttpResponseTransferCoding(coding),
        W::HttpResponseContentCoding(coding) => C::HttpResponseContentCoding(coding),
        W::HttpResponseTimeout => C::HttpResponseTimeout,
        W::HttpUpgradeFailed => C::HttpUpgradeFailed,
        W::HttpProtocolError => C::HttpProtocolError,
        W::LoopDetected => C::LoopDetected,
        W::ConfigurationError => C::ConfigurationError,
        W::InternalError(reason) => C::InternalError(reason),
        other => C::InternalError(Some(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::name::ComponentId;

    fn all() -> Vec<ErrorCode> {
        use ErrorCode as C;
        let field = || FieldSizePayload {
            field_name: Some("x".to_owned()),
            field_size: Some(7),
        };
        vec![
            C::DnsTimeout,
            C::DnsError(DnsErrorPayload {
                rcode: Some("x".to_owned()),
                info_code: Some(1),
            }),
            C::DestinationNotFound,
            C::DestinationUnavailable,
            C::DestinationIpProhibited,
            C::DestinationIpUnroutable,
            C::ConnectionRefused,
            C::ConnectionTerminated,
            C::ConnectionTimeout,
            C::ConnectionReadTimeout,
            C::ConnectionWriteTimeout,
            C::ConnectionLimitReached,
            C::TlsProtocolError,
            C::TlsCertificateError,
            C::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some(1),
                alert_message: Some("x".to_owned()),
            }),
            C::HttpRequestDenied,
            C::HttpRequestLengthRequired,
            C::HttpRequestBodySize(Some(1)),
            C::HttpRequestMethodInvalid,
            C::HttpRequestUriInvalid,
            C::HttpRequestUriTooLong,
            C::HttpRequestHeaderSectionSize(Some(1)),
            C::HttpRequestHeaderSize(Some(field())),
            C::HttpRequestTrailerSectionSize(Some(1)),
            C::HttpRequestTrailerSize(field()),
            C::HttpResponseIncomplete,
            C::HttpResponseHeaderSectionSize(Some(1)),
            C::HttpResponseHeaderSize(field()),
            C::HttpResponseBodySize(Some(1)),
            C::HttpResponseTrailerSectionSize(Some(1)),
            C::HttpResponseTrailerSize(field()),
            C::HttpResponseTransferCoding(Some("x".to_owned())),
            C::HttpResponseContentCoding(Some("x".to_owned())),
            C::HttpResponseTimeout,
            C::HttpUpgradeFailed,
            C::HttpProtocolError,
            C::LoopDetected,
            C::ConfigurationError,
            C::InternalError(Some("x".to_owned())),
        ]
    }

    /// The bytes are those of the WIT, in which the cases have the order of `wasi:http`.
    #[test]
    fn every_code_is_kept_and_has_its_number() {
        for (number, code) in all().into_iter().enumerate() {
            let bytes = lattice_core::value::to_bytes(&code).expect("encodes");
            assert_eq!(usize::from(bytes[0]), number, "{code}");
            assert_eq!(code_of_wasi(wasi_of_code(code.clone())), code);
        }
    }

    #[test]
    fn calls_that_fail_have_the_code_that_fits() {
        let component = ComponentId::new("a").expect("an id");
        let code = |error| code_of_call(&error);
        let served = CallError::NotServed {
            component: component.clone(),
        };
        assert_eq!(code(served), ErrorCode::DestinationUnavailable);
        let full = CallError::Overloaded { component };
        assert_eq!(code(full), ErrorCode::ConnectionLimitReached);
        let hops = CallError::TooManyHops { limit: 32 };
        assert_eq!(code(hops), ErrorCode::LoopDetected);
        let failed = CallError::CalleeFailed {
            reason: "it trapped".to_owned(),
        };
        let ErrorCode::InternalError(Some(reason)) = code(failed) else {
            panic!("it isn't an internal error");
        };
        assert!(reason.contains("it trapped"), "{reason}");
    }
}
