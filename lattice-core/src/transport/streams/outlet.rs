//! The end at which a stream leaves for another host.

use super::{
    SharedSession,
    passing::{Passing, Untaken},
};
use crate::{
    stream::{
        Broken, Chunk, Holder, Reader,
        remote::{Way, depart},
    },
    transport::session::{self, SendHalf},
    wire::{Fault, Parcel, Passed},
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

/// Elements that are asked for first, when nothing is known of them: no more than a page of bytes,
/// or half of the streams that may be open at once.
const FIRST: usize = 512;
/// Bytes of elements that are asked for at once: a chunk. More would wait in this process when the
/// other host has no more room.
const ASKED: usize = 32 * 1024;
/// Elements that are asked for at once, of a stream whose elements have handles.
const ASKED_WITH_HANDLES: usize = 64;
/// Most streams in elements that were sent and that the other host has not taken yet. The others
/// of those that may be open at once are for its reader.
const MOST_UNTAKEN: usize = 256;

/// Sends the elements of a stream.
pub(super) struct Outlet {
    shared: Arc<SharedSession>,
    half: SendHalf,
    reader: Reader,
    /// Elements to ask for.
    asked: usize,
    /// Chunks that were sent.
    sent: u64,
    untaken: Untaken,
}

impl Outlet {
    pub(super) fn new(shared: Arc<SharedSession>, half: SendHalf, reader: Reader) -> Self {
        Self {
            shared,
            half,
            reader,
            asked: FIRST,
            sent: 0,
            untaken: Untaken::default(),
        }
    }

    /// Sends everything. If the other end goes away, the reader is dropped, which the writer sees.
    pub(super) async fn run(mut self) {
        if let Err(broken) = self.send_all().await {
            tracing::debug!(%broken, host = %self.shared.peer().host, "a stream to another host was not read to its end");
        }
        self.untaken.end(self.half.taken(), &self.shared);
    }

    async fn send_all(&mut self) -> Result<(), session::Broken> {
        loop {
            // Nothing is taken from the writer before the other host has room for it.
            poll_fn(|cx| self.poll_room(cx)).await?;
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
        poll_fn(|cx| {
            self.settle();
            self.half.poll_complete(cx)
        })
        .await
    }

    /// Waits until the other host has room for more elements, and has taken most of the streams
    /// before.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), session::Broken>> {
        if self.untaken.streams() >= MOST_UNTAKEN {
            // From here on, this is woken when the other host takes some.
            let broken = self.half.poll_broken(cx);
            self.settle();
            if broken.is_ready() || self.untaken.streams() >= MOST_UNTAKEN {
                return broken.map(Err);
            }
        }
        self.settle();
        self.half.poll_credit(cx)
    }

    /// The next elements, unless the other end goes away first.
    async fn next(&mut self) -> Result<Result<Option<Chunk>, Broken>, session::Broken> {
        poll_fn(|cx| {
            self.settle();
            if let Poll::Ready(chunk) = self.reader.poll_chunk(cx) {
                return Poll::Ready(Ok(chunk));
            }
            self.half.poll_broken(cx).map(Err)
        })
        .await
    }

    /// Gives up the handles that the other host has taken.
    fn settle(&mut self) {
        if !self.untaken.is_empty() {
            self.untaken.settle(self.half.taken());
        }
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
        self.asked = self.asked.min(ASKED_WITH_HANDLES);
        let mut parcel = Passing::default();
        let bytes = match self.name(chunk, &mut parcel) {
            Ok(bytes) => bytes,
            Err(broken) => {
                parcel.withdraw(&self.shared);
                return Ok(Err(broken));
            }
        };
        let chunks = bytes.len().div_ceil(self.half.most()).max(1) as u64;
        let last = self.sent + chunks;
        self.half.track(last);
        self.untaken.push(last, parcel);
        self.put(bytes, Parcel::WithHandles(count)).await?;
        Ok(Ok(()))
    }

    /// Names the handles of elements, and sends the streams among them.
    fn name(&self, chunk: Chunk, parcel: &mut Passing) -> Result<Bytes, Broken> {
        let streams = self.shared.streams();
        let way = Way {
            via: streams.0.at.clone(),
            to: self.shared.peer().clone(),
            holder: None,
            by: None,
        };
        let leaving = depart(streams.ledger(), chunk.handles, &Holder::OnTheWay, &way)
            .map_err(|error| invalid(&error.to_string()))?;
        let passed = Passed {
            names: parcel.name(leaving, &self.shared)?,
            value: chunk.bytes,
        };
        passed.encode().map_err(|error| invalid(&error.to_string()))
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
            self.sent += 1;
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
        Broken::Failed { reason } => Fault::Failed(reason.to_string()),
        Broken::Invalid { reason } => Fault::Invalid(reason.to_string()),
        Broken::HostLost { host } => Fault::HostLost(host.to_string()),
        Broken::CutOff { reason } => Fault::CutOff(reason.to_string()),
    }
}
