//! TLS and mutual TLS, with right and wrong certificates.

use super::{
    certificates::{Authority, Identity},
    fails,
    nats::{NatsConfig, NatsServer},
    works,
};
use lattice_core::nats::{ConnectError, NatsOptions};

const SERVER: &str = "tls { cert_file: \"$DIR/server.pem\", key_file: \"$DIR/server.key\"";

fn with_identity(config: NatsConfig, name: &str, identity: &Identity) -> NatsConfig {
    config
        .file(&format!("{name}.pem"), &identity.certificate)
        .file(&format!("{name}.key"), &identity.key)
}

/// Starts a server with a certificate for 127.0.0.1, and more lines in its TLS block.
async fn server(authority: &Authority, more: &str, files: NatsConfig) -> NatsServer {
    with_identity(files, "server", &authority.sign("127.0.0.1"))
        .file("root.pem", &authority.certificate)
        .file("other-root.pem", &Authority::new().certificate)
        .file("empty.pem", "no certificate in here\n")
        .text(&format!("{SERVER} {more} }}"))
        .start()
        .await
}

async fn fails_in_tls(options: &NatsOptions) {
    let error = fails(options).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn the_server_certificate_must_match() {
    let authority = Authority::new();
    let server = server(&authority, "", NatsConfig::default()).await;
    let url = format!("tls://{}", server.address());
    let root = server.path("root.pem");
    works(&NatsOptions::new(&url).root_certificates(&root)).await;
    works(
        &NatsOptions::new(server.url())
            .root_certificates(&root)
            .require_tls(),
    )
    .await;
    // The server requires TLS, so the URL need not mention it.
    works(&NatsOptions::new(server.url()).root_certificates(&root)).await;
    // Two files contain two authorities.
    works(
        &NatsOptions::new(&url)
            .root_certificates(server.path("other-root.pem"))
            .root_certificates(&root),
    )
    .await;

    fails_in_tls(&NatsOptions::new(&url)).await;
    fails_in_tls(&NatsOptions::new(&url).root_certificates(server.path("other-root.pem"))).await;
    let other_name = url.replace("127.0.0.1", "localhost");
    fails_in_tls(&NatsOptions::new(other_name).root_certificates(&root)).await;
}

#[tokio::test]
async fn a_server_without_tls_is_rejected_when_tls_is_required() {
    let server = NatsServer::start().await;
    let url = format!("tls://{}", server.address());
    for options in [
        NatsOptions::new(url),
        NatsOptions::new(server.url()).require_tls(),
    ] {
        let error = fails(&options).await;
        assert!(
            matches!(
                error,
                ConnectError::Tls { .. } | ConnectError::HungUp { .. }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn the_handshake_can_come_first() {
    let authority = Authority::new();
    let server = server(&authority, ", handshake_first: true", NatsConfig::default()).await;
    let root = server.path("root.pem");
    works(
        &NatsOptions::new(server.url())
            .root_certificates(&root)
            .tls_first(),
    )
    .await;
}

#[tokio::test]
async fn the_client_certificate_must_match() {
    let authority = Authority::new();
    let files = with_identity(NatsConfig::default(), "client", &authority.sign("client"));
    let files = with_identity(files, "unknown", &Authority::new().sign("client"));
    let server = server(
        &authority,
        ", ca_file: \"$DIR/root.pem\", verify: true",
        files,
    )
    .await;
    let plain = NatsOptions::new(server.url()).root_certificates(server.path("root.pem"));
    let with = |chain: &str, key: &str| {
        plain
            .clone()
            .client_certificate(server.path(chain), server.path(key))
    };
    works(&with("client.pem", "client.key")).await;
    for options in [plain.clone(), with("unknown.pem", "unknown.key")] {
        let error = fails(&options).await;
        assert!(
            matches!(
                error,
                ConnectError::Tls { .. } | ConnectError::HungUp { .. }
            ),
            "{error:?}"
        );
    }
    for (chain, key, bad) in [
        ("client.pem", "unknown.key", "unknown.key"),
        ("client.pem", "client.pem", "client.pem"),
        ("empty.pem", "client.key", "empty.pem"),
    ] {
        let error = fails(&with(chain, key)).await;
        assert!(
            matches!(error, ConnectError::BadFile { ref path, .. } if path.ends_with(bad)),
            "{chain} {key}: {error:?}"
        );
    }
}

#[tokio::test]
async fn tls_files_are_checked_before_connecting() {
    let server = NatsConfig::default()
        .file("empty.pem", "no certificate in here\n")
        .file(
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        )
        .start()
        .await;
    let with = |file: &str| NatsOptions::new(server.url()).root_certificates(server.path(file));
    for file in ["empty.pem", "broken.pem"] {
        let error = fails(&with(file)).await;
        assert!(
            matches!(error, ConnectError::BadFile { ref path, .. } if path.ends_with(file)),
            "{error:?}"
        );
    }
    let error = fails(&with("missing.pem")).await;
    assert!(
        matches!(error, ConnectError::UnreadableFile { ref path, .. } if path.ends_with("missing.pem")),
        "{error:?}"
    );
}
