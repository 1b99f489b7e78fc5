//! Ways to make calls, through Lattice and without it.

use crate::{
    Failure, bare,
    native::{EchoClient, FillClient, SilenceClient, SpinClient},
};
use bytes::Bytes;
use lattice_core::{Lattice, call::CallError};
use lattice_provider_sdk::Caller;
use std::{fmt, future::Future, time::Duration};

/// A way to make calls from many tasks.
pub(crate) trait Way: Send + Sync + 'static {
    /// Sends the body and waits for a reply until the deadline.
    fn call(
        &self,
        body: &Bytes,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// Why a call failed: the kind of its error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        let text = format!("{error:?}");
        let kind = text.split([' ', '{', '(']).next().unwrap_or_default();
        Self(format!("{kind}, {}", error.ran()))
    }
}

/// Calls that get a reply.
pub(crate) struct Echo(EchoClient<Caller>);

/// Calls that never get a reply.
pub(crate) struct Hold(SilenceClient<Caller>);

/// Calls that never end by themselves.
pub(crate) struct Spin(SpinClient<Caller>);

/// Calls that take all the memory that they can get.
pub(crate) struct Fill {
    client: FillClient<Caller>,
    hold_ms: u32,
}

/// Requests of `async-nats`.
pub(crate) struct Bare {
    client: async_nats::Client,
    subject: &'static str,
}

/// The source of all links.
pub(crate) const DRIVER: &str = "driver";

fn through(lattice: &Lattice, link: &str) -> Result<Caller, Failure> {
    Ok(lattice.caller(DRIVER)?.via(link)?)
}

impl Echo {
    pub(crate) fn new(lattice: &Lattice, link: &str) -> Result<Self, Failure> {
        Ok(Self(EchoClient::new(through(lattice, link)?)))
    }
}

impl Hold {
    pub(crate) fn new(lattice: &Lattice, link: &str) -> Result<Self, Failure> {
        Ok(Self(SilenceClient::new(through(lattice, link)?)))
    }
}

impl Spin {
    pub(crate) fn new(lattice: &Lattice, link: &str) -> Result<Self, Failure> {
        Ok(Self(SpinClient::new(through(lattice, link)?)))
    }
}

impl Fill {
    /// Makes calls that keep the memory for `hold_ms`.
    pub(crate) fn new(lattice: &Lattice, link: &str, hold_ms: u32) -> Result<Self, Failure> {
        Ok(Self {
            client: FillClient::new(through(lattice, link)?),
            hold_ms,
        })
    }
}

impl Bare {
    pub(crate) async fn new(url: &str, subject: &'static str) -> Result<Self, Failure> {
        let client = bare::connect(url).await?;
        Ok(Self { client, subject })
    }
}

impl Way for Echo {
    async fn call(&self, body: &Bytes, deadline: Duration) -> Result<(), Failed> {
        let answer = self.0.echo(body).timeout(deadline).await?;
        if answer == body {
            Ok(())
        } else {
            Err(Failed("another reply".to_owned()))
        }
    }
}

impl Way for Hold {
    async fn call(&self, body: &Bytes, deadline: Duration) -> Result<(), Failed> {
        self.0.hold(body).timeout(deadline).await?;
        Ok(())
    }
}

impl Way for Spin {
    async fn call(&self, _: &Bytes, deadline: Duration) -> Result<(), Failed> {
        Ok(self.0.spin().timeout(deadline).await?)
    }
}

impl Way for Fill {
    async fn call(&self, _: &Bytes, deadline: Duration) -> Result<(), Failed> {
        self.client.fill(self.hold_ms).timeout(deadline).await?;
        Ok(())
    }
}

impl Way for Bare {
    async fn call(&self, body: &Bytes, deadline: Duration) -> Result<(), Failed> {
        let request = async_nats::Request::new()
            .payload(body.clone())
            .timeout(Some(deadline));
        match self.client.send_request(self.subject, request).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Failed(format!("{:?}", error.kind()))),
        }
    }
}
