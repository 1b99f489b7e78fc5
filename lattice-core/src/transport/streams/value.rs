//! Values with handles: encoded for another host, and received from one.

use super::{MOST_STREAMS, SharedSession, Streams};
use crate::{
    call::{CallError, Ran},
    id::Origin,
    stream::{
        Body, Handle, Handles, Holder, Reader, Stale,
        remote::{self, Departed, Leaving, Loan, Way, depart},
    },
    wire::{EnvelopeError, HandleName, Passed},
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// Why a value has more streams than can be sent.
pub(super) const TOO_MANY: &str = "it has more than 1,023 streams and futures, which is the most that one call to another host can pass";
/// Why an element with a borrow is refused.
pub(super) const LENT: &str = "a resource is lent in a stream";

/// A value on its way to another host.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The names and the value.
    pub(crate) bytes: Bytes,
    /// Its streams, with their channels.
    pub(crate) streams: Vec<(u16, Reader)>,
    /// Its resources.
    pub(crate) resources: Vec<Departed>,
}

/// A value that has arrived from another host.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) body: Body,
    /// What is lent with it. To be kept until the call is over.
    pub(crate) loans: Vec<Loan>,
}

/// Why a value that has arrived can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(transparent)]
    Undecodable(#[from] EnvelopeError),
    #[error("it names channel {0}, which is none of its session, or was named before")]
    NoChannel(u16),
    #[error(transparent)]
    Stale(CallError),
}

impl Unfit {
    /// The error of a call with such arguments.
    pub(crate) fn of_arguments(self) -> CallError {
        match self {
            Self::Stale(error) => error,
            other => CallError::BadArguments {
                reason: other.to_string(),
            },
        }
    }

    /// The error of a call with such a result.
    pub(crate) fn of_result(self) -> CallError {
        CallError::BadResult {
            reason: self.to_string(),
        }
    }
}

impl Encoded {
    /// The call that it was sent with has ended.
    pub(crate) fn settle(resources: Vec<Departed>, ended: Result<(), Ran>) {
        for departed in resources {
            match ended {
                Ok(()) => departed.arrived(),
                Err(ran) => departed.failed(ran),
            }
        }
    }
}

impl Streams {
    /// Encodes a value of `from` for the host that it is on its `way` to. Fails with the error of a
    /// call with such arguments; none of the handles has left then.
    pub(crate) fn encode(
        &self,
        body: Body,
        from: &Holder,
        to: &Origin,
        by: Instant,
    ) -> Result<Encoded, CallError> {
        let unfit = |reason: String| CallError::BadArguments { reason };
        let way = Way {
            via: self.0.at.clone(),
            to: to.clone(),
            by,
        };
        let leaving = depart(&self.0.ledger, body.handles, from, &way)?;
        let mut names = Vec::with_capacity(leaving.len());
        let (mut streams, mut resources) = (Vec::new(), Vec::new());
        for handle in leaving {
            let channel = streams.len() + 1;
            let number = u16::try_from(channel).unwrap_or(u16::MAX);
            names.push(match handle {
                Leaving::Resource(departed) => {
                    let name = name_of(&departed);
                    resources.push(departed);
                    name
                }
                Leaving::Stream(reader) => {
                    streams.push((number, reader));
                    HandleName::Stream(number)
                }
                Leaving::Future(reader) => {
                    streams.push((number, reader));
                    HandleName::Future(number)
                }
            });
        }
        let value = body.bytes;
        let encoded = if streams.len() > usize::from(MOST_STREAMS) {
            Err(unfit(TOO_MANY.to_owned()))
        } else {
            let passed = Passed { names, value };
            passed.encode().map_err(|error| unfit(error.to_string()))
        };
        match encoded {
            Ok(bytes) => Ok(Encoded {
                bytes,
                streams,
                resources,
            }),
            Err(error) => {
                Encoded::settle(resources, Err(Ran::No));
                Err(error)
            }
        }
    }

    /// Decodes a value that has arrived for `to`, with the session that carries its streams. What is
    /// asked of other hosts has to be answered by the deadline.
    pub(crate) async fn decode(
        &self,
        bytes: Bytes,
        session: Option<&Arc<SharedSession>>,
        way: (&Origin, &Holder, Instant),
    ) -> Result<Arrived, Unfit> {
        self.arrive(Passed::decode(bytes)?, session, way).await
    }

    /// Takes the handles of a value. If one can't be used, none is taken.
    pub(super) async fn arrive(
        &self,
        passed: Passed,
        session: Option<&Arc<SharedSession>>,
        (from, to, by): (&Origin, &Holder, Instant),
    ) -> Result<Arrived, Unfit> {
        let mut handles = Handles::with_capacity(passed.names.len());
        let mut loans = Vec::new();
        let stream = |number: u16| {
            let reader = session.and_then(|session| session.take(number));
            reader.ok_or(Unfit::NoChannel(number))
        };
        for name in passed.names {
            let (resource, is_owned) = match name {
                HandleName::Stream(number) => {
                    handles.push(Handle::Stream(stream(number)?));
                    continue;
                }
                HandleName::Future(number) => {
                    handles.push(Handle::Future(stream(number)?));
                    continue;
                }
                HandleName::Own(resource) => (resource, true),
                HandleName::Borrow(resource) => (resource, false),
            };
            let hosts = (from, &self.0.at);
            let arrived = match self.0.ledger.try_arrive(&resource, is_owned, hosts, to) {
                Some(arrived) => arrived,
                None => {
                    let asked = self.0.ledger.arrive(&resource, is_owned, hosts, to, by);
                    Box::pin(asked).await
                }
            };
            let stale = |reason: Stale| Unfit::Stale(remote::stale(&resource, &reason));
            let (handle, loan) = arrived.map_err(stale)?;
            handles.push(handle);
            loans.extend(loan);
        }
        remote::check_arrived(&mut handles).map_err(Unfit::Stale)?;
        let bytes = passed.value;
        Ok(Arrived {
            body: Body { bytes, handles },
            loans,
        })
    }
}

/// What another host is told of a resource.
pub(super) fn name_of(departed: &Departed) -> HandleName {
    let name = departed.name().clone();
    if departed.is_owned() {
        HandleName::Own(name)
    } else {
        HandleName::Borrow(name)
    }
}
