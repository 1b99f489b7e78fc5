//! Sides that several rows have: calls of echo, and requests of bare async-nats.

use crate::{Failure, native::EchoClient, responder::SUBJECT, scene::Scene};
use bytes::Bytes;
use lattice_benches_common::measure::{Calls, Loops};
use lattice_core::client::Caller;

/// Requests of bare async-nats, to a [`bare`](crate::bare) responder.
pub(crate) struct Requests(pub(crate) async_nats::Client);

/// Calls that native code makes.
pub(crate) struct Direct(pub(crate) EchoClient<Caller>);

/// Calls that an actor makes, each of which native code requests, or a loop of them.
pub(crate) struct Driven(pub(crate) Scene);

impl Calls for Requests {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.request(SUBJECT, body.clone()).await?.payload.len())
    }
}

impl Calls for Direct {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.echo(body).await?.len())
    }
}

impl Loops for Driven {
    async fn run(&self, calls: u32, size: u32) -> Result<u64, Failure> {
        Ok(self.0.drive().run(calls, size).await?)
    }
}

impl Calls for Driven {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.drive().relay(body).await?.len())
    }
}
