//! Servers of tests, on loopback addresses.

use crate::certificates::Identity;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls};

pub(super) type Body = BoxBody<Bytes, io::Error>;

/// A server that stops when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    /// Returns how many connections were made to it.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Returns `http://address` with a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves each connection with `serve`.
    pub(super) async fn on_each<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let address = listener.local_addr().expect("bound");
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = accepted.clone();
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream));
            }
        });
        Self {
            address,
            accepted,
            serving,
        }
    }

    /// Answers each request with `respond`.
    pub(super) async fn http<F>(
        respond: impl Fn(http::Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = http::Response<Body>> + Send + 'static,
    {
        Self::on_each(move |stream| serve(stream, respond.clone())).await
    }

    /// Answers each request over TLS, by the protocol that both sides prefer.
    pub(super) async fn https<F>(
        identity: &Identity,
        protocols: &[&[u8]],
        respond: impl Fn(http::Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = http::Response<Body>> + Send + 'static,
    {
        let acceptor = acceptor(identity, protocols);
        let serve_tls = move |stream| {
            let (acceptor, respond) = (acceptor.clone(), respond.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, respond).await;
                }
            }
        };
        Self::on_each(serve_tls).await
    }

    /// Reads the head of a request on each connection, sends these bytes, and closes it.
    pub(super) async fn raw(response: impl Into<Bytes>) -> Self {
        let response = response.into();
        Self::on_each(move |mut stream| {
            let response = response.clone();
            async move {
                if head(&mut stream).await.is_some() {
                    let _ = stream.write_all(&response).await;
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await
    }
}

/// Reads until the end of a head, and returns it as text. `None` if the connection ends before.
pub(super) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(read).ok()
}

async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    respond: impl Fn(http::Request<Incoming>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = http::Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| {
        let response = respond(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // A client that goes away is no failure of a test.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn acceptor(identity: &Identity, protocols: &[&[u8]]) -> TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let pem = identity.certificate.as_bytes();
    let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let mut config = config.expect("they belong together");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A response with this text.
pub(super) fn text(text: impl Into<Bytes>) -> http::Response<Body> {
    let body = Full::new(text.into()).map_err(|never| match never {});
    http::Response::new(body.boxed())
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}
