//! Why the page can't be served.

use std::{io, net::SocketAddr};

/// Why the page can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UiError {
    /// Other machines could reach the address, and nothing was said that they may.
    #[error(
        "the page is not served at {address}, because other machines can reach it there; use an address of this machine alone, such as `127.0.0.1:{port}`, or allow it with `Ui::any_address` (`--ui-public` of the command `lattice`) behind something that speaks TLS",
        port = .address.port()
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address can't be listened at.
    #[error("can't listen at {address}; choose another port, or 0 for any that is free")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The given token is too short, too long, or has characters that don't fit into an address.
    #[error(
        "the token of the page isn't usable; give 16 to 256 letters, digits, `-`, `_`, `.` and `~`, or none, so that a random one is made"
    )]
    BadToken,
    /// The given host name isn't a name that a browser could ask for.
    #[error(
        "`{name}` isn't a host name for the page; give it as it is in the browser's address, without a scheme and a port"
    )]
    BadHostName {
        /// The name.
        name: String,
    },
    /// The operating system gives no random bytes for a token.
    #[error("the operating system gives no random bytes ({reason}); start the page again")]
    NoRandomness {
        /// What it says.
        reason: String,
    },
}
