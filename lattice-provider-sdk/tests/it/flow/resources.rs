//! Resources: who has them, and when they are dropped.

use super::{
    link, served, served_within,
    store::{self, Entry, Error, Lookup, StoreClient},
    until,
};
use lattice_core::{
    call::{CallError, Context, FunctionRef, Limit},
    stream::{Body, Handle, Owned},
};
use lattice_provider_sdk::{Caller, Invoke, world::WitWorld};

type Outcome = Result<(), CallError>;

#[tokio::test]
async fn a_resource_lives_as_long_as_its_handle() -> Outcome {
    let served = served().await;
    let one = served.store.new_bucket("one").await?;
    let two = served.store.bucket_open("two").await?.expect("it exists");
    assert_eq!(served.store.live().await?, 2);
    one.set("a", "1").await?;
    assert_eq!(one.get("a").await?, Some("1".to_owned()));
    assert_eq!(two.get("a").await?, None);
    assert_eq!(one.copy_to(&two).await?, 1);
    assert_eq!(two.get("a").await?, Some("1".to_owned()));
    drop(one);
    assert_eq!(served.live.count(), 1);
    assert_eq!(two.get("a").await?, Some("1".to_owned()));
    let refused = served.store.bucket_open("none").await?;
    let refused = refused.expect_err("there is none");
    assert_eq!(refused, Error::NoSuchBucket("none".to_owned()));
    drop(two);
    assert_eq!(served.live.count(), 0);
    Ok(())
}

#[tokio::test]
async fn resources_come_in_every_value_and_go_back() -> Outcome {
    let served = served().await;
    let store = &served.store;
    assert!(store.find("none").await?.is_none());
    let found = store.find("found").await?.expect("it exists");
    let Entry { name, bucket } = store.make_entry("entry").await?;
    assert_eq!(name, "entry");
    let names = ["a".to_owned(), "b".to_owned()];
    let all = store.all(&names).await?;
    assert_eq!(served.live.count(), 4);
    bucket.set("k", "v").await?;
    all[1].bucket.set("k", "w").await?;
    assert_eq!(store.count(&[&found, &bucket, &all[1].bucket]).await?, 2);
    let lookup = Lookup {
        bucket: &*all[1].bucket,
        key: "k".to_owned(),
    };
    assert_eq!(store.look_up(&lookup).await?, Some("w".to_owned()));
    assert_eq!(store.close(bucket).await?, "entry");
    assert_eq!(store.close_all(all).await?, ["a", "b"]);
    assert_eq!(served.live.count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_resource_that_is_used_is_dropped_after_that() -> Outcome {
    let served = served().await;
    let bucket = served.store.new_bucket("one").await?;
    let waits = tokio::spawn({
        let (store, key) = (served.store.clone(), "k");
        let other = store.new_bucket("other").await?;
        bucket.set("x", "y").await?;
        async move {
            let waited = other.wait_for(key);
            let first = tokio::time::timeout(std::time::Duration::from_millis(20), waited).await;
            assert!(first.is_err(), "there is no value");
            drop(other);
            store.live().await
        }
    });
    // The call was cancelled, and then the handle dropped.
    assert_eq!(waits.await.expect("no panic")?, 1);
    drop(bucket);
    until(&served.live, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_call_that_gives_a_resource_away_and_is_not_made_drops_it() -> Outcome {
    let served = served().await;
    let bucket = served.store.new_bucket("one").await?;
    drop(served.store.close(bucket));
    assert_eq!(served.live.count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_resource_lent_to_a_running_call_is_not_given_back() -> Outcome {
    let served = served().await;
    let bucket = served.store.new_bucket("one").await?;
    let waiting = tokio::spawn({
        let view = (*bucket).via(served.lattice.caller("app").expect("an id"));
        async move { view.wait_for("k").await }
    });
    // Until the call runs.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let refused = served.store.close(bucket).await;
    let error = refused.expect_err("it is used").to_string();
    assert!(error.contains("lent to a call that still runs"), "{error}");
    waiting.abort();
    until(&served.live, 0).await;
    Ok(())
}

#[tokio::test]
async fn no_more_resources_are_given_than_the_limit() -> Outcome {
    let served = served_within(2).await;
    let one = served.store.new_bucket("one").await?;
    let _two = served.store.new_bucket("two").await?;
    let refused = served.store.new_bucket("three").await;
    let error = refused.expect_err("two are held");
    let expected = Limit::Handles(2);
    assert!(
        matches!(&error, CallError::LimitExceeded { limit, .. } if *limit == expected),
        "{error}"
    );
    assert_eq!(served.live.count(), 2, "it was dropped");
    drop(one);
    served.store.new_bucket("three").await?;
    Ok(())
}

/// Returns the function of this name.
fn function(name: &str) -> FunctionRef {
    let functions = store::INTERFACE.functions();
    let function = functions.iter().find(|function| function.name == name);
    let signature = function.expect("it exists").signature;
    let interface = store::INTERFACE.name();
    FunctionRef::new(
        interface.parse().expect("valid"),
        name.parse().expect("valid"),
        signature,
    )
}

/// Calls a function with bytes and handles as they are.
async fn raw(caller: &Caller, name: &str, body: Body) -> Result<Body, CallError> {
    Invoke::pass(caller, &function(name), body, Context::default()).await
}

fn body(bytes: &'static [u8], handles: Vec<Handle>) -> Body {
    Body {
        bytes: bytes::Bytes::from_static(bytes),
        handles,
    }
}

#[tokio::test]
async fn stale_and_forged_handles_are_refused() -> Outcome {
    let served = served().await;
    let app = served.lattice.caller("app").expect("an id");
    link(&served.lattice, "other", store::INTERFACE.name(), "buckets").await;
    let other = served.lattice.caller("other").expect("an id");
    let name = || body(b"\x03one", Vec::new());
    let mut made = raw(&app, "[constructor]bucket", name()).await?.handles;
    let Some(Handle::Own(owned)) = made.pop() else {
        panic!("an owned handle");
    };
    let resource = owned.resource().clone();
    assert_eq!(&**resource.ty(), "test:flow/store/bucket");
    let get = || body(b"\0\x01k", vec![Handle::Borrow(resource.clone())]);

    let result = raw(&app, "[method]bucket.get", get()).await?;
    assert_eq!(&*result.bytes, [0]);
    // Another component knows it, and doesn't hold it.
    let refused = raw(&other, "[method]bucket.get", get()).await;
    let refused = refused.expect_err("not its own");
    assert!(
        matches!(refused, CallError::StaleHandle { .. }),
        "{refused}"
    );
    // Of the wrong kind, too many and too few.
    let given = vec![Handle::Own(owned)];
    let refused = raw(&app, "[method]bucket.get", body(b"\0\x01k", given)).await;
    let refused = refused.expect_err("it is lent, not given");
    assert!(
        matches!(refused, CallError::BadArguments { .. }),
        "{refused}"
    );
    assert_eq!(served.live.count(), 0, "it was given away");
    for count in [0, 2] {
        let handles = (0..count).map(|_| Handle::Stream(lattice_core::stream::channel().1));
        let refused = raw(&app, "find", body(b"\x03one", handles.collect())).await;
        assert_eq!(refused.is_ok(), count == 0);
        let refused = raw(&app, "live", body(b"", vec![])).await;
        assert!(refused.is_ok());
    }
    let handles = vec![Handle::Stream(lattice_core::stream::channel().1)];
    let refused = raw(&app, "live", body(b"", handles)).await;
    let refused = refused.expect_err("it takes none");
    assert!(
        matches!(refused, CallError::BadArguments { .. }),
        "{refused}"
    );
    // Dropped.
    let refused = raw(&app, "[method]bucket.get", get()).await;
    let refused = refused.expect_err("it was dropped");
    assert!(refused.to_string().contains("it was dropped"), "{refused}");
    let forged = vec![Handle::Own(Owned::new(resource.clone()))];
    let refused = raw(&app, "close", body(b"\0", forged)).await;
    let refused = refused.expect_err("it was dropped");
    assert!(
        matches!(refused, CallError::StaleHandle { .. }),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn a_provider_that_stops_drops_its_resources() -> Outcome {
    let mut served = served().await;
    let bucket = served.store.new_bucket("one").await?;
    served.serving = None;
    until(&served.live, 0).await;
    let refused = bucket.get("k").await.expect_err("it is gone");
    assert!(
        matches!(refused, CallError::StaleHandle { .. }),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_has_handles_too() -> Outcome {
    let served = served().await;
    let component = served.lattice.operator().component("buckets");
    let store = StoreClient::new(component);
    let bucket = store.new_bucket("one").await?;
    bucket.set("k", "v").await?;
    assert_eq!(bucket.get("k").await?, Some("v".to_owned()));
    // What an operator holds is not what a component holds.
    let refused = served.store.close(bucket).await;
    let refused = refused.expect_err("not its own");
    assert!(
        matches!(refused, CallError::StaleHandle { .. }),
        "{refused}"
    );
    Ok(())
}

#[test]
fn signatures_name_resources_where_they_are_defined() {
    let signature = |functions: &[lattice_provider_sdk::world::Function], name: &str| {
        let function = functions.iter().find(|function| function.name == name);
        function.expect(name).signature
    };
    let store = store::INTERFACE.functions();
    let bucket = "test:flow/store/bucket";
    for (name, expected) in [
        (
            "[constructor]bucket",
            format!("func(name: string) -> own<{bucket}>"),
        ),
        (
            "[static]bucket.open",
            format!(
                "func(name: string) -> result<own<{bucket}>, variant {{ no-such-bucket(string) }}>"
            ),
        ),
        (
            "[method]bucket.copy-to",
            format!("func(self: borrow<{bucket}>, other: borrow<{bucket}>) -> u32"),
        ),
        (
            "[method]bucket.keys",
            format!("func(self: borrow<{bucket}>) -> stream<string>"),
        ),
    ] {
        assert_eq!(signature(store, name), expected);
    }
    let relay = super::relay::INTERFACE.functions();
    assert_eq!(
        signature(relay, "look"),
        format!("func(bucket: borrow<{bucket}>, key: string) -> option<string>")
    );
    assert_eq!(super::World::EXPORTS.len(), 2);
}
