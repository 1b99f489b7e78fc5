//! Reads streams, and has resources: see `flow.wit`.

wit_bindgen::generate!({ path: "../flow", world: "sink-actor" });

use exports::lattice_bench::flow::{
    shelf::{self, Desk, GuestDesk},
    sink::{self, Reading},
};
use std::cell::{Cell, RefCell};
use wit_bindgen::{StreamReader, StreamResult};

/// Bytes of one read.
const BYTES: usize = 64 << 10;
/// Readings of one read.
const READINGS: usize = 1 << 10;

thread_local! {
    static DESKS: Cell<u32> = const { Cell::new(0) };
    static STOPPED: RefCell<Vec<StreamReader<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Sink;
export!(Sink);

struct OneDesk;

impl sink::Guest for Sink {
    async fn bytes(mut of: StreamReader<u8>) -> u64 {
        let (mut count, mut buffer) = (0, Vec::with_capacity(BYTES));
        loop {
            let (result, read) = of.read(buffer).await;
            count += read.len() as u64;
            if result == StreamResult::Dropped {
                return count;
            }
            // The same memory again.
            buffer = read;
            buffer.clear();
        }
    }

    async fn readings(mut of: StreamReader<Reading>) -> u64 {
        let (mut count, mut buffer) = (0, Vec::with_capacity(READINGS));
        loop {
            let (result, read) = of.read(buffer).await;
            count += read.len() as u64;
            if result == StreamResult::Dropped {
                return count;
            }
            buffer = read;
            buffer.clear();
        }
    }

    async fn listed(all: Vec<Reading>) -> u64 {
        all.len() as u64
    }

    async fn stop_after(mut of: StreamReader<u8>, count: u32) {
        let mut left = count as usize;
        while left > 0 {
            let (result, read) = of.read(Vec::with_capacity(left)).await;
            left -= read.len();
            if result == StreamResult::Dropped {
                return;
            }
        }
        STOPPED.with_borrow_mut(|stopped| stopped.push(of));
    }
}

impl shelf::Guest for Sink {
    type Desk = OneDesk;
}

impl OneDesk {
    fn counted() -> Self {
        DESKS.set(DESKS.get() + 1);
        Self
    }
}

impl Drop for OneDesk {
    fn drop(&mut self) {
        DESKS.set(DESKS.get() - 1);
    }
}

impl GuestDesk for OneDesk {
    fn new() -> Self {
        Self::counted()
    }

    fn echo(&self, body: Vec<u8>) -> Vec<u8> {
        body
    }

    fn more(&self, count: u32) -> Vec<Desk> {
        (0..count).map(|_| Desk::new(Self::counted())).collect()
    }

    fn alive(&self) -> u32 {
        DESKS.get()
    }
}
