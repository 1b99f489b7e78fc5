//! Requests of bare async-nats, to a [`bare`](crate::bare) responder.

use crate::{Failure, responder::SUBJECT};
use bytes::Bytes;
use lattice_benches_common::measure::Calls;

pub(crate) struct Requests(pub(crate) async_nats::Client);

impl Calls for Requests {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.request(SUBJECT, body.clone()).await?.payload.len())
    }
}
