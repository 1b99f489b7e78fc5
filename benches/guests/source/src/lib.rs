//! Writes streams, and uses and keeps resources: see `flow.wit`.

wit_bindgen::generate!({ path: "../flow", world: "source-actor" });

use exports::lattice_bench::flow::{hoard, run};
use futures::join;
use lattice_bench::flow::{
    hoard::hoard,
    shelf::Desk,
    sink::{self, Reading},
};
use std::cell::{OnceCell, RefCell};
use wit_bindgen::StreamWriter;

/// Desks that one call asks for.
const DESKS: u32 = 1_000;
/// Bytes of one write to a stream whose reader has stopped. The guest keeps as many for each
/// stream.
const STALLED: usize = 4 << 10;

thread_local! {
    /// The desk whose method is called, and whose instance deals desks.
    static DESK: OnceCell<Desk> = const { OnceCell::new() };
    static HOARD: RefCell<Vec<Desk>> = const { RefCell::new(Vec::new()) };
}

struct Source;
export!(Source);

impl run::Guest for Source {
    async fn bytes(total: u64, size: u32) -> u64 {
        let (writer, reader) = wit_stream::new();
        join!(
            write_bytes(writer, total, size as usize),
            sink::bytes(reader)
        )
        .1
    }

    async fn readings(count: u32, size: u32) -> u64 {
        let (mut writer, reader) = wit_stream::new();
        let write = async move {
            let mut from = 0;
            while from < count {
                let to = count.min(from + size);
                let left = writer.write_all((from..to).map(reading).collect()).await;
                assert!(left.is_empty(), "the reader went away");
                from = to;
            }
        };
        join!(write, sink::readings(reader)).1
    }

    async fn listed(count: u32) -> u64 {
        sink::listed((0..count).map(reading).collect()).await
    }

    fn methods(calls: u32, size: u32) -> u64 {
        let body = vec![7; size as usize];
        with_desk(|desk| (0..calls).map(|_| desk.echo(&body).len() as u64).sum())
    }

    async fn stall(count: u32, read: u32) -> u32 {
        for number in 0..count {
            let (mut writer, reader) = wit_stream::new();
            let first = writer.write_all(vec![7; read as usize]);
            if !join!(first, sink::stop_after(reader, read)).0.is_empty() {
                return number;
            }
            wit_bindgen::spawn_local(async move {
                // Ends only when the reader goes away.
                while writer.write_all(vec![7; STALLED]).await.is_empty() {}
            });
        }
        count
    }

    fn deal(count: u32) -> u32 {
        let first = with_desk(|desk| desk.more(1).pop());
        first.map_or(0, |first| hoard(first, count))
    }

    fn dealt() -> Option<u32> {
        // One of them is this instance's own.
        DESK.with(|desk| desk.get().map(|desk| desk.alive() - 1))
    }
}

impl hoard::Guest for Source {
    fn hoard(first: Desk, count: u32) -> u32 {
        HOARD.with_borrow_mut(|hoard| {
            let before = hoard.len();
            while hoard.len() - before < count as usize {
                let left = count - (hoard.len() - before) as u32;
                hoard.extend(first.more(left.min(DESKS)));
            }
            hoard.push(first);
            (hoard.len() - before) as u32
        })
    }
}

fn with_desk<R>(use_it: impl FnOnce(&Desk) -> R) -> R {
    DESK.with(|desk| use_it(desk.get_or_init(Desk::new)))
}

async fn write_bytes(mut writer: StreamWriter<u8>, total: u64, size: usize) {
    let (mut left, mut buffer) = (total, vec![7; size]);
    while left > 0 {
        buffer.resize(left.min(size as u64) as usize, 7);
        left -= buffer.len() as u64;
        let (_, rest) = writer.write(buffer).await;
        let unread = rest.remaining();
        buffer = rest.into_vec();
        if unread > 0 {
            buffer = writer.write_all(buffer).await;
            assert!(buffer.is_empty(), "the reader went away");
        }
    }
}

fn reading(number: u32) -> Reading {
    Reading {
        channel: number as u8,
        sensor: format!("boiler-{number}"),
        at: 1_700_000_000_000 + u64::from(number),
        samples: vec![7; 8],
    }
}
