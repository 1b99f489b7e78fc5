//! A component with a link to the web, and its requests.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use lattice_core::{Lattice, client::Caller, link::Link};
use lattice_host::{Host, http::OutgoingHttp};
use serde_json::Value;
use std::time::Duration;

lattice_provider_sdk::client!({ inline: "
    package test:requests;
    world requests { import lattice:http/handler@0.1.0; }
" });

pub(super) use lattice::http::{
    handler::HandlerClient,
    types::{ErrorCode, Header, Request, RequestOptions, Response},
};

pub(super) const HANDLER: &str = "lattice:http/handler@0.1.0";

/// Longer than any request takes that isn't cut off by something else.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// A host with the provider, and a component that calls it.
pub(super) struct Scene {
    pub(super) lattice: Lattice,
    pub(super) client: HandlerClient<Caller>,
    pub(super) host: Host,
}

impl Scene {
    /// The link has this config.
    pub(super) async fn new(config: Value) -> Self {
        Self::of(OutgoingHttp::new(), config).await
    }

    /// The link to this provider has this config.
    pub(super) async fn of(provider: OutgoingHttp, config: Value) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let host = Host::builder(&lattice).provider("web", provider);
        let host = host.start().await.expect("it starts");
        let link = Link::new("app", HANDLER, "web").expect("a link");
        let link = link.config(&config).expect("a config");
        lattice.links().put(link).await.expect("put");
        Self {
            client: HandlerClient::new(lattice.caller("app").expect("an id")),
            lattice,
            host,
        }
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: Request) -> Result<Response, ErrorCode> {
        self.send_within(request, &options()).await
    }

    pub(super) async fn send_within(
        &self,
        request: Request,
        options: &RequestOptions,
    ) -> Result<Response, ErrorCode> {
        let response = self.client.handle(request, options).timeout(PATIENCE);
        response.await.expect("the call succeeds")
    }

    /// Sends a request without a body, and returns its status and the text of its response.
    pub(super) async fn get(&self, url: &str) -> Result<(u16, String), ErrorCode> {
        let response = self.send(request("GET", url)).await?;
        let status = response.status;
        let text = read(response).await.expect("the body is whole");
        Ok((status, text))
    }
}

pub(super) fn options() -> RequestOptions {
    RequestOptions {
        connect_timeout: None,
        first_byte_timeout: None,
        between_bytes_timeout: None,
    }
}

/// A request without a body.
pub(super) fn request(method: &str, url: &str) -> Request {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let path = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    Request {
        method: method.to_owned(),
        scheme: Some(scheme.to_owned()),
        authority: Some(authority.to_owned()),
        path_with_query: Some(path.to_owned()),
        headers: Vec::new(),
        content: Bytes::new(),
        body: None,
        trailers: None,
    }
}

pub(super) fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

/// Returns the values of a header.
pub(super) fn values(response: &Response, name: &str) -> Vec<String> {
    let named = response.headers.iter().filter(|header| header.name == name);
    let text = |header: &Header| String::from_utf8_lossy(&header.value).into_owned();
    named.map(text).collect()
}

/// Returns the body of a response as text, or what was there when it broke.
pub(super) async fn read(response: Response) -> Result<String, String> {
    let mut all = BytesMut::from(response.content);
    let text = |all: BytesMut| String::from_utf8_lossy(&all).into_owned();
    if let Some(mut body) = response.body {
        while let Some(part) = body.next().await {
            match part {
                Ok(part) => all.extend_from_slice(&part),
                Err(_) => return Err(text(all)),
            }
        }
    }
    if let Some(trailers) = response.trailers
        && !matches!(trailers.await, Ok(Ok(_)))
    {
        return Err(text(all));
    }
    Ok(text(all))
}

/// Returns how the body of a response broke.
pub(super) async fn broken(response: Response) -> Option<ErrorCode> {
    let mut body = response.body.expect("a body that streams");
    while let Some(part) = body.next().await {
        if part.is_err() {
            let trailers = response.trailers.expect("they say why");
            return trailers.await.expect("they come").err();
        }
    }
    None
}
