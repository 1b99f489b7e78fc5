//! An actor that gives resources, streams and futures away, and takes them: see `flow.wit`.
#![expect(
    clippy::too_many_arguments,
    reason = "a function of the interface has more than fit flat"
)]

wit_bindgen::generate!({ path: "../flow", world: "giver", generate_all });

use exports::lattice_test::flow::pipes::{self, Point};
use exports::lattice_test::flow::store::{
    self, Bucket, BucketBorrow, Cursor, Either, GuestBucket, GuestCursor, Labelled,
};
use exports::lattice_test::flow::{choice, trouble};
use lattice::rpc::links;
use lattice_test::flow::naming;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

thread_local! {
    static ALIVE: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

thread_local! {
    static DRAINED: Cell<u64> = const { Cell::new(0) };
}

thread_local! {
    /// Why a destructor could not choose a link.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
}

const NAMING: &str = "lattice-test:flow/naming@0.1.0";

fn alive(buckets: i32, cursors: i32) {
    let (b, c) = ALIVE.get();
    ALIVE.set((
        b.wrapping_add_signed(buckets),
        c.wrapping_add_signed(cursors),
    ));
}

struct MyBucket {
    name: String,
    entries: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl MyBucket {
    fn named(name: String) -> Self {
        alive(1, 0);
        Self {
            name,
            entries: RefCell::default(),
        }
    }
}

impl Drop for MyBucket {
    fn drop(&mut self) {
        alive(-1, 0);
        if self.name == "chooser0" {
            REFUSED.set(links::use_(NAMING, "spare").err());
        }
    }
}

struct MyCursor(RefCell<Vec<String>>);

impl Drop for MyCursor {
    fn drop(&mut self) {
        alive(0, -1);
    }
}

impl GuestBucket for MyBucket {
    fn new(name: String) -> Self {
        Self::named(name)
    }
    fn open(name: String) -> Result<Bucket, String> {
        if name.is_empty() {
            Err("no name".into())
        } else {
            Ok(Bucket::new(Self::named(name)))
        }
    }
    fn merge(a: Bucket, b: Bucket) -> Bucket {
        let (a, b): (MyBucket, MyBucket) = (a.into_inner(), b.into_inner());
        a.entries.borrow_mut().append(&mut b.entries.borrow_mut());
        Bucket::new(a)
    }
    fn name(&self) -> String {
        self.name.clone()
    }
    fn get(&self, key: String) -> Option<Vec<u8>> {
        self.entries.borrow().get(&key).cloned()
    }
    fn set(&self, key: String, value: Vec<u8>) {
        self.entries.borrow_mut().insert(key, value);
    }
    async fn wait(&self, key: String, other: BucketBorrow<'_>) -> Vec<u8> {
        loop {
            if let Some(value) = other.get::<MyBucket>().entries.borrow().get(&key) {
                return value.clone();
            }
            wit_bindgen::yield_async().await;
        }
    }
    fn plus(&self, x: u32) -> u32 {
        x + 1
    }
    fn watch(&self) -> Cursor {
        alive(0, 1);
        Cursor::new(MyCursor(RefCell::new(
            self.entries.borrow().keys().cloned().collect(),
        )))
    }
}

impl GuestCursor for MyCursor {
    fn next(&self) -> Option<String> {
        self.0.borrow_mut().pop()
    }
}

struct Giver;
export!(Giver);

impl store::Guest for Giver {
    type Bucket = MyBucket;
    type Cursor = MyCursor;

    fn same(a: BucketBorrow<'_>, b: Option<BucketBorrow<'_>>) -> bool {
        b.is_some_and(|b| std::ptr::eq(a.get::<MyBucket>(), b.get::<MyBucket>()))
    }
    fn total(all: Vec<BucketBorrow<'_>>) -> u32 {
        all.iter()
            .map(|it| it.get::<MyBucket>().entries.borrow().len() as u32)
            .sum()
    }
    fn split(it: Bucket, into: u32) -> Vec<Bucket> {
        let it: MyBucket = it.into_inner();
        (0..into)
            .map(|n| Bucket::new(MyBucket::named(format!("{}{n}", it.name))))
            .collect()
    }
    fn label(it: Bucket, label: String) -> Labelled {
        let tags = vec![it.get::<MyBucket>().name.clone()];
        Labelled { label, it, tags }
    }
    fn choose(which: u8, it: Bucket) -> Either {
        match which {
            0 => Either::Left(it),
            1 => Either::Right(Self::label(it, "right".into())),
            _ => Either::Neither,
        }
    }
    fn unwrap(it: Either) -> Option<Bucket> {
        match it {
            Either::Left(it) | Either::Right(Labelled { it, .. }) => Some(it),
            Either::Neither => None,
        }
    }
    fn many(
        a: String,
        b: String,
        c: String,
        d: String,
        e: String,
        f: String,
        g: String,
        h: String,
        it: Bucket,
        lent: BucketBorrow<'_>,
    ) -> (Bucket, String) {
        (
            it,
            [a, b, c, d, e, f, g, h].concat() + &lent.get::<MyBucket>().name,
        )
    }
    fn alive() -> (u32, u32) {
        ALIVE.get()
    }
    fn plain(x: u32) -> u32 {
        x + 1
    }
}

async fn sum_of(mut of: StreamReader<u8>) -> u64 {
    let (mut sum, mut buffer) = (0, Vec::with_capacity(64 * 1024));
    loop {
        let (result, read) = of.read(buffer).await;
        sum += read.len() as u64;
        buffer = read;
        buffer.clear();
        if result == StreamResult::Dropped {
            return sum;
        }
    }
}

macro_rules! sum {
    ($of:expr, $each:expr) => {{
        let (mut of, mut sum, mut buffer) = ($of, 0, Vec::with_capacity(16 * 1024));
        loop {
            let (result, read) = of.read(buffer).await;
            sum += read.iter().map($each).sum::<u64>();
            buffer = read;
            buffer.clear();
            if result == StreamResult::Dropped {
                return sum;
            }
        }
    }};
}

/// Returns the end of a new stream that gets what `map` makes of each element of `of`.
macro_rules! map {
    ($of:expr, $map:expr) => {{
        let (mut writer, reader) = wit_stream::new();
        let mut of = $of;
        wit_bindgen::spawn_local(async move {
            while let Some(element) = of.next().await {
                if writer.write_one($map(element)).await.is_some() {
                    break;
                }
            }
        });
        reader
    }};
}

impl pipes::Guest for Giver {
    async fn sum_bytes(of: StreamReader<u8>) -> u64 {
        sum_of(of).await
    }
    async fn make_bytes(count: u64, chunk: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            let (mut left, mut buffer) = (count, vec![7; chunk as usize]);
            while left > 0 {
                buffer.resize((chunk as u64).min(left) as usize, 7);
                left -= buffer.len() as u64;
                if !writer.write_all(buffer).await.is_empty() {
                    return;
                }
                buffer = vec![7; chunk as usize];
            }
        });
        reader
    }
    async fn sum_numbers(of: StreamReader<u32>) -> u64 {
        sum!(of, |n: &u32| u64::from(*n))
    }
    async fn sum_signed(of: StreamReader<i32>) -> u64 {
        sum!(of, |n: &i32| *n as u64)
    }
    async fn sum_strings(of: StreamReader<String>) -> u64 {
        sum!(of, |text: &String| text.len() as u64)
    }
    async fn sum_points(of: StreamReader<Point>) -> u64 {
        sum!(of, |point: &Point| point.y)
    }
    async fn double(of: StreamReader<u32>) -> StreamReader<u32> {
        map!(of, |n| n * 2)
    }
    async fn negate(of: StreamReader<i8>) -> StreamReader<i8> {
        map!(of, |n: i8| -n)
    }
    async fn upper(of: StreamReader<String>) -> StreamReader<String> {
        map!(of, |text: String| text.to_uppercase())
    }
    async fn points(
        mut of: StreamReader<Point>,
    ) -> (StreamReader<Point>, FutureReader<Result<u32, String>>) {
        let (mut writer, reader) = wit_stream::new();
        let (last, end) = wit_future::new(|| Err("gave up".into()));
        wit_bindgen::spawn_local(async move {
            let mut count = 0;
            loop {
                let (result, points) = of.read(Vec::with_capacity(10)).await;
                count += points.len() as u32;
                let points = points
                    .into_iter()
                    .map(|p| Point {
                        label: p.label + "!",
                        ..p
                    })
                    .collect();
                let left = writer.write_all(points).await;
                if !left.is_empty() || result == StreamResult::Dropped {
                    break;
                }
            }
            drop(writer);
            let _ = last
                .write(if count == 13 {
                    Err("thirteen".into())
                } else {
                    Ok(count)
                })
                .await;
        });
        (reader, end)
    }
    async fn units(mut of: StreamReader<()>) -> u64 {
        let mut count = 0;
        loop {
            // Not `next`: a `Vec` has room for any number of nothings, and `next` keeps one of
            // them.
            let (result, read) = of.read(Vec::new()).await;
            count += read.len() as u64;
            if result == StreamResult::Dropped {
                return count;
            }
        }
    }
    async fn buckets(of: StreamReader<Bucket>) -> StreamReader<Bucket> {
        map!(of, |it: Bucket| {
            it.get::<MyBucket>().set("seen".into(), vec![1]);
            it
        })
    }
    async fn nested(mut of: StreamReader<StreamReader<u8>>) -> Vec<u64> {
        let mut sums = Vec::new();
        while let Some(stream) = of.next().await {
            sums.push(sum_of(stream).await);
        }
        sums
    }
    async fn optional(of: Option<FutureReader<String>>) -> FutureReader<Option<String>> {
        let (writer, reader) = wit_future::new(|| None);
        wit_bindgen::spawn_local(async move {
            let value = match of {
                Some(of) => Some(of.await + "?"),
                None => None,
            };
            let _ = writer.write(value).await;
        });
        reader
    }
    async fn signal(of: FutureReader<()>) -> FutureReader<()> {
        let (writer, reader) = wit_future::new(|| ());
        wit_bindgen::spawn_local(async move {
            of.await;
            let _ = writer.write(()).await;
        });
        reader
    }
    fn pass_stream(of: StreamReader<u8>) -> StreamReader<u8> {
        of
    }
    fn pass_future(of: FutureReader<String>) -> FutureReader<String> {
        of
    }
    async fn some_bytes(mut of: StreamReader<u8>, count: u32) -> u32 {
        let mut left = count as usize;
        while left > 0 {
            let (result, read) = of.read(Vec::with_capacity(left)).await;
            left -= read.len();
            if result == StreamResult::Dropped {
                break;
            }
        }
        count - left as u32
    }
    fn drop_future(of: FutureReader<String>) {
        drop(of)
    }
}

impl trouble::Guest for Giver {
    async fn fail_after(count: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            writer.write_all(vec![7; count as usize]).await;
            panic!("on purpose");
        });
        reader
    }
    fn hoard(count: u32) -> Vec<Bucket> {
        (0..count)
            .map(|n| Bucket::new(MyBucket::named(n.to_string())))
            .collect()
    }
    fn trap() -> Result<(), String> {
        panic!("on purpose");
    }
    async fn drain(of: StreamReader<u8>) {
        wit_bindgen::spawn_local(async move {
            let sum = sum_of(of).await;
            DRAINED.set(DRAINED.get() + sum);
        });
    }
    fn drained() -> u64 {
        DRAINED.get()
    }
    async fn outcome(of: FutureReader<Result<u32, String>>) -> Result<u32, String> {
        of.await
    }
    async fn bare_outcome(of: FutureReader<Result<u32, ()>>) -> Result<u32, ()> {
        of.await
    }
    async fn outcomes(
        mut of: StreamReader<Result<u32, String>>,
        past_errors: bool,
    ) -> Vec<Result<u32, String>> {
        let mut outcomes = Vec::new();
        while let Some(outcome) = of.next().await {
            let is_last = outcome.is_err() && !past_errors;
            outcomes.push(outcome);
            if is_last {
                break;
            }
        }
        outcomes
    }
    async fn spin(_: BucketBorrow<'_>, mut of: StreamReader<u8>) {
        of.next().await;
        loop {
            std::hint::spin_loop();
        }
    }
    async fn laborious(chunks: u32, bytes: u32, micros: u64) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            for _ in 0..chunks {
                let left = writer.write_all(vec![7; bytes as usize]).await;
                if !left.is_empty() {
                    return;
                }
                let began = Instant::now();
                while began.elapsed() < Duration::from_micros(micros) {}
            }
        });
        reader
    }
}

impl choice::Guest for Giver {
    async fn name_over(_: BucketBorrow<'_>, link: Option<String>) -> Result<String, String> {
        if let Some(link) = link {
            links::use_(NAMING, &link)?;
        }
        naming::name().await
    }
    async fn name_later(link: String) -> FutureReader<Result<String, String>> {
        let (writer, reader) = wit_future::new(|| Err("gave up".into()));
        let chosen = links::use_(NAMING, &link);
        wit_bindgen::spawn_local(async move {
            let name = match chosen {
                Ok(()) => naming::name().await,
                Err(error) => Err(error),
            };
            let _ = writer.write(name).await;
        });
        reader
    }
    fn refused(_: BucketBorrow<'_>) -> Option<String> {
        REFUSED.take()
    }
}
