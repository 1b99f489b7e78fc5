//! The component between the other two of `values.wit` as a native provider.

use futures_util::{FutureExt, StreamExt, stream};
use lattice_provider_sdk::{
    ByteReader, Call, Caller, FutureReader, Instance, Refusal, Stateless, StreamReader,
};
use std::sync::OnceLock;

lattice_provider_sdk::provider!({ path: "tests/guests/values", world: "relay" });

use lattice_test::values::{
    flows::{FlowsClient, Reading},
    passing::Passing,
    things::{ThingClient, ThingRef, ThingsClient},
};

const SERVED: &str = "`origin` serves it";

#[derive(Default)]
pub(super) struct Relay(OnceLock<Instance>);

impl Relay {
    fn caller(&self) -> Caller {
        self.0.get().expect("it was started").caller()
    }

    fn things(&self) -> ThingsClient<Caller> {
        ThingsClient::new(self.caller())
    }

    fn flows(&self) -> FlowsClient<Caller> {
        FlowsClient::new(self.caller())
    }
}

impl Stateless for Relay {
    type World = World;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        self.0.get_or_init(|| instance.clone());
        Ok(())
    }
}

impl Passing for Relay {
    async fn make(&self, _: &Call<Self>, name: String) -> ThingClient {
        self.things().new_thing(&name).await.expect(SERVED)
    }

    async fn pass(&self, _: &Call<Self>, it: ThingClient) -> ThingClient {
        it
    }

    async fn consume(&self, _: &Call<Self>, it: ThingClient) -> String {
        self.things().consume(it).await.expect(SERVED)
    }

    async fn look(&self, _: &Call<Self>, it: &ThingRef) -> String {
        self.things().look(it).await.expect(SERVED)
    }

    async fn bytes(&self, _: &Call<Self>, count: u64, size: u32) -> ByteReader {
        self.flows().bytes(count, size).await.expect(SERVED)
    }

    async fn readings(&self, _: &Call<Self>, count: u32) -> StreamReader<Reading> {
        self.flows().readings(count).await.expect(SERVED)
    }

    async fn made(&self, _: &Call<Self>, count: u32) -> StreamReader<ThingClient> {
        self.flows().made(count).await.expect(SERVED)
    }

    async fn later(&self, _: &Call<Self>, name: String) -> FutureReader<ThingClient> {
        self.flows().later(&name).await.expect(SERVED)
    }

    async fn sum_bytes(&self, _: &Call<Self>, of: ByteReader) -> u64 {
        self.flows().sum_bytes(of).await.expect(SERVED)
    }

    async fn names_of(
        &self,
        _: &Call<Self>,
        of: StreamReader<ThingClient>,
        beside: &ThingRef,
    ) -> Vec<String> {
        self.flows().names_of(of, beside).await.expect(SERVED)
    }

    async fn name_of(
        &self,
        _: &Call<Self>,
        of: FutureReader<ThingClient>,
        beside: &ThingRef,
    ) -> String {
        self.flows().name_of(of, beside).await.expect(SERVED)
    }

    async fn back(&self, _: &Call<Self>, of: ByteReader) -> ByteReader {
        self.flows().back(of).await.expect(SERVED)
    }

    async fn pass_later(
        &self,
        _: &Call<Self>,
        of: FutureReader<ThingClient>,
    ) -> FutureReader<ThingClient> {
        of
    }

    async fn rest(&self, _: &Call<Self>, of: ByteReader, count: u32) -> ByteReader {
        after(of, count as usize).await
    }

    async fn sum_rest(&self, _: &Call<Self>, of: ByteReader, count: u32) -> u64 {
        let rest = after(of, count as usize).await;
        self.flows().sum_bytes(rest).await.expect(SERVED)
    }

    async fn trap_while(&self, _: &Call<Self>, of: ByteReader) -> Result<(), String> {
        // The call has begun when it is dropped.
        let flows = self.flows();
        let sum = flows.sum_bytes(of).into_future().now_or_never();
        Err(format!("on purpose, after {sum:?}"))
    }
}

/// Returns what follows after so many bytes of a stream.
async fn after(mut of: ByteReader, count: usize) -> ByteReader {
    let mut left = count;
    while left > 0 {
        let Some(Ok(mut chunk)) = of.next().await else {
            break;
        };
        if chunk.len() > left {
            let rest = chunk.split_off(left);
            return ByteReader::fallible(stream::iter([Ok(rest)]).chain(of));
        }
        left -= chunk.len();
    }
    of
}
