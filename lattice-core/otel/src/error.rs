//! Errors of setting telemetry up, and of ending it.

use std::{io, time::Duration};

/// Telemetry could not be set up. The program can go on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The process has a tracer or a global subscriber.
    #[error(
        "this process already has telemetry or another global subscriber; install it once, at the start of the program, or add its layer to the subscriber that there is"
    )]
    AlreadyInstalled,
    /// The share of sampled traces isn't one.
    #[error("{0} isn't a share of traces; use a number from 0 (none) to 1 (all)")]
    NoShare(f64),
    /// The endpoint isn't a URL of HTTP.
    #[error(
        "`{url}` isn't the address of a collector; write one like `http://localhost:4318`, with `http` or `https`"
    )]
    Endpoint {
        /// The address.
        url: String,
    },
    /// A variable has a value that can't be used.
    #[error("the variable {name} is `{value}`; it takes {expected}")]
    Variable {
        /// The name of the variable.
        name: String,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A variable with headers for the collector has one that can't be sent.
    #[error(
        "header {place} in the variable {variable} can't be sent; write headers as `name=value`, separated by commas, of printable ASCII, with `%` and two digits for what has a meaning there"
    )]
    Header {
        /// The name of the variable.
        variable: String,
        /// Which of its headers it is, from 1 on.
        place: usize,
    },
    /// The collector is reached by HTTPS, and this machine has no certificates of authorities.
    #[error(
        "this machine has no certificates of authorities, which HTTPS needs; install `ca-certificates`, or use an `http` address"
    )]
    NoRoots,
    /// The HTTP client could not be created.
    #[error("the HTTP client for the collector could not be created; check its TLS settings")]
    NoClient(#[source] reqwest::Error),
    /// The thread that sends could not be started.
    #[error("no thread could be started to send telemetry; raise the limit of threads")]
    NoThread(#[source] io::Error),
    /// The exporter of a signal could not be created.
    #[error(
        "the exporter could not be created: {reason}; check the variables that start with OTEL_EXPORTER_OTLP"
    )]
    Exporter {
        /// The exporter's reason.
        reason: String,
    },
}

impl InstallError {
    pub(crate) fn variable(name: &str, value: &str, expected: &'static str) -> Self {
        Self::Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }

    pub(crate) fn exporter(error: &opentelemetry_otlp::ExporterBuildError) -> Self {
        Self::Exporter {
            reason: error.to_string(),
        }
    }
}

/// Some telemetry was not sent when it should have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnsentError {
    /// The time was up before everything was sent.
    #[error(
        "not all telemetry was sent within {0:?}; allow more time, or check that the collector is up"
    )]
    Late(Duration),
    /// The collector didn't take it.
    #[error("the latest telemetry was not sent, and is lost: {0}; check that the collector is up")]
    NotSent(String),
}
