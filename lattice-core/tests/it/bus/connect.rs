//! Servers that can't be connected to.

use super::{chain, fails, nats::NatsServer, works};
use lattice_core::nats::{ConnectError, NatsOptions};
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::TcpListener};

#[tokio::test]
async fn an_invalid_url_is_named_in_the_error() {
    for url in [
        "",
        "nats://",
        "http://localhost:4222",
        "ws://localhost:4222",
        "nats://two words:1",
        "nats://joe:s3cret@host:notaport",
        "nats://[::1",
    ] {
        let error = fails(&NatsOptions::new(url)).await;
        assert!(
            matches!(error, ConnectError::BadUrl { .. }),
            "{url}: {error:?}"
        );
        let text = format!("{} {error:?}", chain(&error));
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_port_without_a_server_is_unreachable() {
    let mut server = NatsServer::start().await;
    server.kill();
    let error = fails(&NatsOptions::new(server.url())).await;
    assert!(
        matches!(error, ConnectError::Unreachable { ref servers, .. } if servers.contains(&server.address())),
        "{error:?}"
    );
    let error = fails(&NatsOptions::new("nats://no-such-host.invalid:4222")).await;
    assert!(
        matches!(
            error,
            ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_invalid_inbox_prefix_is_named_in_the_error() {
    let server = NatsServer::start().await;
    for prefix in ["", "two words", "a..b", "a.*", ">", ".a"] {
        let error = fails(&NatsOptions::new(server.url()).inbox_prefix(prefix)).await;
        assert!(
            matches!(error, ConnectError::BadInboxPrefix { .. }),
            "{prefix:?}: {error:?}"
        );
    }
    works(&NatsOptions::new(server.url()).inbox_prefix("a.b")).await;
}

#[tokio::test]
async fn one_reachable_server_of_several_is_enough() {
    let (mut dead, alive) = (NatsServer::start().await, NatsServer::start().await);
    dead.kill();
    for _ in 0..5 {
        works(&NatsOptions::new(dead.url()).server(alive.url())).await;
    }
}

/// Starts a listener that sends `greeting` to each client, and then closes the connection.
async fn impostor(greeting: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The client may have disconnected already.
            let _ = stream.write_all(greeting.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_server_of_another_protocol_is_not_accepted() {
    for greeting in [
        "",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "INFO {\"truncated\r\n",
        "\u{0}\u{1}\u{2}\r\n",
    ] {
        let error = fails(&NatsOptions::new(impostor(greeting).await)).await;
        assert!(
            matches!(error, ConnectError::HungUp { .. }),
            "{greeting:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_server_ends_with_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let limit = Duration::from_millis(300);
    let start = Instant::now();
    let options = NatsOptions::new(&address)
        .server(&address)
        .connect_timeout(limit);
    let error = fails(&options).await;
    assert!(
        matches!(error, ConnectError::TimedOut { limit: found, .. } if found == limit),
        "{error:?}"
    );
    assert!(start.elapsed() < limit * 5, "{:?}", start.elapsed());
}
