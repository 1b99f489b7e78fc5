//! The end at which a stream arrives from another host.

use super::{
    SharedSession,
    assembly::{Assembly, Step},
    value,
};
use crate::{
    budget::{Held, Share},
    name::HostId,
    stream::{Broken, Chunk, Demand, Handles, Holder, Writer},
    transport::session::{self, RecvHalf, Refused},
    wire::{Fault, Parcel, Passed},
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// How long the owner of a resource may take to say that the sender has held it.
const CLAIM: Duration = Duration::from_secs(10);

/// Receives the elements of a stream.
pub(super) struct Inlet {
    shared: Arc<SharedSession>,
    channel: u32,
    writer: Writer,
    assembly: Assembly,
    /// The memory of a parcel of more than one chunk.
    share: Share,
    held: Option<Held>,
}

/// Why there is nothing more to receive.
enum Stop {
    /// The sender has ended it.
    Ended,
    /// The reader is gone.
    Unread,
    Broken(Broken),
}

impl Inlet {
    pub(super) fn new(shared: Arc<SharedSession>, channel: u32, writer: Writer) -> Self {
        let share = Share::of(&shared.streams().0.received);
        Self {
            shared,
            channel,
            writer,
            assembly: Assembly::default(),
            share,
            held: None,
        }
    }

    /// Receives everything.
    pub(super) async fn run(mut self) {
        // Before the reader wants anything, the sender gets no credit, and this takes no memory.
        let wanted = poll_fn(|cx| match self.writer.watch(cx) {
            Demand::None => Poll::Pending,
            demand => Poll::Ready(demand),
        });
        let is_wanted = wanted.await != Demand::Gone;
        // If it isn't wanted, it is dropped at once, which tells the sender.
        let stop = match self.shared.receive(self.channel) {
            Ok(half) if is_wanted => self.receive_all(half).await,
            Ok(_) => Stop::Unread,
            Err(Refused::Broken(broken)) => Stop::Broken(self.broken(broken)),
            Err(refused) => Stop::Broken(cut_off(&refused)),
        };
        match stop {
            Stop::Ended => self.writer.end(),
            Stop::Unread => {}
            Stop::Broken(broken) => self.writer.fail(broken),
        }
    }

    async fn receive_all(&mut self, mut half: RecvHalf) -> Stop {
        loop {
            let parcel = match self.parcel(&mut half).await {
                Ok(parcel) => parcel,
                Err(stop) => return stop,
            };
            let passes = parcel.2;
            let chunk = match self.chunk(parcel).await {
                Ok(chunk) => chunk,
                Err(broken) => return Stop::Broken(broken),
            };
            if passes {
                // Dropping the chunk drops them from here on.
                half.settle();
            }
            if !self.pass_on(chunk, &mut half).await {
                return Stop::Unread;
            }
            if self.held.is_some() {
                // It counts until it is read.
                poll_fn(|cx| match self.writer.watch(cx) {
                    Demand::Gone => Poll::Ready(()),
                    _ if self.writer.is_read() => Poll::Ready(()),
                    _ if half.poll_left(cx, has_handles) => Poll::Ready(()),
                    _ => Poll::Pending,
                })
                .await;
                self.held = None;
            }
        }
    }

    /// Passes elements on to the reader, when it wants them. Returns false if it is gone.
    async fn pass_on(&mut self, chunk: Chunk, half: &mut RecvHalf) -> bool {
        // They came when the reader was waiting for the end, so they may have to wait for room.
        let demand = poll_fn(|cx| match self.writer.watch(cx) {
            Demand::None | Demand::End if half.poll_left(cx, has_handles) => {
                Poll::Ready(Demand::End)
            }
            Demand::None | Demand::End => Poll::Pending,
            demand => Poll::Ready(demand),
        });
        let demand = demand.await;
        match demand {
            Demand::Gone => false,
            Demand::Elements => self.writer.push(chunk).is_ok(),
            // More handles are to be taken. What is left was counted as a window.
            Demand::None | Demand::End => {
                self.held = None;
                self.writer.force(chunk).is_ok()
            }
        }
    }

    /// The next elements, when the reader wants them, or when they have to be taken.
    async fn parcel(&mut self, half: &mut RecvHalf) -> Result<(usize, Bytes, bool), Stop> {
        loop {
            let (bytes, count) = poll_fn(|cx| self.poll_half(half, cx)).await?;
            self.hold(bytes.len(), count).map_err(Stop::Broken)?;
            let step = self.assembly.take(bytes, count);
            match step.map_err(|refused| Stop::Broken(invalid(&refused.to_string())))? {
                Step::Partial => {}
                Step::Elements {
                    count,
                    bytes,
                    has_handles,
                } => return Ok((count, bytes, has_handles)),
                Step::Broken(fault) => return Err(Stop::Broken(broken(fault))),
            }
        }
    }

    fn poll_half(
        &mut self,
        half: &mut RecvHalf,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, u32), Stop>> {
        match self.writer.watch(cx) {
            Demand::Gone => return Poll::Ready(Err(Stop::Unread)),
            // When the session is broken, handles that have arrived are taken at once: the host
            // that has sent them asks who has them, and can't be told later.
            Demand::None if !half.poll_left(cx, has_handles) => return Poll::Pending,
            Demand::None | Demand::Elements | Demand::End => {}
        }
        half.poll_chunk(cx).map(|chunk| match chunk {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => Err(match self.assembly.end() {
                Ok(()) => Stop::Ended,
                Err(refused) => Stop::Broken(invalid(&refused.to_string())),
            }),
            Err(broken) => Err(Stop::Broken(self.broken(broken))),
        })
    }

    /// Takes the memory of a parcel that has more than one chunk.
    fn hold(&mut self, bytes: usize, count: u32) -> Result<(), Broken> {
        let size = self.assembly.size_with(bytes, count);
        if size == 0 {
            return Ok(());
        }
        let largest = self.shared.streams().0.largest;
        if size > largest {
            return Err(invalid(&format!(
                "an element has more than {largest} bytes"
            )));
        }
        let held = self.held.as_ref().map_or(0, Held::bytes);
        if size <= held {
            return Ok(());
        }
        // Doubled, as the buffer is.
        self.held = None;
        let more = size.max(held * 2).min(largest);
        self.held = Some(
            self.share
                .hold_beside(0, more)
                .ok_or_else(|| Broken::CutOff {
                    reason: "there is no memory for a large element".into(),
                })?,
        );
        Ok(())
    }

    /// The elements with their handles.
    async fn chunk(
        &mut self,
        (count, bytes, has_handles): (usize, Bytes, bool),
    ) -> Result<Chunk, Broken> {
        if !has_handles {
            return Ok(Chunk {
                count,
                bytes,
                handles: Handles::new(),
            });
        }
        let passed = Passed::decode(bytes).map_err(|error| invalid(&error.to_string()))?;
        let streams = self.shared.streams();
        let by = Instant::now() + CLAIM;
        let way = (self.shared.peer(), &Holder::OnTheWay, by);
        let arrived = streams.arrive(passed, Some(&self.shared), way).await;
        let arrived = arrived.map_err(|unfit| invalid(&unfit.to_string()))?;
        if !arrived.loans.is_empty() {
            return Err(invalid(value::LENT));
        }
        Ok(Chunk {
            count,
            bytes: arrived.body.bytes,
            handles: arrived.body.handles,
        })
    }

    /// Why the stream is broken when its channel is.
    fn broken(&self, broken: session::Broken) -> Broken {
        match broken {
            session::Broken::PeerLost => Broken::HostLost {
                host: self.shared.peer().host.clone(),
            },
            session::Broken::Dropped => Broken::WriterLost,
            other => cut_off(&other),
        }
    }
}

fn has_handles(count: u32) -> bool {
    matches!(Parcel::of(count), Parcel::WithHandles(_))
}

fn cut_off(reason: &impl ToString) -> Broken {
    Broken::CutOff {
        reason: reason.to_string().into(),
    }
}

fn invalid(reason: &str) -> Broken {
    Broken::Invalid {
        reason: reason.into(),
    }
}

fn broken(fault: Fault) -> Broken {
    match fault {
        Fault::WriterLost => Broken::WriterLost,
        Fault::InstanceLost(reason) => Broken::InstanceLost {
            reason: reason.into(),
        },
        Fault::Invalid(reason) => invalid(&reason),
        Fault::HostLost(host) => match HostId::new(&host) {
            Ok(host) => Broken::HostLost { host },
            Err(error) => cut_off(&error),
        },
        Fault::CutOff(reason) => cut_off(&reason),
        Fault::Failed(reason) => Broken::Failed {
            reason: reason.into(),
        },
    }
}
