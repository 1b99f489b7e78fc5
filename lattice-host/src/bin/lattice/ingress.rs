//! The options of `lattice up` for wormholes.

use crate::failure::Failure;
use clap::Args;
use lattice_host::{
    Host, HostBuilder,
    http::{Ingress, IpNetwork, TlsFiles},
};
use std::path::PathBuf;

/// Where a host serves wormholes. It serves none by default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Wormholes")]
pub(crate) struct IngressOptions {
    /// Serves the lattice's wormholes over HTTP at this address, such as `127.0.0.1:8080`. May be
    /// repeated
    #[arg(long, value_name = "ADDRESS")]
    http: Vec<String>,
    /// Serves them over HTTPS at this address. May be repeated
    #[arg(long, value_name = "ADDRESS", requires_all = ["tls_cert", "tls_key"])]
    https: Vec<String>,
    /// File with the certificate for HTTPS and those of its issuers (PEM). It is read again when it
    /// changes
    #[arg(long, value_name = "FILE", requires_all = ["https", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// File with the certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["https", "tls_cert"])]
    tls_key: Option<PathBuf>,
    /// A domain whose subdomains lead to wormholes by the first label of their host names:
    /// `shop.example.com` leads to `shop` with `example.com`. May be repeated
    #[arg(long, value_name = "DOMAIN")]
    http_domain: Vec<String>,
    /// Addresses of proxies whose `X-Forwarded-…` headers are believed, such as `10.0.0.0/8`. May
    /// be repeated
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<IpNetwork>,
    /// Begins a trace for each request in place of going on with that of its client, except for
    /// requests from trusted proxies
    #[arg(long)]
    own_traces: bool,
}

impl IngressOptions {
    /// Checks what depends on several options.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.http.is_empty() || !self.https.is_empty() {
            return Ok(());
        }
        let unused = [
            (!self.http_domain.is_empty(), "--http-domain"),
            (!self.trusted_proxy.is_empty(), "--trusted-proxy"),
            (self.own_traces, "--own-traces"),
        ];
        match unused.into_iter().find(|(is_given, _)| *is_given) {
            None => Ok(()),
            Some((_, option)) => Err(Failure::Usage(format!(
                "{option} needs an address at which wormholes are served; give one with --http or --https"
            ))),
        }
    }

    /// Adds the addresses to a host.
    pub(crate) fn add_to(&self, builder: HostBuilder) -> HostBuilder {
        let http = self.http.iter().map(Ingress::http);
        let tls = self.tls_cert.as_ref().zip(self.tls_key.as_ref());
        let https = tls.into_iter().flat_map(|(cert, key)| {
            let files = TlsFiles::new(cert, key);
            self.https
                .iter()
                .map(move |address| Ingress::https(address, files.clone()))
        });
        http.chain(https).fold(builder, |builder, ingress| {
            let domains = self.http_domain.iter();
            let ingress = domains.fold(ingress, |ingress, domain| ingress.domain(domain));
            let mut ingress = ingress.trusted_proxies(self.trusted_proxy.iter().copied());
            if self.own_traces {
                ingress = ingress.own_traces();
            }
            builder.ingress(ingress)
        })
    }

    /// Logs where the host serves wormholes: with port 0, it has chosen the port.
    pub(crate) fn log(&self, host: &Host) {
        let schemes =
            std::iter::repeat_n("http", self.http.len()).chain(std::iter::repeat("https"));
        for (address, scheme) in host.ingress_addresses().iter().zip(schemes) {
            tracing::info!("wormholes are served at {scheme}://{address}");
        }
    }
}
