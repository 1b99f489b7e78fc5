//! Streams whose elements tell their places, so that none is lost, doubled or in another place
//! unnoticed.

use bytes::{BufMut as _, Bytes, BytesMut};
use lattice_core::stream::{Chunk, Handles, Reader, Writer};
use std::{ops::Range, time::Duration};
use tokio::time::sleep;

/// Bytes of an element, which is a number.
const ELEMENT: usize = size_of::<u64>();
/// Elements of a chunk, and elements that are asked for at once.
const CHUNK: u32 = 1_000;

/// How a stream ended for its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its writer ended it after so many elements.
    Whole(u32),
    /// It broke.
    Broken,
    /// The reader had enough.
    Stopped,
}

fn element(id: u64, at: u32) -> u64 {
    u64::from(at) ^ id << 32
}

fn chunk(id: u64, range: Range<u32>) -> Chunk {
    let count = range.len();
    let mut bytes = BytesMut::with_capacity(count * ELEMENT);
    for at in range {
        bytes.put_u64_le(element(id, at));
    }
    Chunk {
        count,
        bytes: bytes.freeze(),
        handles: Handles::new(),
    }
}

/// Checks elements that have come after so many others. Returns how many there are now.
fn checked(chunk: &Chunk, id: u64, at: u32) -> Result<u32, String> {
    let next = at + chunk.count as u32;
    let expected = self::chunk(id, at..next);
    if chunk.bytes == expected.bytes && chunk.handles.is_empty() {
        return Ok(next);
    }
    Err(format!(
        "stream {id} has other elements than were written from {at} to {next}"
    ))
}

/// Writes a stream of this size and ends it, or breaks it after `stop` elements.
pub(crate) async fn write(mut writer: Writer, (id, size): (u64, u32), stop: Option<u32>) {
    let last = stop.map_or(size, |stop| stop.min(size));
    let mut at = 0;
    while at < last {
        let Some(room) = writer.room().await else {
            return;
        };
        let next = last.min(at + CHUNK.min(room as u32));
        if writer.send(chunk(id, at..next)).is_err() {
            return;
        }
        at = next;
    }
    if stop.is_none() {
        writer.end();
    }
}

/// Reads a stream, with a pause after each chunk, to its end or until `stop` elements have come.
///
/// # Errors
/// Says what is wrong with the elements.
pub(crate) async fn read(
    mut reader: Reader,
    id: u64,
    (pause, stop): (Duration, Option<u32>),
) -> Result<Ending, String> {
    let mut at = 0;
    loop {
        if stop.is_some_and(|stop| stop <= at) {
            return Ok(Ending::Stopped);
        }
        reader.ask(CHUNK as usize);
        match reader.chunk().await {
            Ok(Some(chunk)) => at = checked(&chunk, id, at)?,
            Ok(None) => return Ok(Ending::Whole(at)),
            Err(_) => return Ok(Ending::Broken),
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

/// Passes the elements of one stream on in another, whole or broken. One that `loses` some leaves
/// out the first element of each chunk but the first.
///
/// # Errors
/// Says what is wrong with the elements.
pub(super) async fn pass_on(
    (mut from, mut to): (Reader, Writer),
    (id, size): (u64, u32),
    loses: bool,
) -> Result<(), String> {
    let mut at = 0;
    loop {
        // A stream that isn't read on this side isn't on the other one.
        if to.room().await.is_none() {
            return Ok(());
        }
        from.ask(CHUNK as usize);
        let mut chunk = match from.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) if at == size => {
                to.end();
                return Ok(());
            }
            Ok(None) => {
                return Err(format!(
                    "stream {id} has {size} elements and ended cleanly after {at}"
                ));
            }
            Err(reason) => {
                to.fail(reason);
                return Ok(());
            }
        };
        let is_first = at == 0;
        at = checked(&chunk, id, at)?;
        if loses && !is_first {
            drop(first(&mut chunk, 1));
        }
        while chunk.count > 0 {
            let Some(room) = to.room().await else {
                return Ok(());
            };
            if to.send(first(&mut chunk, room)).is_err() {
                return Ok(());
            }
        }
    }
}

/// Splits off up to so many elements.
fn first(chunk: &mut Chunk, most: usize) -> Chunk {
    let count = chunk.count.min(most);
    chunk.count -= count;
    let bytes: Bytes = chunk.bytes.split_to(count * ELEMENT);
    Chunk {
        count,
        bytes,
        handles: Handles::new(),
    }
}
