//! Replies to each request with its own payload.

use super::{
    REQUESTS,
    connection::{self, Connection, receive},
    protocol::{self, PONG, Received, publish},
};
use bytes::Buf;
use lattice_benches_common::Failure;
use tokio::io::AsyncWriteExt;

/// A connection on which requests arrive.
#[derive(Debug)]
pub(crate) struct Responder(Connection);

impl Responder {
    /// Connects. When this returns, requests are received.
    pub(crate) async fn connect(url: &str) -> Result<Self, Failure> {
        Ok(Self(connection::connect(url, REQUESTS).await?))
    }

    /// Responds until the connection is closed. What one read has brought is answered with one
    /// write.
    pub(crate) async fn respond(self) -> Result<(), Failure> {
        let Connection {
            mut stream,
            mut input,
        } = self.0;
        let mut out = Vec::new();
        loop {
            let mut read = 0;
            while let Some((received, length)) = protocol::read(&input[read..])? {
                match received {
                    Received::Message {
                        reply: Some(reply),
                        payload,
                    } => publish(&mut out, reply, b"", (b"", payload)),
                    Received::Ping => out.extend_from_slice(PONG.as_bytes()),
                    _ => {}
                }
                read += length;
            }
            input.advance(read);
            if !out.is_empty() {
                stream.write_all(&out).await?;
                out.clear();
            }
            receive(&mut stream, &mut input).await?;
        }
    }
}
