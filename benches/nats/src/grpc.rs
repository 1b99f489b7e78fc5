//! The baseline of gRPC: unary calls of tonic. Every setting is tonic's default but `TCP_NODELAY`,
//! which is on at both ends. The message is bytes as they are, so that no time is for protobuf.

use bytes::{Buf, BufMut, Bytes};
use lattice_benches_common::{Failure, measure::Calls, program::START, responder::ready_at};
use std::{convert::Infallible, future, net::Ipv4Addr};
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    body::Body,
    client,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{
        BoxFuture, Context, Poll, Service,
        http::{self, uri::PathAndQuery},
    },
    server::{self, NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

/// The path of the only method.
const PATH: &str = "/lattice.bench.Echo/Echo";

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Client(Channel);

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        Ok(Self(timeout(START, endpoint.connect()).await??))
    }
}

impl Calls for Client {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        let mut client = client::Grpc::new(self.0.clone());
        client.ready().await?;
        let path = PathAndQuery::from_static(PATH);
        let reply = client.unary(Request::new(body.clone()), path, Raw).await?;
        Ok(reply.into_inner().len())
    }
}

/// Serves on a free port until the future is dropped.
pub(crate) async fn serve() -> Result<(), Failure> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?.with_nodelay(Some(true));
    ready_at(incoming.local_addr()?);
    let mut server = Server::builder();
    server
        .add_service(Echo)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

/// The service.
#[derive(Debug, Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "lattice.bench.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(server::Grpc::new(Raw).unary(Method, request).await) })
    }
}

/// Its method, which returns what it is sent.
#[derive(Debug, Clone, Copy)]
struct Method;

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        future::ready(Ok(Response::new(request.into_inner())))
    }
}

/// A message is its bytes.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
