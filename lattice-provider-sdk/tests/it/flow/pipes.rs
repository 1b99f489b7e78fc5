//! A provider of streams and futures.

use super::{
    Bucket, Buckets, One,
    test::flow::pipes::{Entry, Feed, Pipes},
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use lattice_provider_sdk::{Broken, ByteReader, Bytes, Call, FutureReader, Own, StreamReader};

impl Buckets {
    /// Returns a stream that counts as a source as long as it is there.
    fn source<S: Stream>(&self, items: S) -> impl Stream<Item = S::Item> + use<S> {
        let one = self.sources.one();
        items.map(move |item| {
            let _one: &One = &one;
            item
        })
    }
}

impl Pipes for Buckets {
    async fn sum(&self, _: &Call<Self>, numbers: StreamReader<u32>) -> Result<u64, String> {
        let sum = numbers.try_fold(0, async |sum, number| Ok(sum + u64::from(number)));
        sum.await.map_err(|broken| broken.to_string())
    }

    async fn count(&self, _: &Call<Self>, from: u32) -> StreamReader<u32> {
        StreamReader::new(self.source(stream::iter(from..)))
    }

    async fn upload(&self, _: &Call<Self>, data: ByteReader) -> u64 {
        let sizes = data.map(|chunk| chunk.map_or(0, |chunk| chunk.len() as u64));
        sizes.fold(0, async |sum, size| sum + size).await
    }

    async fn download(&self, _: &Call<Self>, size: u64) -> ByteReader {
        let parts = (0..size).step_by(1 << 20);
        let chunks = parts.map(move |at| vec![7; (size - at).min(1 << 20) as usize].into());
        ByteReader::new(self.source(stream::iter(chunks)))
    }

    async fn broken(&self, _: &Call<Self>, after: u32) -> StreamReader<u32> {
        let (mut writer, reader) = StreamReader::channel();
        tokio::spawn(async move {
            for number in 0..after {
                if writer.send(number).await.is_err() {
                    return;
                }
            }
            writer.fail("out of numbers");
        });
        reader
    }

    async fn lost(&self, _: &Call<Self>) -> StreamReader<u32> {
        StreamReader::channel().1
    }

    async fn later(&self, _: &Call<Self>) -> FutureReader<String> {
        let one = self.sources.one();
        FutureReader::new(async move {
            tokio::task::yield_now().await;
            drop(one);
            "later".to_owned()
        })
    }

    async fn wait(&self, _: &Call<Self>, value: FutureReader<String>) -> Result<String, String> {
        value.await.map_err(|broken| broken.to_string())
    }

    async fn make_feed(&self, _: &Call<Self>) -> Feed {
        Feed {
            name: "feed".to_owned(),
            lines: StreamReader::new(stream::iter(["a", "b"].map(str::to_owned))),
            total: FutureReader::new(async { 2 }),
        }
    }

    async fn read(&self, _: &Call<Self>, feed: Feed) -> Vec<String> {
        let mut lines: Vec<_> = feed.lines.try_collect().await.expect("whole");
        lines.push(feed.total.await.expect("a value").to_string());
        lines
    }

    async fn echo(
        &self,
        _: &Call<Self>,
        data: ByteReader,
        mut numbers: StreamReader<u32>,
    ) -> (ByteReader, StreamReader<u32>) {
        // A stream that was read in part is passed on with the rest.
        let first = numbers.next().await;
        assert_eq!(first, Some(Ok(0)));
        (data, numbers)
    }

    async fn nested(&self, _: &Call<Self>) -> StreamReader<ByteReader> {
        let inner = |text: &'static str| {
            ByteReader::new(stream::iter([Bytes::from_static(text.as_bytes())]))
        };
        StreamReader::new(stream::iter(["one", "two"]).map(inner))
    }

    async fn ticks(&self, _: &Call<Self>, count: u32) -> StreamReader<()> {
        StreamReader::new(stream::iter(0..count).map(drop))
    }

    async fn make(&self, _: &Call<Self>, count: u32) -> StreamReader<Entry<Own<Bucket>>> {
        let buckets: Vec<_> = (0..count).map(|n| self.bucket(n.to_string())).collect();
        let entries = buckets.into_iter().map(|bucket| Entry {
            name: bucket.name.clone(),
            bucket: bucket.into(),
        });
        StreamReader::new(stream::iter(entries))
    }

    async fn close(&self, _: &Call<Self>, buckets: StreamReader<Own<Bucket>>) -> Vec<String> {
        let names = buckets.map_ok(|bucket| bucket.name.clone());
        let names: Result<_, Broken> = names.try_collect().await;
        names.unwrap_or_else(|broken| vec![broken.to_string()])
    }

    async fn sources(&self, _: &Call<Self>) -> u32 {
        self.sources.count()
    }
}
