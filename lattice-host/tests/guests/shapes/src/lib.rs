//! An actor that passes values of every type to its imports and returns the results: see
//! `shapes.wit`.

lattice_actor_sdk::actor!({ path: "wit", export: Shapes });

use std::collections::BTreeMap;

use exports::lattice_test::shapes::{control, echo, echo_async};
use lattice_test::shapes::types::{Level, Perms, Row, Shape, Twenty};
use lattice_test::shapes::{echo as there, echo_async as there_async, gate};

struct Shapes;

type Tags = Option<Vec<String>>;
type Trios = Vec<(u8, u32, u8)>;
type Numbers = Vec<Option<u64>>;
type Triples = Vec<[u16; 3]>;
type Entries = BTreeMap<String, Row>;
type Nested = (Vec<Shape>, Trios, Vec<Row>, Numbers);

impl echo::Guest for Shapes {
    fn nothing() {
        there::nothing();
    }

    fn number(a: u32) -> u32 {
        there::number(a)
    }

    fn letter(a: char) -> char {
        there::letter(a)
    }

    fn bits(a: Perms) -> Perms {
        there::bits(a)
    }

    fn pair(a: String, b: u64) -> (String, u64) {
        there::pair(&a, b)
    }

    fn record_of_many(a: Row) -> Row {
        there::record_of_many(&a)
    }

    fn variety(a: Shape) -> Shape {
        there::variety(&a)
    }

    fn maybe(a: Tags) -> Tags {
        there::maybe(a.as_deref())
    }

    fn fallible(a: Result<Row, String>) -> Result<Row, String> {
        there::fallible(a.as_ref().map_err(String::as_str))
    }

    fn bare(a: Result<(), ()>) -> Result<(), ()> {
        there::bare(a)
    }

    fn nested(a: Vec<Shape>, b: Trios, c: Vec<Row>, d: Numbers) -> Nested {
        there::nested(&a, &b, &c, &d)
    }

    fn bytes(a: Vec<u8>) -> Vec<u8> {
        there::bytes(&a)
    }

    fn triples(a: Triples) -> Triples {
        there::triples(&a)
    }

    fn entries(a: Entries) -> Entries {
        there::entries(&a)
    }

    #[rustfmt::skip]
    fn many_to_one(
        a: u8, b: u64, c: String, d: f32, e: u16, f: char, g: bool, h: i64, i: Vec<u8>, j: f64,
        k: u32, l: i8, m: Perms, n: Level, o: String, p: u64, q: i32, r: u8, s: i16, t: Option<u64>,
    ) -> u64 {
        there::many_to_one(a, b, &c, d, e, f, g, h, &i, j, k, l, m, n, &o, p, q, r, s, t)
    }

    #[rustfmt::skip]
    fn many_in_memory(
        a: u8, b: u64, c: String, d: f32, e: u16, f: char, g: bool, h: i64, i: Vec<u8>, j: f64,
        k: u32, l: i8, m: Perms, n: Level, o: String, p: u64, q: i32, r: u8, s: i16, t: Option<u64>,
    ) -> Twenty {
        there::many_in_memory(a, b, &c, d, e, f, g, h, &i, j, k, l, m, n, &o, p, q, r, s, t)
    }
}

impl echo_async::Guest for Shapes {
    async fn nothing() {
        there_async::nothing().await;
    }

    async fn number(a: u32) -> u32 {
        there_async::number(a).await
    }

    async fn letter(a: char) -> char {
        there_async::letter(a).await
    }

    async fn bits(a: Perms) -> Perms {
        there_async::bits(a).await
    }

    async fn pair(a: String, b: u64) -> (String, u64) {
        there_async::pair(a, b).await
    }

    async fn record_of_many(a: Row) -> Row {
        there_async::record_of_many(a).await
    }

    async fn variety(a: Shape) -> Shape {
        there_async::variety(a).await
    }

    async fn maybe(a: Tags) -> Tags {
        there_async::maybe(a).await
    }

    async fn fallible(a: Result<Row, String>) -> Result<Row, String> {
        there_async::fallible(a).await
    }

    async fn bare(a: Result<(), ()>) -> Result<(), ()> {
        there_async::bare(a).await
    }

    async fn nested(a: Vec<Shape>, b: Trios, c: Vec<Row>, d: Numbers) -> Nested {
        there_async::nested(a, b, c, d).await
    }

    async fn bytes(a: Vec<u8>) -> Vec<u8> {
        there_async::bytes(a).await
    }

    async fn triples(a: Triples) -> Triples {
        there_async::triples(a).await
    }

    async fn entries(a: Entries) -> Entries {
        there_async::entries(a).await
    }

    #[rustfmt::skip]
    async fn many_to_one(
        a: u8, b: u64, c: String, d: f32, e: u16, f: char, g: bool, h: i64, i: Vec<u8>, j: f64,
        k: u32, l: i8, m: Perms, n: Level, o: String, p: u64, q: i32, r: u8, s: i16, t: Option<u64>,
    ) -> u64 {
        there_async::many_to_one(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t).await
    }

    #[rustfmt::skip]
    async fn many_in_memory(
        a: u8, b: u64, c: String, d: f32, e: u16, f: char, g: bool, h: i64, i: Vec<u8>, j: f64,
        k: u32, l: i8, m: Perms, n: Level, o: String, p: u64, q: i32, r: u8, s: i16, t: Option<u64>,
    ) -> Twenty {
        there_async::many_in_memory(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t).await
    }
}

impl control::Guest for Shapes {
    async fn work(tag: String) -> String {
        format!("done {}", gate::wait(tag).await)
    }

    async fn work_then_trap(tag: String) -> String {
        gate::wait(tag).await;
        core::arch::wasm32::unreachable()
    }

    fn trap(a: u32) -> u32 {
        there::number(a);
        core::arch::wasm32::unreachable()
    }

    fn sum(count: u32) -> u64 {
        (0..count).map(|a| u64::from(there::number(a))).sum()
    }

    async fn sum_async(count: u32) -> u64 {
        let mut sum = 0;
        for a in 0..count {
            sum += u64::from(there_async::number(a).await);
        }
        sum
    }

    fn send(count: u32, length: u32) -> u64 {
        let body = vec![7; length as usize];
        (0..count).map(|_| there::bytes(&body).len() as u64).sum()
    }

    async fn send_async(count: u32, length: u32) -> u64 {
        let mut body = vec![7; length as usize];
        let mut sum = 0;
        for _ in 0..count {
            body = there_async::bytes(body).await;
            sum += body.len() as u64;
        }
        sum
    }
}
