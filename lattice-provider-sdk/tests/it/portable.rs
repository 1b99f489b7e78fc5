//! Portable resources: another replica of their provider makes them anew.

use lattice_core::{bus::memory::MemoryNetwork, call::Limit, store::MemoryStore};
use lattice_provider_sdk::{
    Call, CallError, Caller, Lattice, Link, Portable, PortableTypes, Provider, Refusal,
    ServeHandle, serve,
};
use std::sync::Arc;

lattice_provider_sdk::provider!({ inline: "
    package test:portable@0.1.0;
    interface store {
        resource bucket {
            constructor(name: string);
            path: func() -> string;
        }
        resource cursor {
            constructor();
            read: func() -> u32;
        }
    }
    world portable { import store; export store; }
" });

use test::portable::store::{self, Store, StoreClient};

/// A provider of buckets, which are paths below that of the link.
struct Buckets;

struct Bucket {
    name: String,
}

struct Cursor;

impl Provider for Buckets {
    type World = World;
    type Config = String;
    type Binding = String;

    async fn link(&self, _: &Link, path: String) -> Result<String, Refusal> {
        Ok(path)
    }

    fn portable() -> PortableTypes<Self> {
        PortableTypes::none().with::<Bucket>()
    }
}

impl Portable<Buckets> for Bucket {
    fn to_token(&self) -> Vec<u8> {
        assert_ne!(self.name, "panics", "on purpose");
        if self.name == "long" {
            return vec![b'x'; 1_025];
        }
        self.name.clone().into_bytes()
    }

    async fn from_token(_: &Buckets, call: &Call<Buckets>, token: &[u8]) -> Result<Self, Refusal> {
        let name = String::from_utf8(token.to_vec())?;
        if name == "deleted" {
            let path = call.binding();
            return Err(Refusal::new(format!("`{path}/{name}` was deleted")));
        }
        let name = format!("{name} again");
        Ok(Self { name })
    }
}

impl Store for Buckets {
    type Bucket = Bucket;
    type Cursor = Cursor;

    async fn new_bucket(&self, _: &Call<Self>, name: String) -> Bucket {
        Bucket { name }
    }

    async fn new_cursor(&self, _: &Call<Self>) -> Cursor {
        Cursor
    }
}

impl store::Bucket<Buckets> for Bucket {
    async fn path(&self, call: &Call<Buckets>) -> String {
        format!("{}/{}", call.binding(), self.name)
    }
}

impl store::Cursor<Buckets> for Cursor {
    async fn read(&self, _: &Call<Buckets>) -> u32 {
        1
    }
}

/// Three programs: two that can serve the provider, and one that uses it.
struct Programs {
    first: Lattice,
    second: Lattice,
    store: StoreClient<Caller>,
}

async fn programs() -> Programs {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let join = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        lattice.await.expect("it joins")
    };
    let app = join().await;
    let link = Link::new("app", store::INTERFACE.name(), "buckets").expect("valid");
    let link = link.config(&"users").expect("it is text");
    app.links().put(link).await.expect("it is put");
    let caller = app.caller("app").expect("an id");
    Programs {
        first: join().await,
        second: join().await,
        store: StoreClient::new(caller),
    }
}

async fn served(lattice: &Lattice) -> ServeHandle {
    serve(lattice, "buckets", Buckets).await.expect("served")
}

fn is_stale(error: &CallError) -> bool {
    matches!(error, CallError::StaleHandle { .. })
}

#[tokio::test]
async fn a_portable_resource_survives_its_replica_and_others_do_not() -> Result<(), CallError> {
    let programs = programs().await;
    let first = served(&programs.first).await;
    let bucket = programs.store.new_bucket("photos").await?;
    let deleted = programs.store.new_bucket("deleted").await?;
    let panics = programs.store.new_bucket("panics").await?;
    let cursor = programs.store.new_cursor().await?;
    assert_eq!(bucket.path().await?, "users/photos");
    assert_eq!(panics.path().await?, "users/panics");
    let _second = served(&programs.second).await;
    drop(first);

    for _ in 0..2 {
        assert_eq!(bucket.path().await?, "users/photos again");
    }
    let error = deleted.path().await.expect_err("it is refused");
    let reason = "`users/deleted` was deleted";
    assert!(is_stale(&error), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    let error = cursor.read().await.expect_err("it isn't portable");
    assert!(!error.to_string().contains("anew"), "{error}");
    let error = panics.path().await.expect_err("it has no token");
    assert!(!error.to_string().contains("anew"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_portable_resource_on_the_host_of_its_holder_has_no_token() -> Result<(), CallError> {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let _serving = served(&lattice).await;
    let link = Link::new("app", store::INTERFACE.name(), "buckets").expect("valid");
    let link = link.config(&"users").expect("it is text");
    lattice.links().put(link).await.expect("it is put");
    let store = StoreClient::new(lattice.caller("app").expect("an id"));
    for name in ["long", "panics"] {
        let bucket = store.new_bucket(name).await?;
        assert_eq!(bucket.path().await?, format!("users/{name}"));
    }
    Ok(())
}

#[tokio::test]
async fn a_token_over_the_limit_fails_the_call() {
    let programs = programs().await;
    let _first = served(&programs.first).await;
    let error = programs.store.new_bucket("long").await;
    let error = error.expect_err("its token is too long");
    let expected = Limit::Token(1_024);
    assert!(
        matches!(&error, CallError::LimitExceeded { limit, .. } if *limit == expected),
        "{error}"
    );
}
