//! Adds options that may help to errors of connecting.

use crate::failure::Failure;
use lattice_core::{
    ConnectError,
    nats::{ConnectError as NatsError, OpenError},
};

/// Returns the failure, with the options that may help, and with the option or variable of the
/// servers if they are wrong.
pub(super) fn with_options(error: ConnectError, named_by: Option<&str>) -> Failure {
    let options = options(&error);
    let is_url = matches!(error, ConnectError::Nats(NatsError::BadUrl { .. }));
    let failure = Failure::from(error);
    let failure = match named_by {
        Some(named_by) if is_url => failure.in_front(&format!("{named_by}: ")),
        _ => failure,
    };
    match options {
        Some(options) => failure.behind(&format!("\n  options: {options}")),
        None => failure,
    }
}

fn options(error: &ConnectError) -> Option<&'static str> {
    match error {
        ConnectError::Nats(error) => nats(error),
        ConnectError::Open(OpenError::NeedsSize) => Some("--store-max-bytes SIZE"),
        ConnectError::Open(OpenError::Limit { .. }) => {
            Some("--store-max-bytes SIZE, --store-replicas COUNT")
        }
        ConnectError::Open(OpenError::Refused { reason }) if reason.contains("inbox") => {
            Some("--nats-inbox-prefix PREFIX")
        }
        // Its server may be away.
        ConnectError::Open(OpenError::NoSuchDomain { .. }) => Some(
            "--jetstream-domain NAME; --snapshot FILE lets `lattice up` and `lattice call` start from what an earlier run with it has seen",
        ),
        ConnectError::Open(OpenError::InvalidDomain { .. }) => Some("--jetstream-domain NAME"),
        ConnectError::Open(OpenError::Unavailable { .. }) => Some(
            "--snapshot FILE lets `lattice up` and `lattice call` start from the store's contents at an earlier run",
        ),
        _ => None,
    }
}

fn nats(error: &NatsError) -> Option<&'static str> {
    match error {
        NatsError::LoginRefused { .. } => Some(
            "--creds FILE, --nats-token-file FILE, --nats-nkey-file FILE, or nats://user:password@host:4222 for --nats",
        ),
        NatsError::BadNkeySeed => Some("--nats-nkey-file FILE"),
        NatsError::Tls { .. } => Some(
            "--nats-ca FILE trusts the authority of the server's certificate; --nats-cert FILE and --nats-cert-key FILE send a client certificate",
        ),
        NatsError::HungUp { .. } => Some(
            "--nats-tls-first for a server with `handshake_first`, tls://host:4222 for --nats, --nats-cert FILE and --nats-cert-key FILE for a client certificate",
        ),
        NatsError::TimedOut { .. } => Some("--connect-timeout TIME, and --nats-tls-first"),
        NatsError::BadInboxPrefix { .. } => Some("--nats-inbox-prefix PREFIX"),
        _ => None,
    }
}
