//! Handlers of the actor SDK.

use super::door::Door;
use crate::host::support::{actor, link};

/// The end of a body in chunks. One that was broken off lacks it.
const END: &str = "\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_echoed_while_the_rest_of_it_has_not_been_sent() {
    let door = Door::to(actor("http_sdk")).await;
    let mut connection = door.connect().await;
    let head = b"POST /echo HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    connection.write(head).await;
    for part in ["one..", "two..", "three"] {
        connection
            .write(format!("5\r\n{part}\r\n").as_bytes())
            .await;
        connection.until(part).await;
    }
    connection.write(b"0\r\n\r\n").await;
    let rest = connection.rest().await;
    assert!(format!("\r\n{rest}").ends_with(END), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_answered_with_500_and_without_its_reason() {
    let door = Door::to(actor("http_sdk")).await;
    // A header of connections is refused, and the handler learns it from the log.
    for path in ["/fail", "/connection"] {
        let response = door.get(path).await;
        assert!(response.starts_with("HTTP/1.1 500 "), "{path}: {response}");
        assert!(
            response.contains("500 Internal Server Error\n"),
            "{path}: {response}"
        );
        assert!(!response.contains("business"), "{path}: {response}");
    }
    let missing = door.get("/missing").await;
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_does_not_look_whole() {
    let door = Door::to(actor("http_sdk")).await;
    let response = door.get("/break").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(!response.ends_with(END), "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collected_body_is_text_or_the_request_is_wrong() {
    let door = Door::to(actor("http_shout")).await;
    let response = door.send("POST /", "grüße".as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.contains("GRÜSSE"), "{response}");
    let refused = door.send("POST /", b"\xff\xfe").await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_out_over_a_link_or_not_at_all() {
    let components = |builder: lattice_host::HostBuilder| {
        builder
            .actor("site", actor("http_sdk"))
            .actor("other", actor("hello_http"))
    };
    let door = Door::of(components).await;
    let response = door.get("/fetch").await;
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    link(
        &door.lattice,
        "site",
        "wasi:http/outgoing-handler@0.2.0",
        "other",
    )
    .await;
    let response = door.get("/fetch").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(
        response.contains("Hello from Rust, at /there!"),
        "{response}"
    );
}
