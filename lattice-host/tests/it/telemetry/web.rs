//! A request that leaves the lattice, and the position in the trace that it carries.

use super::TIME;
use crate::host::support::started;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use lattice_core::{Lattice, link::Link};
use lattice_host::{Host, http::OutgoingHttp};
use lattice_otel::{Guard, sink::Sink};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

lattice_provider_sdk::client!({ inline: "
    package test:web;
    world web { import lattice:http/handler@0.1.0; }
" });

use lattice::http::{
    handler::HandlerClient,
    types::{Request, RequestOptions},
};

/// Answers one request, and returns its head.
async fn served(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let (mut head, mut part) = (Vec::new(), [0; 1_024]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read(&mut part).await.expect("it reads");
        assert!(count > 0, "the request is cut off");
        head.extend_from_slice(&part[..count]);
    }
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).await.expect("it writes");
    String::from_utf8(head).expect("text")
}

/// Sends a request to a server over the provider of the web, and checks that its `traceparent` is
/// the span of the provider, within the spans of the call.
pub(super) async fn a_request_carries_its_span(lattice: &Lattice, sink: &Sink, telemetry: &Guard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let web = Host::builder(lattice).provider("web", OutgoingHttp::new());
    let _host = started(web).await;
    let link = Link::new("app", "lattice:http/handler@0.1.0", "web").expect("a link");
    let config = json!({ "allow": [format!("http://{address}")], "private": true });
    let link = link.config(&config).expect("JSON");
    lattice.links().put(link).await.expect("put");
    let request = Request {
        method: "GET".to_owned(),
        scheme: Some("http".to_owned()),
        authority: Some(address.clone()),
        path_with_query: Some("/orders?color=blue&sig=4711".to_owned()),
        headers: Vec::new(),
        content: Bytes::new(),
        body: None,
        trailers: None,
    };
    let options = RequestOptions {
        connect_timeout: None,
        first_byte_timeout: None,
        between_bytes_timeout: None,
    };
    let client = HandlerClient::new(lattice.caller("app").expect("an id"));
    let asked = client.handle(request, &options).timeout(TIME);
    let (head, answer) = tokio::join!(timeout(TIME, served(listener)), asked.into_future());
    let (head, answer) = (head.expect("in time"), answer.expect("the call"));
    assert_eq!(answer.expect("a response").status, 204);

    let lines = head.lines();
    let mut given = lines.filter_map(|line| line.strip_prefix("traceparent: "));
    let given = given.next().unwrap_or_else(|| panic!("none in {head}"));
    let parts: Vec<&str> = given.split('-').collect();
    telemetry.flush(TIME).await.expect("the sink takes it");
    let id_of = |id: &[u8]| HEXLOWER.encode(id);
    let is_sent = |sink: &Sink| {
        let mut spans = sink.spans().into_iter();
        spans.any(|span| id_of(&span.span_id) == parts[2])
    };
    assert!(
        sink.wait(TIME, is_sent).await,
        "{given}: {:#?}",
        sink.spans()
    );
    let spans = sink.spans();
    let own = spans.iter().find(|span| id_of(&span.span_id) == parts[2]);
    let own = own.expect("it was there");
    assert_eq!((&*own.name, &*own.kind), ("GET", "client"));
    let url = own.attributes.get("url.full").map(String::as_str);
    let shown = format!("http://{address}/orders?color=blue&sig=REDACTED");
    assert_eq!(url, Some(&*shown));
    assert_eq!(id_of(&own.trace_id), parts[1]);
    let of_call = spans.iter().find(|span| span.span_id == own.parent_id);
    let of_call = of_call.expect("it is within the call");
    assert_eq!(of_call.name, "lattice:http/handler/handle");
    assert_eq!(of_call.kind, "server");
}
