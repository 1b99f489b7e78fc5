//! Has the resources, and makes and reads streams and futures: see `values.wit`.

wit_bindgen::generate!({ path: "../values", world: "origin" });

use exports::lattice_test::values::flows::{self, Reading};
use exports::lattice_test::values::things::{
    self, Boxed, Choice, GuestThing, Pair, Thing, ThingBorrow,
};
use std::cell::RefCell;
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

thread_local! {
    static DROPPED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Origin;
export!(Origin);

struct Named {
    name: RefCell<String>,
    /// How many things had been dropped when this one was made.
    dropped: usize,
}

impl Named {
    fn called(name: String) -> Self {
        Self {
            name: RefCell::new(name),
            dropped: DROPPED.with_borrow(Vec::len),
        }
    }

    fn thing(name: String) -> Thing {
        Thing::new(Self::called(name))
    }

    fn text(&self) -> String {
        self.name.borrow().clone()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let name = self.name.take();
        DROPPED.with_borrow_mut(|dropped| dropped.push(name));
    }
}

impl GuestThing for Named {
    fn new(name: String) -> Self {
        Self::called(name)
    }

    fn named(name: String) -> Result<Thing, String> {
        if name.is_empty() {
            return Err("a thing needs a name".to_owned());
        }
        Ok(Self::thing(name))
    }

    fn name(&self) -> String {
        self.text()
    }

    fn rename(&self, to: String) -> String {
        self.name.replace(to)
    }

    async fn wait_for(&self, name: String) {
        while *self.name.borrow() != name {
            wit_bindgen::yield_async().await;
        }
    }

    fn dropped(&self) -> Vec<String> {
        DROPPED.with_borrow(|dropped| dropped[self.dropped..].to_vec())
    }

    fn trap(&self) -> Result<(), String> {
        panic!("on purpose");
    }
}

impl things::Guest for Origin {
    type Thing = Named;

    fn consume(it: Thing) -> String {
        it.get::<Named>().text()
    }

    fn look(it: ThingBorrow<'_>) -> String {
        it.get::<Named>().text()
    }

    fn wrap(it: Thing, label: String) -> Boxed {
        Boxed { label, it, size: 7 }
    }

    fn unwrap(it: Boxed) -> Thing {
        it.it
    }

    fn maybe(it: Option<Thing>) -> Option<Thing> {
        it
    }

    fn choose(it: Choice) -> Choice {
        it
    }

    fn tried(it: Result<Thing, String>) -> Result<Thing, String> {
        it
    }

    fn all(names: Vec<String>) -> Vec<Thing> {
        names.into_iter().map(Named::thing).collect()
    }

    fn names(all: Vec<ThingBorrow<'_>>) -> Vec<String> {
        all.iter().map(|it| it.get::<Named>().text()).collect()
    }

    fn joined(both: Pair<'_>, more: Option<ThingBorrow<'_>>) -> String {
        let more = more.map(|it| it.get::<Named>().text());
        let (first, second) = (both.first.get::<Named>(), both.second.get::<Named>());
        first.text() + &second.text() + &more.unwrap_or_default()
    }
}

/// Returns the end of a new stream to which a task writes `$elements`, `$size` at a time.
macro_rules! stream_of {
    ($elements:expr, $size:expr) => {{
        let (mut writer, reader) = wit_stream::new();
        let (mut elements, size) = ($elements, $size as usize);
        wit_bindgen::spawn_local(async move {
            loop {
                let part: Vec<_> = elements.by_ref().take(size).collect();
                if part.is_empty() || !writer.write_all(part).await.is_empty() {
                    return;
                }
            }
        });
        reader
    }};
}

/// Returns the end of a new future to which a task writes `$value`.
macro_rules! future_of {
    ($value:expr) => {{
        let (writer, reader) = wit_future::new(|| unreachable!());
        let value = $value;
        wit_bindgen::spawn_local(async move {
            // It comes back when the reader goes away.
            let _ = writer.write(value).await;
        });
        reader
    }};
}

mod places;

impl flows::Guest for Origin {
    async fn bytes(count: u64, size: u32) -> StreamReader<u8> {
        stream_of!((0..count).map(|at| at as u8), size)
    }

    async fn readings(count: u32) -> StreamReader<Reading> {
        stream_of!((0..count).map(reading), 10)
    }

    async fn made(count: u32) -> StreamReader<Thing> {
        stream_of!((0..count).map(|n| Named::thing(format!("made {n}"))), 3)
    }

    async fn nested(lengths: Vec<u32>) -> StreamReader<StreamReader<u8>> {
        let streams = lengths
            .into_iter()
            .map(|length| stream_of!((0..length).map(|at| at as u8), 1_000));
        stream_of!(streams, 1)
    }

    async fn text(text: String) -> FutureReader<String> {
        future_of!(text)
    }

    async fn later(name: String) -> FutureReader<Thing> {
        future_of!(Named::thing(name))
    }

    async fn outcome(of: Result<u32, String>) -> FutureReader<Result<u32, String>> {
        future_of!(of)
    }

    async fn sum_bytes(of: StreamReader<u8>) -> u64 {
        read(of, usize::MAX)
            .await
            .0
            .iter()
            .map(|b| u64::from(*b))
            .sum()
    }

    async fn sum_readings(mut of: StreamReader<Reading>) -> u64 {
        let mut sum = 0;
        while let Some(reading) = of.next().await {
            sum += reading.at + reading.label.len() as u64 + reading.tags.len() as u64;
        }
        sum
    }

    async fn names_of(mut of: StreamReader<Thing>, _: ThingBorrow<'_>) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(it) = of.next().await {
            names.push(it.get::<Named>().text());
        }
        names
    }

    async fn lengths(mut of: StreamReader<StreamReader<u8>>) -> Vec<u64> {
        let mut lengths = Vec::new();
        while let Some(stream) = of.next().await {
            lengths.push(read(stream, usize::MAX).await.0.len() as u64);
        }
        lengths
    }

    async fn read_text(of: FutureReader<String>) -> String {
        of.await
    }

    async fn name_of(of: FutureReader<Thing>, _: ThingBorrow<'_>) -> String {
        of.await.get::<Named>().text()
    }

    async fn read_outcome(of: FutureReader<Result<u32, String>>) -> Result<u32, String> {
        of.await
    }

    fn back(of: StreamReader<u8>) -> StreamReader<u8> {
        of
    }

    fn back_later(of: FutureReader<Thing>) -> FutureReader<Thing> {
        of
    }

    async fn some(of: StreamReader<u8>, count: u32) -> u32 {
        read(of, count as usize).await.0.len() as u32
    }

    fn unread(of: StreamReader<u8>, text: FutureReader<String>) {
        drop((of, text));
    }

    async fn broken(count: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            writer.write_all(vec![7; count as usize]).await;
            panic!("on purpose");
        });
        reader
    }

    async fn trap_after(of: StreamReader<u8>, count: u32) -> Result<(), String> {
        let _of = read(of, count as usize).await.1;
        panic!("on purpose");
    }
}

/// Reads at most `count` bytes, and returns the stream as well if that is not its end.
async fn read(mut of: StreamReader<u8>, count: usize) -> (Vec<u8>, Option<StreamReader<u8>>) {
    let mut all = Vec::new();
    while all.len() < count {
        let room = (count - all.len()).min(16 << 10);
        let (result, mut part) = of.read(Vec::with_capacity(room)).await;
        all.append(&mut part);
        if result == StreamResult::Dropped {
            return (all, None);
        }
    }
    (all, Some(of))
}

fn reading(n: u32) -> Reading {
    Reading {
        x: n as u8,
        label: format!("r{n}"),
        at: u64::from(n),
        tags: vec![1; n as usize % 9],
    }
}
