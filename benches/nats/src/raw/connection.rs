//! A connection to the nats-server, with one subscription.

use super::{
    READ,
    protocol::{self, CONNECT, PING, Received},
};
use bytes::{Buf, BytesMut};
use lattice_benches_common::{Failure, program::START};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// What has been received and not yet read.
    pub(super) input: BytesMut,
}

/// Connects and subscribes. When this returns, messages are received.
pub(super) async fn connect(url: &str, subject: &str) -> Result<Connection, Failure> {
    timeout(START, greet(url, subject)).await?
}

async fn greet(url: &str, subject: &str) -> Result<Connection, Failure> {
    let address = url.trim_start_matches("nats://");
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let hello = format!("{CONNECT}SUB {subject} 1\r\n{PING}");
    stream.write_all(hello.as_bytes()).await?;
    let mut input = BytesMut::with_capacity(READ);
    loop {
        while let Some((received, length)) = protocol::read(&input)? {
            let is_last = received == Received::Pong;
            input.advance(length);
            if is_last {
                return Ok(Connection { stream, input });
            }
        }
        receive(&mut stream, &mut input).await?;
    }
}

/// Waits for more, as much as there is room for.
pub(super) async fn receive(
    from: &mut (impl AsyncReadExt + Unpin),
    input: &mut BytesMut,
) -> Result<(), Failure> {
    input.reserve(READ);
    match from.read_buf(input).await? {
        0 => Err("the nats-server has closed the connection".into()),
        _ => Ok(()),
    }
}
