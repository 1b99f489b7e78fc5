//! A provider that is given the resources of another one.

use super::{link, served};
use lattice_core::call::CallError;
use lattice_provider_sdk::{Call, Caller, Stateless, serve};
use std::sync::Mutex;

mod relaying {
    lattice_provider_sdk::provider!({ path: "tests/wit-flow", world: "relaying" });
}

use relaying::test::flow::{
    relay::{Relay, RelayClient},
    store::{BucketClient, BucketRef, INTERFACE as STORE, StoreClient},
};

pub(super) use relaying::test::flow::relay::INTERFACE;

struct Middle {
    caller: Caller,
    kept: Mutex<Option<BucketClient>>,
}

impl Stateless for Middle {
    type World = relaying::World;
}

impl Relay for Middle {
    async fn look(&self, _: &Call<Self>, bucket: &BucketRef, key: String) -> Option<String> {
        let refused = bucket.get(&key).await.expect_err("it has no caller");
        assert!(refused.to_string().contains("via(caller)"), "{refused}");
        let found = bucket.via(self.caller.clone()).get(&key).await;
        found.expect("it is lent")
    }

    async fn keep(&self, _: &Call<Self>, bucket: BucketClient) {
        *self.kept.lock().expect("no panic") = Some(bucket.via(self.caller.clone()));
    }

    async fn give_back(&self, _: &Call<Self>) -> Option<BucketClient> {
        self.kept.lock().expect("no panic").take()
    }
}

#[tokio::test]
async fn a_resource_is_lent_and_given_through_another_component() -> Result<(), CallError> {
    let served = served().await;
    let middle = Middle {
        caller: served.lattice.caller("middle").expect("an id"),
        kept: Mutex::default(),
    };
    let serving = serve(&served.lattice, "middle", middle)
        .await
        .expect("served");
    link(&served.lattice, "middle", STORE.name(), "buckets").await;
    link(&served.lattice, "app", INTERFACE.name(), "middle").await;
    let app = served.lattice.caller("app").expect("an id");
    let (store, relay) = (StoreClient::new(app.clone()), RelayClient::new(app));

    let bucket = store.new_bucket("one").await?;
    bucket.set("k", "v").await?;
    assert_eq!(relay.look(&bucket, "k").await?, Some("v".to_owned()));
    let same = (*bucket).via(served.lattice.caller("app").expect("an id"));
    relay.keep(bucket).await?;
    let refused = same.get("k").await.expect_err("it was given away");
    assert!(
        matches!(refused, CallError::StaleHandle { .. }),
        "{refused}"
    );
    let bucket = relay.give_back().await?.expect("it was kept");
    assert_eq!(bucket.get("k").await?, Some("v".to_owned()));
    assert!(relay.give_back().await?.is_none());
    relay.keep(bucket).await?;
    assert_eq!(served.live.count(), 1);
    // What a component holds is dropped with it.
    drop(serving);
    super::until(&served.live, 0).await;
    Ok(())
}
