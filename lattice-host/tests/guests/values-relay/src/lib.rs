//! Passes resources, streams and futures on: see `values.wit`.

wit_bindgen::generate!({ path: "../values", world: "relay" });

use exports::lattice_test::values::passing::Guest;
use futures::join;
use lattice_test::values::{
    flows::{self, Reading},
    things::{self, Thing},
};
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

struct Relay;
export!(Relay);

impl Guest for Relay {
    fn make(name: String) -> Thing {
        Thing::new(&name)
    }

    fn pass(it: Thing) -> Thing {
        it
    }

    fn consume(it: Thing) -> String {
        things::consume(it)
    }

    fn look(it: &Thing) -> String {
        things::look(it)
    }

    async fn bytes(count: u64, size: u32) -> StreamReader<u8> {
        flows::bytes(count, size).await
    }

    async fn readings(count: u32) -> StreamReader<Reading> {
        flows::readings(count).await
    }

    async fn made(count: u32) -> StreamReader<Thing> {
        flows::made(count).await
    }

    async fn later(name: String) -> FutureReader<Thing> {
        flows::later(name).await
    }

    async fn sum_bytes(of: StreamReader<u8>) -> u64 {
        flows::sum_bytes(of).await
    }

    async fn names_of(of: StreamReader<Thing>, beside: &Thing) -> Vec<String> {
        flows::names_of(of, beside).await
    }

    async fn name_of(of: FutureReader<Thing>, beside: &Thing) -> String {
        flows::name_of(of, beside).await
    }

    async fn back(of: StreamReader<u8>) -> StreamReader<u8> {
        flows::back(of)
    }

    fn pass_later(of: FutureReader<Thing>) -> FutureReader<Thing> {
        of
    }

    async fn rest(mut of: StreamReader<u8>, count: u32) -> StreamReader<u8> {
        skip(&mut of, count).await;
        of
    }

    async fn sum_rest(mut of: StreamReader<u8>, count: u32) -> u64 {
        skip(&mut of, count).await;
        flows::sum_bytes(of).await
    }

    async fn trap_while(of: StreamReader<u8>) -> Result<(), String> {
        let trap = async {
            wit_bindgen::yield_async().await;
            panic!("on purpose");
        };
        join!(flows::sum_bytes(of), trap).1
    }
}

/// Reads `count` bytes, a few at a time.
async fn skip(of: &mut StreamReader<u8>, count: u32) {
    let mut left = count as usize;
    while left > 0 {
        let (result, read) = of.read(Vec::with_capacity(left.min(1_000))).await;
        left -= read.len();
        if result == StreamResult::Dropped {
            return;
        }
    }
}
