//! HTTP with bounds: on the time without a response, on bodies, and on redirects.

use crate::artifact::{RegistryError, settings::Settings};
use bytes::{Bytes, BytesMut};
use reqwest::{
    Certificate, Client, Method, Response, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::{io, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// A larger body than this may take longer to send than a server may be silent.
const LARGE: usize = 64 << 10;

/// The byte order mark, which some editors write at the start of a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Sends requests. Redirects are followed here and not by the library, so that credentials never
/// go to another server.
pub(super) struct Http {
    plain: Client,
    /// The client for HTTPS, or the reason that this host can't have one.
    tls: Result<Client, RegistryError>,
    silence: Duration,
}

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The server that may get the credentials, which isn't always the one that is called: a
    /// registry chooses where uploads go.
    pub(super) owner: Url,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// Why a request has no response.
#[derive(Debug)]
pub(super) enum HttpError {
    /// The server sent nothing for this long.
    Silent(Duration),
    /// The library failed.
    Library(reqwest::Error),
    /// The server redirects to a URL that isn't followed.
    Redirect(String),
    /// This host can't do HTTPS.
    Tls(RegistryError),
}

impl HttpError {
    /// The URL is left out, because the query of a URL to which a registry redirects may contain a
    /// signature.
    fn library(error: reqwest::Error) -> Self {
        Self::Library(error.without_url())
    }
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            owner: url.clone(),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }
}

impl Http {
    /// Creates the clients. Reads this host's certificates, which takes a few milliseconds.
    pub(super) fn new(settings: &Settings) -> Result<Self, RegistryError> {
        // This fails when the program has installed another provider, which then stays in use.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = Vec::new();
        for pem in &settings.roots {
            roots.extend(certificates(pem)?);
        }
        let builder = || {
            Client::builder()
                .connect_timeout(settings.connect)
                .redirect(Policy::none())
                .user_agent(concat!("lattice/", env!("CARGO_PKG_VERSION")))
        };
        let none: [Certificate; 0] = [];
        let plain = builder()
            .tls_certs_only(none)
            .build()
            .map_err(not_created)?;
        let is_without_roots = rustls_native_certs::load_native_certs().certs.is_empty();
        let tls = match (is_without_roots, roots.is_empty()) {
            (true, true) => Err(RegistryError::NoRoots),
            // The library panics when it looks for this host's certificates and there are none.
            (true, false) => builder().tls_certs_only(roots).build().map_err(not_created),
            (false, _) => builder()
                .tls_certs_merge(roots)
                .build()
                .map_err(not_created),
        };
        Ok(Self {
            plain,
            tls,
            silence: settings.silence,
        })
    }

    /// Sends a request with these credentials, and returns the head of the response. Only `GET` and
    /// `HEAD` follow redirects. Credentials are not sent to another server, and a redirect from
    /// HTTPS to plain HTTP is refused.
    pub(super) async fn send(
        &self,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, HttpError> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let own = authorization.filter(|_| url.origin() == call.owner.origin());
            let response = self.send_once(call, url.clone(), own).await?;
            let follows = matches!(call.method, Method::GET | Method::HEAD)
                && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else {
                return Ok(response);
            };
            let next = location.to_str().ok().and_then(|to| url.join(to).ok());
            let next = next.ok_or_else(|| HttpError::Redirect("to nowhere".to_owned()))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                let text = "from HTTPS to a place that is not HTTPS".to_owned();
                return Err(HttpError::Redirect(text));
            }
            url = next;
        }
        let text = format!("more than {MAX_REDIRECTS} times");
        Err(HttpError::Redirect(text))
    }

    async fn send_once(
        &self,
        call: &Call,
        url: Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, HttpError> {
        let client = match url.scheme() {
            "https" => self
                .tls
                .as_ref()
                .map_err(|error| HttpError::Tls(error.clone()))?,
            _ => &self.plain,
        };
        let mut request = client
            .request(call.method.clone(), url)
            .headers(call.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let body = call.body.clone().unwrap_or_default();
        let is_large = body.len() > LARGE;
        if call.body.is_some() {
            request = request.body(body);
        }
        let sending = request.send();
        if is_large {
            // The upload time doesn't show whether the server is silent, so this has no timeout.
            // The caller has a deadline.
            return sending.await.map_err(HttpError::library);
        }
        timeout(self.silence, sending)
            .await
            .map_err(|_| HttpError::Silent(self.silence))?
            .map_err(HttpError::library)
    }

    /// Reads a body, and at most one byte more than `limit`, which shows that it is longer.
    pub(super) async fn body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Bytes, HttpError> {
        let mut body = BytesMut::new();
        let most = limit.saturating_add(1);
        while body.len() < most {
            let chunk = timeout(self.silence, response.chunk()).await;
            let chunk = chunk.map_err(|_| HttpError::Silent(self.silence))?;
            let Some(chunk) = chunk.map_err(HttpError::library)? else {
                break;
            };
            let room = most - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        }
        Ok(body.freeze())
    }
}

fn not_created(error: reqwest::Error) -> RegistryError {
    RegistryError::Client {
        source: Arc::new(error),
    }
}

/// Parses the certificates in a PEM file. Fails when there are none.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, RegistryError> {
    let refused = |error: io::Error| RegistryError::Client {
        source: Arc::new(error),
    };
    // The parser would not recognize the first block behind the mark.
    let pem = pem.strip_prefix(MARK).unwrap_or(pem);
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    // The parser's own messages repeat a line of the file, which may be that of a key.
    let read = match read {
        Ok(read) if read.is_empty() => Err("no `BEGIN CERTIFICATE` block was found"),
        Ok(read) => Ok(read),
        Err(_) => Err("a block is damaged, or its line breaks were lost"),
    };
    let read = read.map_err(|reason| refused(io::Error::other(reason)))?;
    let certificate = |der: &CertificateDer<'_>| {
        Certificate::from_der(der).map_err(|error| refused(io::Error::other(error)))
    };
    read.iter().map(certificate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::error::chain;

    #[test]
    fn certificates_of_every_editor_are_read() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["r.example".to_owned()]);
        let params = params.expect("parameters");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        for text in [
            pem.clone(),
            format!("\u{feff}{pem}"),
            format!("\u{feff}{}", pem.replace('\n', "\r\n")),
        ] {
            let read = certificates(text.as_bytes());
            assert_eq!(read.map(|read| read.len()).ok(), Some(1), "{text}");
        }
    }

    #[test]
    fn no_line_of_a_wrong_file_is_repeated() {
        let secret = "SECRET".repeat(10);
        for text in [
            format!("-----BEGIN PRIVATE KEY-----{secret}-----END PRIVATE KEY-----"),
            format!("-----BEGIN PRIVATE KEY {secret}"),
            secret,
        ] {
            let error = certificates(text.as_bytes()).expect_err("not a certificate");
            let message = format!("{} {error:?}", chain(&error));
            for part in ["SECRET", "83, 69, 67, 82"] {
                assert!(!message.contains(part), "{message}");
            }
        }
    }
}
