//! Values with handles: encoded for another host, and received from one.

use super::{MOST_STREAMS, SharedSession, State, Streams};
use crate::{
    call::{CallError, Ran},
    id::{Origin, Source},
    stream::{
        Body, Handle, Handles, Holder, Reader, Stale,
        remote::{self, Departed, Leaving, Loan, Way, depart},
    },
    wire::{EnvelopeError, HandleName, Passed, WHOLE_SESSION},
};
use bytes::Bytes;
use std::{mem, sync::Arc, vec};
use tokio::time::Instant;

/// Why a value has more streams than can be sent.
const TOO_MANY: &str = "it has more than 1,023 streams and futures, which is the most that one call to another host can pass";
/// Why an element with a borrow is refused.
pub(super) const LENT: &str = "a resource is lent in a stream";

/// A value on its way to another host.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The names and the value.
    pub(crate) bytes: Bytes,
    /// Its streams, with their channels.
    pub(crate) streams: Vec<(u32, Reader)>,
    /// Its resources.
    pub(crate) resources: Resources,
}

/// The resources of a value that was sent. If this is dropped, nobody waits for what becomes of the
/// value, and the other host is asked for them soon.
#[derive(Debug, Default)]
pub(crate) struct Resources(Vec<Departed>);

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
    NoChannel(u32),
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

impl Resources {
    /// The call that they were sent with has ended.
    pub(crate) fn settle(mut self, ended: Result<(), Ran>) {
        for departed in mem::take(&mut self.0) {
            match ended {
                Ok(()) => departed.arrived(),
                Err(ran) => departed.failed(ran),
            }
        }
    }

    /// They were sent, and arrive by the deadline of their call, or never.
    pub(crate) fn were_sent(mut self) {
        drop(mem::take(&mut self.0));
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        for departed in mem::take(&mut self.0) {
            departed.cut_off();
        }
    }
}

/// The names of a value that has arrived. The handles of those that are left when this is dropped
/// are refused.
struct Names<'s> {
    left: vec::IntoIter<HandleName>,
    streams: &'s Streams,
    session: Option<&'s Arc<SharedSession>>,
    from: &'s Origin,
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        for name in self.left.by_ref() {
            match name {
                HandleName::Own(name) => {
                    let State { at, ledger, .. } = &*self.streams.0;
                    ledger.refuse(&name, (self.from, at));
                }
                // It comes back with its call.
                HandleName::Borrow(_) => {}
                HandleName::Stream(number) | HandleName::Future(number) => {
                    if let Some(session) = self.session {
                        session.refuse(number);
                    }
                }
            }
        }
    }
}

impl Streams {
    /// Encodes a value of `from` for who gets it on another host. Fails with the error of a call
    /// with such arguments, or that a token is over its limit; none of the handles has left then.
    pub(crate) fn encode(
        &self,
        body: Body,
        from: &Holder,
        (to, holder): (&Origin, &Source),
        by: Instant,
    ) -> Result<Encoded, CallError> {
        let unfit = |reason: String| CallError::BadArguments { reason };
        let way = Way {
            via: self.0.at.clone(),
            to: to.clone(),
            holder: Some(holder.clone()),
            by: Some(by),
        };
        let leaving = depart(&self.0.ledger, body.handles, from, &way)?;
        let mut names = Vec::with_capacity(leaving.len());
        let (mut streams, mut resources) = (Vec::new(), Resources::default());
        for handle in leaving {
            let channel = streams.len() + 1;
            let number = u32::try_from(channel).unwrap_or(WHOLE_SESSION);
            names.push(match handle {
                Leaving::Resource(departed) => {
                    let name = name_of(&departed);
                    resources.0.push(departed);
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
        let encoded = if streams.len() > MOST_STREAMS {
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
                resources.settle(Err(Ran::No));
                Err(error)
            }
        }
    }

    /// Decodes a value that has arrived for `to`, with the session that carries its streams. What
    /// is asked of other hosts has to be answered by the deadline.
    pub(crate) async fn decode(
        &self,
        bytes: Bytes,
        session: Option<&Arc<SharedSession>>,
        way: (&Origin, &Holder, Instant),
    ) -> Result<Arrived, Unfit> {
        self.arrive(Passed::decode(bytes)?, session, way).await
    }

    /// Drops the handles of a value that nobody takes.
    pub(crate) fn refuse(&self, bytes: Bytes, from: &Origin) {
        if let Ok(passed) = Passed::decode(bytes) {
            drop(self.names(passed.names, None, from));
        }
    }

    fn names<'s>(
        &'s self,
        names: Vec<HandleName>,
        session: Option<&'s Arc<SharedSession>>,
        from: &'s Origin,
    ) -> Names<'s> {
        Names {
            left: names.into_iter(),
            streams: self,
            session,
            from,
        }
    }

    /// Takes the handles of a value. If one can't be used, none is taken, and all are dropped. The
    /// same is true if this is cancelled.
    pub(super) async fn arrive(
        &self,
        passed: Passed,
        session: Option<&Arc<SharedSession>>,
        (from, to, by): (&Origin, &Holder, Instant),
    ) -> Result<Arrived, Unfit> {
        let mut handles = Handles::with_capacity(passed.names.len());
        let mut loans = Vec::new();
        let stream = |number: u32| {
            let reader = session.and_then(|session| session.take(number));
            reader.ok_or(Unfit::NoChannel(number))
        };
        let mut names = self.names(passed.names, session, from);
        for name in names.left.by_ref() {
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
            let ledger = &self.0.ledger;
            let arrived = ledger.try_arrive(&resource, is_owned, hosts, to);
            let arrived = if let Some(arrived) = arrived {
                arrived
            } else {
                let asked = ledger.arrive(&resource, is_owned, hosts, (to, by));
                Box::pin(asked).await
            };
            let stale = |reason: Stale| Unfit::Stale(remote::stale(&resource, &reason));
            let (handle, loan) = arrived.map_err(stale)?;
            handles.push(handle);
            loans.extend(loan);
        }
        remote::check_arrived(&handles).map_err(Unfit::Stale)?;
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
