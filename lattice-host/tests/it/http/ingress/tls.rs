//! TLS: certificates by host name, and files that change.

use super::{
    requests::AnyBody,
    scene::{SITE, Scene},
    wire::{PATIENCE, Wire, within},
};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lattice_host::http::{Ingress, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A certificate authority that clients trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes a certificate for these names, and its key.
    pub(crate) fn write(&self, folder: &Path, file: &str, names: &[&str]) {
        self.write_until(folder, file, names, 2100);
    }

    fn write_until(&self, folder: &Path, file: &str, names: &[&str], year: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        // The key first, as tools that renew certificates do it.
        let key_file = folder.join(format!("{file}.key"));
        fs::write(key_file, key.serialize_pem()).expect("it is written");
        let certificate_file = folder.join(format!("{file}.pem"));
        fs::write(certificate_file, certificate.pem()).expect("it is written");
    }

    /// Writes a certificate for these names, for clients that name any.
    pub(super) fn files(&self, folder: &Path, file: &str, names: &[&str]) -> TlsFiles {
        self.write(folder, file, names);
        let path = |ending: &str| folder.join(format!("{file}.{ending}"));
        TlsFiles::new(path("pem"), path("key"))
    }

    /// Connects as a client that asks for `name`, and returns the certificate that it got.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocols: &[&[u8]],
    ) -> (TlsStream<TcpStream>, CertificateDer<'static>) {
        let connected = self.try_connect(address, name, protocols).await;
        connected.unwrap_or_else(|error| panic!("no TLS with `{name}`: {error}"))
    }

    async fn try_connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocols: &[&[u8]],
    ) -> std::io::Result<(TlsStream<TcpStream>, CertificateDer<'static>)> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config
            .with_safe_default_protocol_versions()
            .expect("versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let io = within(TcpStream::connect(address)).await?;
        let io = within(TlsConnector::from(Arc::new(config)).connect(name, io)).await?;
        let certificates = io.get_ref().1.peer_certificates();
        let first = certificates.and_then(<[_]>::first).cloned();
        Ok((io, first.expect("a certificate")))
    }
}

pub(crate) fn read(folder: &Path, file: &str) -> CertificateDer<'static> {
    let path = folder.join(format!("{file}.pem"));
    CertificateDer::from_pem_file(path).expect("a certificate")
}

#[tokio::test]
async fn both_protocols_are_spoken_over_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.files(folder.path(), "all", &[SITE]);
    let scene = Scene::of(Ingress::https("127.0.0.1:0", files)).await;
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let (io, _) = authority.connect(scene.address, SITE, protocols).await;
        let answer = Wire::over(io).get(SITE, "/see").await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("scheme https"), "{answer:?}");
        assert!(
            answer.text().contains("x-forwarded-proto: https"),
            "{answer:?}"
        );
    }
    let protocols = [&b"h2"[..], b"http/1.1"];
    let (io, _) = authority.connect(scene.address, SITE, &protocols).await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io));
    let (mut client, connection) = within(handshake).await.expect("a handshake");
    tokio::spawn(connection);
    let body: AnyBody = Empty::new().boxed_unsync();
    let request = http::Request::get(format!("https://{SITE}/hello")).body(body);
    let response = within(client.send_request(request.expect("a request"))).await;
    assert_eq!(response.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_host_name_gets_its_own_certificate() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    // Clients refuse a wildcard that is followed by only one label.
    let names = ["a.d.example", "b.d.example", "c.b.d.example"];
    let path = |file: &str| folder.path().join(file);
    authority.write(folder.path(), "own", &["a.d.example"]);
    authority.write(folder.path(), "any", &["*.d.example"]);
    let files = authority
        .files(folder.path(), "all", &names)
        .host("A.D.Example", path("own.pem"), path("own.key"))
        .host("*.d.example", path("any.pem"), path("any.key"));
    let scene = Scene::of(Ingress::https("127.0.0.1:0", files)).await;
    for (name, file) in names.into_iter().zip(["own", "any", "all"]) {
        let (_, certificate) = authority.connect(scene.address, name, &[]).await;
        assert_eq!(certificate, read(folder.path(), file), "{name}");
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_connections_are_open() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.files(folder.path(), "all", &[SITE]);
    let scene = Scene::of(Ingress::https("127.0.0.1:0", files)).await;
    let (io, before) = authority.connect(scene.address, SITE, &[]).await;
    let mut wire = Wire::over(io);
    assert_eq!(wire.get(SITE, "/hello").await.status, 200);

    authority.write(folder.path(), "all", &[SITE]);
    let after = read(folder.path(), "all");
    assert_ne!(before, after);
    let replaced = async {
        while authority.connect(scene.address, SITE, &[]).await.1 != after {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(replaced).await;
    assert_eq!(
        wire.get(SITE, "/hello").await.status,
        200,
        "the open one goes on"
    );

    // Files that can't be used change nothing, and a good one after them is used again.
    fs::write(folder.path().join("all.pem"), "nonsense").expect("it is written");
    let (_, still) = authority.connect(scene.address, SITE, &[]).await;
    assert_eq!(still, after);
    authority.write(folder.path(), "all", &[SITE]);
    let last = read(folder.path(), "all");
    let replaced = async {
        loop {
            let (_, certificate) = authority.connect(scene.address, SITE, &[]).await;
            assert!(certificate == after || certificate == last);
            if certificate == last {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced)
        .await
        .expect("it is replaced");
}

#[tokio::test]
async fn an_expired_certificate_is_used_and_clients_refuse_it() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.files(folder.path(), "all", &[SITE]);
    authority.write_until(folder.path(), "all", &[SITE], 2001);
    let scene = Scene::of(Ingress::https("127.0.0.1:0", files)).await;
    let refused = authority.try_connect(scene.address, SITE, &[]).await;
    let error = refused.expect_err("it has expired").to_string();
    assert!(error.to_lowercase().contains("expired"), "{error}");
}

#[tokio::test]
async fn plain_text_on_a_tls_port_gets_no_http_response() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.files(folder.path(), "all", &[SITE]);
    let scene = Scene::of(Ingress::https("127.0.0.1:0", files)).await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /hello HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    let (rest, _) = wire.rest().await;
    assert!(!rest.contains("HTTP/"), "{rest}");
}
