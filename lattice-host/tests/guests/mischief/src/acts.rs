//! The functions of `acts`.

use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Mischief;
use crate::exports::lattice_test::mischief::acts::Guest;
use crate::lattice_test::mischief::peer;
use crate::lattice_test::mischief::types::{Busy, NoneLeft};
use futures_util::future::join_all;
use lattice_actor_sdk::{log, rpc};

static CALLS: AtomicU32 = AtomicU32::new(0);

impl Guest for Mischief {
    fn echo(body: Vec<u8>) -> Vec<u8> {
        body
    }

    fn count() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn log(text: String) {
        log::info!("{text}");
    }

    fn spin() {
        loop {
            black_box(());
        }
    }

    async fn grind() {
        loop {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(1) {}
            drop(peer::call_async(Vec::new()).await);
        }
    }

    fn recurse(depth: u32) -> u32 {
        deeper(depth)
    }

    fn hoard() {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![1_u8; 1 << 20]);
            black_box(&hoard);
        }
    }

    fn huge(length: u32) -> Vec<u8> {
        vec![7; length as usize]
    }

    fn trap() {
        core::arch::wasm32::unreachable()
    }

    fn panic(message: String) {
        panic!("{message}");
    }

    fn exit(code: u8) {
        std::process::exit(code.into());
    }

    fn sleep_ms(ms: u32) {
        std::thread::sleep(Duration::from_millis(ms.into()));
    }

    fn print(text: String) {
        println!("{text}");
    }

    fn eprint(text: String) {
        eprintln!("{text}");
    }

    fn env(name: String) -> Option<String> {
        std::env::var(name).ok()
    }

    fn args() -> Vec<String> {
        std::env::args().collect()
    }

    fn read_file(path: String) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn connect(address: String) -> Result<(), String> {
        TcpStream::connect(address)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn random() -> u64 {
        RandomState::new().hash_one(())
    }

    fn now() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as u64)
    }

    fn call_out(body: Vec<u8>) -> Result<Vec<u8>, rpc::Error> {
        peer::call(&body)
    }

    fn call_out_string(body: Vec<u8>) -> Result<Vec<u8>, String> {
        peer::call_string(&body)
    }

    fn call_out_other(body: Vec<u8>) -> Result<Vec<u8>, Busy> {
        peer::call_other(&body)
    }

    fn call_out_unavailable(body: Vec<u8>) -> Result<Vec<u8>, NoneLeft> {
        peer::call_unavailable(&body)
    }

    fn call_out_bare(body: Vec<u8>) -> Vec<u8> {
        peer::call_bare(&body)
    }

    fn call_out_n(n: u32) -> u32 {
        (0..n).map(|_| u32::from(peer::call(&[]).is_ok())).sum()
    }

    fn call_huge(length: u32) -> Result<u32, rpc::Error> {
        let back = peer::call(&vec![7; length as usize])?;
        Ok(back.len() as u32)
    }

    fn call_bounce(hops: u32) -> Result<u32, rpc::Error> {
        peer::bounce(hops)
    }

    async fn call_async(body: Vec<u8>) -> Result<Vec<u8>, rpc::Error> {
        peer::call_async(body).await
    }

    async fn wait_ms(ms: u32) -> Result<(), rpc::Error> {
        peer::wait_ms(ms).await
    }

    async fn flood(n: u32, body: Vec<u8>) -> u32 {
        let results = join_all((0..n).map(|_| peer::call_async(body.clone()))).await;
        results.iter().map(|result| u32::from(result.is_ok())).sum()
    }

    fn use_link(interface: String, name: String, body: Vec<u8>) -> Result<Vec<u8>, String> {
        rpc::links::use_link(&interface, &name)?;
        peer::call(&body).map_err(|error| error.message)
    }

    async fn use_link_async(name: Option<String>, body: Vec<u8>) -> Result<Vec<u8>, String> {
        if let Some(name) = name {
            rpc::links::use_link("lattice-test:mischief/peer@0.1.0", &name)?;
        }
        let called = peer::call_async(body).await;
        called.map_err(|error| error.message)
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "tests need a stack overflow")]
fn deeper(depth: u32) -> u32 {
    black_box(deeper(black_box(depth) + 1)) + 1
}
