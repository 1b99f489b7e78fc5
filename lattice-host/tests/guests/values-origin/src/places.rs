//! Handles in values that are in streams and futures, and streams and futures in values.

use crate::exports::lattice_test::values::{
    places::{Guest, GuestLabel, Holding, Job, Label, Level, Marks, Point, Sample},
    things::{Thing, ThingBorrow},
};
use crate::{Named, Origin, read, wit_future, wit_stream};
use wit_bindgen::{FutureReader, StreamReader};

pub struct Tag(String);

impl GuestLabel for Tag {
    fn new(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a label needs a text".to_owned());
        }
        Ok(Self(text))
    }

    async fn made(text: String) -> Label {
        wit_bindgen::yield_async().await;
        Label::new(Self(text))
    }

    fn text(&self) -> String {
        self.0.clone()
    }

    fn put_on(&self, it: ThingBorrow<'_>) -> String {
        it.get::<Named>().name.replace(self.0.clone())
    }

    async fn read(&self, a: ThingBorrow<'_>, b: ThingBorrow<'_>) -> Vec<String> {
        wit_bindgen::yield_async().await;
        vec![a.get::<Named>().text(), b.get::<Named>().text()]
    }

    fn turn_into(it: Label, of: Thing) -> Thing {
        let tag: Tag = it.into_inner();
        of.get::<Named>().name.replace(tag.0);
        of
    }
}

fn point(n: u32) -> Point {
    Point {
        x: f64::from(n) / 4.0,
        y: -(n as i16),
    }
}

fn sample(n: u32) -> Sample {
    Sample {
        marks: if n % 2 == 0 {
            Marks::SEEN | Marks::LOST
        } else {
            Marks::empty()
        },
        level: match n % 3 {
            0 => Level::Low,
            1 => Level::Middle,
            _ => Level::High,
        },
        at: point(n),
        path: (0..n % 5).map(point).collect(),
        note: (n % 3 == 0).then(|| format!("n{n}")),
        key: char::from_u32('ä' as u32 + n % 26).unwrap(),
        is_last: n % 10 == 9,
        outcome: if n % 4 == 0 {
            Err(Level::High)
        } else {
            Ok(u64::from(n) << 33)
        },
    }
}

fn holding(n: usize, name: String) -> Holding {
    match n % 4 {
        0 => Holding::Nothing,
        1 => Holding::One(Named::thing(name)),
        2 => Holding::Named((format!("label of {name}"), Named::thing(name))),
        _ => Holding::Many(vec![
            Named::thing(format!("{name} 1")),
            Named::thing(format!("{name} 2")),
        ]),
    }
}

fn named(name: String) -> Result<Thing, String> {
    if name.is_empty() {
        return Err("a thing needs a name".to_owned());
    }
    Ok(Named::thing(name))
}

fn name(it: Thing) -> String {
    it.get::<Named>().text()
}

async fn length(of: StreamReader<u8>) -> u64 {
    read(of, usize::MAX).await.0.len() as u64
}

impl Guest for Origin {
    type Label = Tag;

    async fn samples(count: u32) -> StreamReader<Sample> {
        stream_of!((0..count).map(sample), 7)
    }

    async fn count_right(mut of: StreamReader<Sample>) -> u32 {
        let (mut at, mut right) = (0, 0);
        while let Some(it) = of.next().await {
            right += u32::from(format!("{it:?}") == format!("{:?}", sample(at)));
            at += 1;
        }
        right
    }

    async fn holdings(names: Vec<String>) -> StreamReader<Holding> {
        let all = names.into_iter().enumerate();
        stream_of!(all.map(|(n, name)| holding(n, name)), 3)
    }

    async fn names_held(mut of: StreamReader<Holding>, _: ThingBorrow<'_>) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(it) = of.next().await {
            match it {
                Holding::Nothing => names.push("nothing".to_owned()),
                Holding::One(it) => names.push(name(it)),
                Holding::Named((label, it)) => names.push(label + &name(it)),
                Holding::Many(all) => names.extend(all.into_iter().map(name)),
            }
        }
        names
    }

    async fn tried(names: Vec<String>) -> StreamReader<Result<Thing, String>> {
        stream_of!(names.into_iter().map(named), 2)
    }

    async fn names_of_some(
        mut of: StreamReader<Option<Thing>>,
        _: ThingBorrow<'_>,
    ) -> Vec<Option<String>> {
        let mut names = Vec::new();
        while let Some(it) = of.next().await {
            names.push(it.map(name));
        }
        names
    }

    async fn promised(name: String) -> FutureReader<Result<Thing, String>> {
        future_of!(named(name))
    }

    async fn read_promise(
        of: FutureReader<Result<Thing, String>>,
        _: ThingBorrow<'_>,
    ) -> Result<String, String> {
        of.await.map(name)
    }

    async fn blobs(sizes: Vec<u32>) -> StreamReader<Vec<u8>> {
        let blob = |size: u32| (0..size).map(|at| at as u8).collect::<Vec<u8>>();
        stream_of!(sizes.into_iter().map(blob), 1)
    }

    async fn sizes_of(mut of: StreamReader<Vec<u8>>) -> Vec<u32> {
        let mut sizes = Vec::new();
        while let Some(blob) = of.next().await {
            assert!(
                (0..)
                    .zip(&blob)
                    .all(|(at, byte): (u32, &u8)| at as u8 == *byte)
            );
            sizes.push(blob.len() as u32);
        }
        sizes
    }

    async fn opened(count: u32) -> Result<StreamReader<u8>, String> {
        if count == 0 {
            return Err("there is nothing to read".to_owned());
        }
        Ok(stream_of!((0..count).map(|at| at as u8), 1_000))
    }

    async fn total_of(all: Vec<StreamReader<u8>>) -> u64 {
        let mut total = 0;
        for of in all {
            total += length(of).await;
        }
        total
    }

    async fn total_of_some(of: Option<StreamReader<u8>>) -> Option<u64> {
        match of {
            Some(of) => Some(length(of).await),
            None => None,
        }
    }

    async fn late_bytes(count: u32) -> FutureReader<StreamReader<u8>> {
        future_of!(stream_of!((0..count).map(|at| at as u8), 1_000))
    }

    async fn texts(all: Vec<String>) -> StreamReader<FutureReader<String>> {
        stream_of!(all.into_iter().map(|text| future_of!(text)), 1)
    }

    async fn done(it: Job) -> Job {
        let Job {
            label,
            input,
            it,
            reply,
        } = it;
        let (mut writer, back) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            let all = read(input, usize::MAX).await.0;
            writer.write_all(all).await;
        });
        let (answer, answered) = wit_future::new(|| unreachable!());
        wit_bindgen::spawn_local(async move {
            let text = reply.await;
            // It comes back when the reader goes away.
            let _ = answer.write(text + "?").await;
        });
        Job {
            label: label + "!",
            input: back,
            it,
            reply: answered,
        }
    }
}
