//! The things and the flows of `values.wit` as a native provider.

use futures_util::{StreamExt, TryStreamExt, stream};
use lattice_core::sync::Mutex;
use lattice_provider_sdk::{
    Broken, ByteReader, Bytes, Call, FutureReader, Lent, Own, Stateless, StreamReader,
};
use std::{mem, sync::Arc};
use tokio::sync::Notify;

lattice_provider_sdk::provider!({ path: "tests/guests/values", world: "native-origin" });

use lattice_test::values::{
    flows::{Flows, Reading},
    things::{self, Boxed, Choice, Pair, Things},
};

/// The provider. Its clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Origin(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    /// How many things were made.
    made: usize,
    /// The names of those that were dropped, in order.
    dropped: Vec<String>,
}

pub(super) struct Thing {
    name: Mutex<String>,
    renamed: Notify,
    /// How many things had been dropped when this one was made.
    dropped: usize,
    origin: Origin,
}

impl Origin {
    /// Returns how many things there are.
    pub(super) fn things(&self) -> usize {
        let record = self.0.lock();
        record.made - record.dropped.len()
    }

    fn thing(&self, name: String) -> Thing {
        let mut record = self.0.lock();
        record.made += 1;
        Thing {
            name: Mutex::new(name),
            renamed: Notify::new(),
            dropped: record.dropped.len(),
            origin: self.clone(),
        }
    }
}

impl Thing {
    fn text(&self) -> String {
        self.name.lock().clone()
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        let name = mem::take(&mut *self.name.lock());
        self.origin.0.lock().dropped.push(name);
    }
}

impl Stateless for Origin {
    type World = World;
}

impl things::Thing<Origin> for Thing {
    async fn name(&self, _: &Call<Origin>) -> String {
        self.text()
    }

    async fn rename(&self, _: &Call<Origin>, to: String) -> String {
        let before = mem::replace(&mut *self.name.lock(), to);
        self.renamed.notify_waiters();
        before
    }

    async fn wait_for(&self, _: &Call<Origin>, name: String) {
        loop {
            // From here on, no change is missed.
            let renamed = self.renamed.notified();
            if self.text() == name {
                return;
            }
            renamed.await;
        }
    }

    async fn dropped(&self, _: &Call<Origin>) -> Vec<String> {
        self.origin.0.lock().dropped[self.dropped..].to_vec()
    }

    async fn trap(&self, _: &Call<Origin>) -> Result<(), String> {
        Err("on purpose".to_owned())
    }
}

impl Things for Origin {
    type Thing = Thing;

    async fn new_thing(&self, _: &Call<Self>, name: String) -> Thing {
        self.thing(name)
    }

    async fn thing_named(&self, _: &Call<Self>, name: String) -> Result<Thing, String> {
        if name.is_empty() {
            return Err("a thing needs a name".to_owned());
        }
        Ok(self.thing(name))
    }

    async fn consume(&self, _: &Call<Self>, it: Thing) -> String {
        it.text()
    }

    async fn look(&self, _: &Call<Self>, it: &Thing) -> String {
        it.text()
    }

    async fn wrap(&self, _: &Call<Self>, it: Thing, label: String) -> Boxed<Own<Thing>> {
        Boxed {
            label,
            it: it.into(),
            size: 7,
        }
    }

    async fn unwrap(&self, _: &Call<Self>, it: Boxed<Own<Thing>>) -> Thing {
        it.it.into_inner()
    }

    async fn maybe(&self, _: &Call<Self>, it: Option<Own<Thing>>) -> Option<Thing> {
        it.map(Own::into_inner)
    }

    async fn choose(&self, _: &Call<Self>, it: Choice<Own<Thing>>) -> Choice<Own<Thing>> {
        it
    }

    async fn tried(&self, _: &Call<Self>, it: Result<Own<Thing>, String>) -> Result<Thing, String> {
        it.map(Own::into_inner)
    }

    async fn all(&self, _: &Call<Self>, names: Vec<String>) -> Vec<Own<Thing>> {
        let things = names.into_iter().map(|name| Own::new(self.thing(name)));
        things.collect()
    }

    async fn names(&self, _: &Call<Self>, all: Vec<Lent<Thing>>) -> Vec<String> {
        all.iter().map(|it| it.text()).collect()
    }

    async fn joined(
        &self,
        _: &Call<Self>,
        both: Pair<Lent<Thing>>,
        more: Option<Lent<Thing>>,
    ) -> String {
        let more = more.map(|it| it.text());
        both.first.text() + &both.second.text() + &more.unwrap_or_default()
    }
}

impl Flows for Origin {
    async fn bytes(&self, _: &Call<Self>, count: u64, size: u32) -> ByteReader {
        counting(count, size)
    }

    async fn readings(&self, _: &Call<Self>, count: u32) -> StreamReader<Reading> {
        StreamReader::new(stream::iter((0..count).map(reading)))
    }

    async fn made(&self, _: &Call<Self>, count: u32) -> StreamReader<Own<Thing>> {
        let origin = self.clone();
        let made = move |n| Own::new(origin.thing(format!("made {n}")));
        StreamReader::new(stream::iter((0..count).map(made)))
    }

    async fn nested(&self, _: &Call<Self>, lengths: Vec<u32>) -> StreamReader<ByteReader> {
        let streams = lengths.into_iter();
        let streams = streams.map(|length| counting(length.into(), 1_000));
        StreamReader::new(stream::iter(streams))
    }

    async fn text(&self, _: &Call<Self>, text: String) -> FutureReader<String> {
        FutureReader::new(async move { text })
    }

    async fn later(&self, _: &Call<Self>, name: String) -> FutureReader<Own<Thing>> {
        let it = Own::new(self.thing(name));
        FutureReader::new(async move { it })
    }

    async fn outcome(
        &self,
        _: &Call<Self>,
        of: Result<u32, String>,
    ) -> FutureReader<Result<u32, String>> {
        FutureReader::new(async move { of })
    }

    async fn sum_bytes(&self, _: &Call<Self>, of: ByteReader) -> u64 {
        let sum = of.try_fold(0_u64, async |sum, chunk| {
            let bytes = chunk.iter().map(|byte| u64::from(*byte));
            Ok(sum + bytes.sum::<u64>())
        });
        sum.await.unwrap_or(u64::MAX)
    }

    async fn sum_readings(&self, _: &Call<Self>, of: StreamReader<Reading>) -> u64 {
        let sum = of.try_fold(0_u64, async |sum, reading| {
            let sizes = reading.label.len() + reading.tags.len();
            Ok(sum + reading.at + sizes as u64)
        });
        sum.await.unwrap_or(u64::MAX)
    }

    async fn names_of(
        &self,
        _: &Call<Self>,
        of: StreamReader<Own<Thing>>,
        _: &Thing,
    ) -> Vec<String> {
        let names = of.map_ok(|it| it.text()).try_collect();
        names
            .await
            .unwrap_or_else(|broken| vec![broken.to_string()])
    }

    async fn lengths(&self, _: &Call<Self>, mut of: StreamReader<ByteReader>) -> Vec<u64> {
        let mut lengths = Vec::new();
        while let Some(Ok(bytes)) = of.next().await {
            lengths.push(read(bytes, usize::MAX).await.unwrap_or_default() as u64);
        }
        lengths
    }

    async fn read_text(&self, _: &Call<Self>, of: FutureReader<String>) -> String {
        of.await.unwrap_or_else(|broken| broken.to_string())
    }

    async fn name_of(&self, _: &Call<Self>, of: FutureReader<Own<Thing>>, _: &Thing) -> String {
        of.await
            .map_or_else(|broken| broken.to_string(), |it| it.text())
    }

    async fn read_outcome(
        &self,
        _: &Call<Self>,
        of: FutureReader<Result<u32, String>>,
    ) -> Result<u32, String> {
        of.await.unwrap_or_else(|broken| Err(broken.to_string()))
    }

    async fn back(&self, _: &Call<Self>, of: ByteReader) -> ByteReader {
        of
    }

    async fn back_later(
        &self,
        _: &Call<Self>,
        of: FutureReader<Own<Thing>>,
    ) -> FutureReader<Own<Thing>> {
        of
    }

    async fn some(&self, _: &Call<Self>, of: ByteReader, count: u32) -> u32 {
        let got = read(of, count as usize).await;
        got.unwrap_or_default() as u32
    }

    async fn unread(&self, _: &Call<Self>, of: ByteReader, text: FutureReader<String>) {
        drop((of, text));
    }

    async fn broken(&self, _: &Call<Self>, count: u32) -> ByteReader {
        let bytes = Bytes::from(vec![7_u8; count as usize]);
        let broken = Broken::Failed {
            reason: "on purpose".into(),
        };
        ByteReader::fallible(stream::iter([Ok(bytes), Err(broken)]))
    }

    async fn trap_after(&self, _: &Call<Self>, of: ByteReader, count: u32) -> Result<(), String> {
        let got = read(of, count as usize).await;
        Err(format!("on purpose, after {got:?}"))
    }
}

/// Returns a stream of so many bytes, in chunks of this size.
fn counting(count: u64, size: u32) -> ByteReader {
    let chunks = (0..count).step_by(size as usize).map(move |start| {
        let end = count.min(start + u64::from(size));
        (start..end).map(|at| at as u8).collect::<Bytes>()
    });
    ByteReader::new(stream::iter(chunks))
}

/// Reads at most so many bytes of a stream, and drops the rest. Returns how many there were.
async fn read(mut of: ByteReader, count: usize) -> Result<usize, Broken> {
    let mut got = 0;
    while got < count {
        let Some(chunk) = of.try_next().await? else {
            break;
        };
        got += chunk.len();
    }
    Ok(got.min(count))
}

fn reading(n: u32) -> Reading {
    Reading {
        x: n as u8,
        label: format!("r{n}"),
        at: n.into(),
        tags: vec![1_u8; n as usize % 9].into(),
    }
}
