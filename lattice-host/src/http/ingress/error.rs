//! Why an ingress can't be opened.

use std::{io, path::PathBuf};

/// Why an address for requests could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngressError {
    /// Another program, or another ingress, listens there.
    #[error(
        "`{address}` is in use by another program; stop that, or choose another address, or port 0 for any free one"
    )]
    InUse {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// This process may not listen there.
    #[error(
        "this process may not listen on `{address}`; choose a port from 1024 on, or give it the right to bind lower ones"
    )]
    NotPermitted {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// It isn't an address of this machine.
    #[error(
        "`{address}` is not an address of this machine; use one of its own, or `0.0.0.0` or `[::]` for all of them"
    )]
    NotLocal {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// It isn't an address.
    #[error("`{address}` is not an address; write a host and a port, such as `127.0.0.1:8080`")]
    Address {
        /// What was given.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// The address could not be opened for another reason.
    #[error("`{address}` can't be listened on; check the network settings of this machine")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// A base domain isn't a host name.
    #[error("`{domain}` is not a base domain; write a host name, such as `example.com`")]
    Domain {
        /// What was given.
        domain: String,
    },
    /// A certificate or a key can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS can't be set up.
    #[error("TLS can't be set up for `{address}`; this build of rustls lacks what it needs")]
    Tls {
        /// The address.
        address: String,
        /// The cause.
        source: rustls::Error,
    },
}

/// Why a certificate with its key can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file can't be read.
    #[error("`{}` can't be read; check that it exists and that this process may read it", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has no certificate.
    #[error("`{}` has no certificate; it must have one in PEM (`BEGIN CERTIFICATE`)", .file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A file has no private key.
    #[error(
        "`{}` has no private key that can be read; it must have one in PEM, without a password (`BEGIN PRIVATE KEY`)",
        .file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Certificate and key can't be used together.
    #[error(
        "the certificate in `{}` can't be used with the key in `{}`; check that they belong together",
        .certificate.display(), .key.display()
    )]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// A host name for a certificate isn't one.
    #[error(
        "`{name}` is not a host name for a certificate; write one such as `shop.example` or `*.example`"
    )]
    Name {
        /// What was given.
        name: String,
    },
}

impl IngressError {
    /// Sorts the error of opening an address.
    pub(in crate::http) fn of_listening(address: &str, source: io::Error) -> Self {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, source },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address, source },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { address, source },
            io::ErrorKind::InvalidInput => Self::Address { address, source },
            _ => Self::Listen { address, source },
        }
    }
}
