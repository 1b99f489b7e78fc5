//! The end at which a stream leaves for another host.

use super::{SharedSession, value};
use crate::{
    stream::{
        Broken, Chunk, Holder, Reader,
        remote::{Leaving, Way, depart},
    },
    transport::session::{self, SendHalf},
    wire::{Fault, HandleName, Parcel, Passed},
};
use bytes::Bytes;
use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};
use tokio::time::Instant;

/// Elements that are asked for first, when their size isn't known: no more than a page of bytes.
const FIRST: usize = 1_024;
/// Bytes of elements that are asked for at once: a chunk. More would wait in this process when the
/// other host has no more room.
const ASKED: usize = 32 * 1024;
/// When a handle in an element has arrived at the latest; after that, the other host is asked
/// whether it holds it. It waits there for its reader, so this is long.
const ARRIVES: Duration = Duration::from_mins(10);

/// Sends the elements of a stream.
pub(super) struct Outlet {
    shared: Arc<SharedSession>,
    half: SendHalf,
    reader: Reader,
    /// Elements to ask for.
    asked: usize,
}

impl Outlet {
    pub(super) fn new(shared: Arc<SharedSession>, half: SendHalf, reader: Reader) -> Self {
        Self {
            shared,
            half,
            reader,
            asked: FIRST,
        }
    }

    /// Sends everything. If the other end goes away, the reader is dropped, which the writer sees.
    pub(super) async fn run(mut self) {
        if let Err(broken) = self.send_all().await {
            tracing::debug!(%broken, host = %self.shared.peer().host, "a stream to another host was not read to its end");
        }
    }

    async fn send_all(&mut self) -> Result<(), session::Broken> {
        loop {
            // Nothing is taken from the writer before the other host has room for it.
            poll_fn(|cx| self.half.poll_credit(cx)).await?;
            self.reader.ask(self.asked);
            let sent = match self.next().await? {
                Ok(Some(chunk)) => self.send(chunk).await?,
                Ok(None) => break,
                Err(broken) => Err(broken),
            };
            if let Err(broken) = sent {
                self.put(fault(&broken).encode(), Parcel::Broken).await?;
                break;
            }
        }
        self.half.end()?;
        self.half.complete().await
    }

    /// The next elements, unless the other end goes away first.
    async fn next(&mut self) -> Result<Result<Option<Chunk>, Broken>, session::Broken> {
        poll_fn(|cx| {
            if let Poll::Ready(chunk) = self.reader.poll_chunk(cx) {
                return Poll::Ready(Ok(chunk));
            }
            self.half.poll_broken(cx).map(Err)
        })
        .await
    }

    /// Sends elements. Fails within the result if they can't be sent, and so the stream can't.
    async fn send(&mut self, chunk: Chunk) -> Result<Result<(), Broken>, session::Broken> {
        let size = chunk.bytes.len().div_ceil(chunk.count.max(1)).max(1);
        self.asked = (ASKED / size).max(1);
        let Some(count) = u32::try_from(chunk.count)
            .ok()
            .filter(|count| *count <= Parcel::MAX)
        else {
            return Ok(Err(invalid("it has too many elements at once")));
        };
        if chunk.handles.is_empty() {
            self.put(chunk.bytes, Parcel::Elements(count)).await?;
            return Ok(Ok(()));
        }
        let (leaving, bytes) = match self.name(chunk) {
            Ok(named) => named,
            Err(broken) => return Ok(Err(broken)),
        };
        self.put(bytes, Parcel::WithHandles(count)).await?;
        // The other host has them from here on, or is asked for them later.
        drop(leaving);
        Ok(Ok(()))
    }

    /// Names the handles of elements, and sends the streams among them.
    fn name(&self, chunk: Chunk) -> Result<(Vec<Leaving>, Bytes), Broken> {
        let streams = self.shared.streams();
        let way = Way {
            via: streams.0.at.clone(),
            to: self.shared.peer().clone(),
            by: Instant::now() + ARRIVES,
        };
        let leaving = depart(streams.ledger(), chunk.handles, &Holder::OnTheWay, &way)
            .map_err(|error| invalid(&error.to_string()))?;
        let (mut names, mut kept) = (Vec::with_capacity(leaving.len()), Vec::new());
        for handle in leaving {
            let (reader, name): (_, fn(u16) -> HandleName) = match handle {
                Leaving::Resource(departed) => {
                    names.push(value::name_of(&departed));
                    kept.push(Leaving::Resource(departed));
                    continue;
                }
                Leaving::Stream(reader) => (reader, HandleName::Stream),
                Leaving::Future(reader) => (reader, HandleName::Future),
            };
            let channel = self.shared.next();
            let channel = channel.ok_or_else(|| invalid(value::TOO_MANY))?;
            self.shared
                .send(channel, reader)
                .map_err(|refused| invalid(&refused.to_string()))?;
            names.push(name(channel));
        }
        let passed = Passed {
            names,
            value: chunk.bytes,
        };
        let bytes = passed
            .encode()
            .map_err(|error| invalid(&error.to_string()))?;
        Ok((kept, bytes))
    }

    /// Sends a parcel in as many chunks as it needs.
    async fn put(&mut self, mut bytes: Bytes, parcel: Parcel) -> Result<(), session::Broken> {
        loop {
            let piece = bytes.split_to(bytes.len().min(self.half.most()));
            let said = if bytes.is_empty() {
                parcel
            } else {
                Parcel::Partial
            };
            self.half.ready().await?;
            self.half.send(piece, said.count())?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }
}

fn invalid(reason: &str) -> Broken {
    Broken::Invalid {
        reason: reason.into(),
    }
}

/// What the other host is told of a break.
fn fault(broken: &Broken) -> Fault {
    match broken {
        Broken::WriterLost => Fault::WriterLost,
        Broken::InstanceLost { reason } => Fault::InstanceLost(reason.to_string()),
        Broken::Invalid { reason } => Fault::Invalid(reason.to_string()),
        Broken::HostLost { host } => Fault::HostLost(host.to_string()),
        Broken::CutOff { reason } => Fault::CutOff(reason.to_string()),
    }
}
