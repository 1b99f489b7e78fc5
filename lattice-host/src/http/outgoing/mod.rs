//! Requests that leave the lattice.
//!
//! [`OutgoingHttp`] is the provider to which a link leads that lets a component make requests to
//! the web. Without such a link there is no way out. It serves `wasi:http/outgoing-handler@0.2`,
//! `wasi:http/client@0.3` and `lattice:http/handler@0.1`.
//!
//! ```toml
//! [providers.web]
//! builtin = "http"
//!
//! [[links]]
//! from = "shop"
//! to = "web"
//! interface = "wasi:http/outgoing-handler@0.2.0"
//! config = { allow = ["https://api.example.com"] }
//! ```
//!
//! # The config of a link
//!
//! | field | meaning | default |
//! | --- | --- | --- |
//! | `allow` | the hosts to which the link leads, see below | none: the link is refused |
//! | `private` | whether names may have, and entries be, addresses of private networks | `false` |
//! | `http2` | whether HTTP/2 is used with servers that speak it over TLS | `true` |
//! | `connections` | the most connections to one scheme, host and port | 32 |
//! | `connect-timeout-ms` | until there is a connection, with the time until one is free | 10,000 |
//! | `first-byte-timeout-ms` | from then, or from the last part of the request's body that was sent, until the head of the response | 30,000 |
//! | `between-bytes-timeout-ms` | between two parts of the response's body, and until a part of the request can be sent | 30,000 |
//!
//! Certificates are trusted for all links of a provider: those of the system, or those of the file
//! that its settings name as `ca-file` ([`OutgoingSettings`]). An app may name only files that its
//! host allows ([`provider_access`](crate::HostBuilder::provider_access)).
//!
//! A field `authorities` is not for the provider: with it, a component that has several links for
//! one interface chooses among them.
//!
//! Guests can shorten the timeouts and not lengthen them. The deadline of the call counts as well.
//!
//! | entry of `allow` | leads to |
//! | --- | --- |
//! | `https://api.example.com` | that host, by HTTPS, on port 443 |
//! | `http://api.example.com:8080` | that host, by plain HTTP, on that port |
//! | `api.example.com` | that host, by both, on ports 443 and 80 |
//! | `api.example.com:8080` | that host, by both, on that port |
//! | `*.example.com` | all names under `example.com`, not `example.com` itself |
//! | `[2606:4700::1111]:8080`, `1.1.1.1` | that address |
//! | `*`, `https://*`, `*:443` | every host, on every port unless there is one |
//!
//! Hosts are compared in one form: lower case, without a dot at the end, international names in
//! ASCII (`xn--…`), addresses in their usual notation. Redirects aren't followed: a guest that
//! follows one makes another request, which is checked as well.
//!
//! # Addresses
//!
//! A name may resolve to anything, and to something else the next time. So each address is checked
//! right before it is connected to, whatever entry let the request pass.
//!
//! | addresses | are reached |
//! | --- | --- |
//! | public ones | always |
//! | of private networks (`10/8`, `172.16/12`, `192.168/16`, `100.64/10`, `fc00::/7`) | with `private` |
//! | of the host itself (`127/8`, `::1`) | with `private`, if `allow` has the host of the request itself: `localhost`, or such an address. Patterns and other names don't suffice |
//! | all others: unspecified, link-local, multicast, broadcast, reserved, for documentation, metadata services, IPv4 in IPv6 | never |
//!
//! Of a name with several addresses, only those that may be reached are tried. Names are whole: the
//! search domains of the machine aren't tried. A name in its file of hosts has the addresses there.
//!
//! # What is sent
//!
//! Headers that belong to a connection are removed, also those that `connection` names, and `host`
//! is set from the URI. `CONNECT`, WebSocket and other upgrades are refused. Bodies and trailers
//! pass through as they come, both ways. A body of a request that breaks aborts the request, and a
//! body of a response that breaks never looks complete. Over HTTP/1.1, trailers of a request are
//! sent if a header `trailer` names them.
//!
//! A response has at most 100 headers over HTTP/1.1, and 128 KiB of them. A link has at most 1,024
//! connections in all. Connections of one link aren't used by others, and idle ones are closed
//! after 30 s.

mod address;
mod allow;
mod body;
mod config;
mod connect;
mod failure;
mod head;
mod hosts_file;
mod permits;
mod pool;
mod provider;
mod resolve;
mod roots;
mod socket;
mod target;
mod tasks;
#[cfg(test)]
mod tests;
mod timeouts;
mod warnings;

pub use provider::{OutgoingHttp, OutgoingSettings};
