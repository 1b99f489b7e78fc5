//! The guest as its own peer.

use std::time::Duration;

use crate::Mischief;
use crate::exports::lattice_test::mischief::peer::Guest;
use crate::lattice_test::mischief::peer;
use crate::lattice_test::mischief::types::{Busy, NoneLeft};
use lattice_actor_sdk::rpc;

impl Guest for Mischief {
    fn call(body: Vec<u8>) -> Result<Vec<u8>, rpc::Error> {
        Ok(back(body))
    }

    fn call_string(body: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(body)
    }

    fn call_other(body: Vec<u8>) -> Result<Vec<u8>, Busy> {
        Ok(body)
    }

    fn call_unavailable(body: Vec<u8>) -> Result<Vec<u8>, NoneLeft> {
        Ok(body)
    }

    fn call_bare(body: Vec<u8>) -> Vec<u8> {
        body
    }

    async fn call_async(body: Vec<u8>) -> Result<Vec<u8>, rpc::Error> {
        Ok(back(body))
    }

    async fn wait_ms(ms: u32) -> Result<(), rpc::Error> {
        std::thread::sleep(Duration::from_millis(ms.into()));
        Ok(())
    }

    fn bounce(hops: u32) -> Result<u32, rpc::Error> {
        match hops.checked_sub(1) {
            Some(left) => Ok(peer::bounce(left)? + 1),
            None => Ok(0),
        }
    }
}

fn back(body: Vec<u8>) -> Vec<u8> {
    if body == b"trap" {
        core::arch::wasm32::unreachable();
    }
    body
}
