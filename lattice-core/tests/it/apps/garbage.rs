//! Values in the store that aren't valid records.

use super::*;
use bytes::Bytes;
use futures_util::StreamExt as _;
use lattice_core::{
    app::{ResourceRef, Warning},
    auth::Purpose,
    constellation::Subject,
    desired::{Desired, Unreadable},
    store::{Expect, Op, StoreKey, record::looks_removed},
};

/// Writes bytes, as any client of the store can, and waits until `lattice` has rejected them.
async fn scribble(
    store: &MemoryStore,
    lattice: &Lattice,
    key: &StoreKey,
    bytes: impl Into<Bytes>,
) -> Arc<Desired> {
    let put = Op::put(key.clone(), bytes, Expect::Any);
    let revision = store.commit(vec![put]).await.expect("written");
    let mut follow = lattice.watch_desired();
    loop {
        let desired = follow.next().await.expect("open");
        if desired.revision >= revision {
            return desired;
        }
    }
}

/// Returns a value with a valid tag over any body.
async fn tagged(
    store: &MemoryStore,
    key: &StoreKey,
    schema: u16,
    generation: u64,
    body: &[u8],
) -> Vec<u8> {
    let incarnation = store.incarnation().await.expect("there");
    let mut value = schema.to_le_bytes().to_vec();
    value.extend(generation.to_le_bytes());
    value.extend(body);
    let parts = [
        &incarnation.0.to_le_bytes()[..],
        key.as_str().as_bytes(),
        &value,
    ];
    let tag = auth().tag(Purpose::Store, &parts);
    value.extend(tag);
    value
}

#[tokio::test(start_paused = true)]
async fn with_another_key_nothing_is_planned_applied_or_deleted() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let shop = actors("shop", &["a"]);
    lattice.apply(&shop).await.expect("applied");
    let before = lattice.desired();

    let bus = Arc::new(MemoryNetwork::new().connect());
    let key = LatticeKey::from_hex(&"02".repeat(32)).expect("a key");
    let other = Lattice::on(bus, Arc::new(store.clone()), "dev").key(key);
    let other = other.await.expect("it joins");
    let planned = other.plan(&shop).await;
    assert!(
        matches!(planned, Err(PlanError::OtherKey(_))),
        "{planned:?}"
    );
    let applied = other.apply(&shop).await.expect_err("nothing is applied");
    assert!(applied.to_string().contains("check the key"), "{applied}");
    let deleted = other.delete_app(&name("shop")).await;
    assert!(
        matches!(deleted, Err(ApplyError::Plan(PlanError::OtherKey(_)))),
        "{deleted:?}"
    );
    let explained = other.explain(&Subject::App(name("shop"))).await;
    assert!(
        explained.to_string().contains("check the key"),
        "{explained}"
    );
    assert_eq!(lattice.desired(), before);
}

fn only(desired: &Desired, key: &StoreKey) -> Unreadable {
    assert_eq!(desired.unreadable.len(), 1, "{:?}", desired.unreadable);
    desired.unreadable[key].clone()
}

#[tokio::test(start_paused = true)]
async fn malformed_records_are_set_aside_with_a_reason_and_overwritten() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let shop = actors("shop", &["a", "b"]);
    lattice.apply(&shop).await.expect("applied");
    let key = StoreKey::actor(&id("a"));
    let desired = scribble(&store, &lattice, &key, "garbage").await;
    let known = [&id("a"), &id("b")];
    assert_eq!(desired.actors.keys().collect::<Vec<_>>(), known, "kept");
    let found = only(&desired, &key);
    assert!(
        !found.is_newer
            && found
                .reason
                .contains("was not written here with this lattice's key"),
        "{found:?}"
    );
    assert_eq!(
        desired.owner(&key),
        Some(&name("shop")),
        "a malformed record is not deleted"
    );

    let plan = lattice.plan(&shop).await.expect("planned");
    assert!(
        matches!(
            &plan.warnings[0],
            Warning::WrittenOver {
                resource: ResourceRef::Actor(_),
                ..
            }
        ),
        "{plan}"
    );
    lattice.apply(&shop).await.expect("applied");
    let desired = lattice.desired();
    assert_eq!((desired.actors.len(), desired.unreadable.len()), (2, 0));

    // The record of the app, and that of a link.
    let record = StoreKey::app(&name("shop"));
    scribble(&store, &lattice, &record, "garbage").await;
    lattice.apply(&shop).await.expect("applied");
    assert!(lattice.desired().unreadable.is_empty());
    assert!(lattice.desired().apps.contains_key(&name("shop")));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_link_of_an_app_is_overwritten_and_a_deleted_one_is_removed() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let text = "name = \"shop\"\nexternal = [\"front\", \"back\"]\n[[links]]\nfrom = \"front\"\nto = \"back\"\ninterface = \"a:b/c@0.2.0\"\n";
    lattice.apply(&app(text)).await.expect("applied");
    let link = lattice.links().list()[0].clone();
    let key = StoreKey::link(&link.link.source, &link.link.interface, &link.link.name);
    let desired = scribble(&store, &lattice, &key, "garbage").await;
    only(&desired, &key);
    assert!(lattice.links().list().is_empty(), "no grant");
    lattice.apply(&app(text)).await.expect("applied");
    assert_eq!(lattice.links().list().len(), 1);
    assert!(lattice.desired().unreadable.is_empty());

    scribble(&store, &lattice, &key, "more").await;
    lattice.delete_app(&name("shop")).await.expect("deleted");
    let deletion = store.read(key).await.expect("read");
    assert!(looks_removed(&deletion.expect("there").value));
    assert!(lattice.desired().unreadable.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copied_or_replayed_record_is_rejected() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect("applied");
    let key = StoreKey::actor(&id("a"));
    let old = store
        .read(key.clone())
        .await
        .expect("read")
        .expect("there")
        .value;
    let copy = StoreKey::actor(&id("copy"));
    let desired = scribble(&store, &lattice, &copy, old.clone()).await;
    only(&desired, &copy);
    lattice.delete_app(&name("shop")).await.expect("deleted");
    let desired = scribble(&store, &lattice, &key, old).await;
    assert!(desired.actors.is_empty());
    assert!(
        desired.unreadable[&key].reason.contains("replayed"),
        "{desired:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn authentic_but_malformed_records_are_rejected_with_their_reason() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let key = StoreKey::actor(&id("a"));
    let text = |text: &str| {
        let mut body = vec![u8::try_from(text.len()).expect("short")];
        body.extend(text.bytes());
        body
    };
    for (n, (schema, body, says, is_newer)) in [
        (1, text("{"), "isn't a valid record", false),
        (1, text("[]"), "isn't a valid record", false),
        (1, vec![0xff; 9], "isn't a valid record", false),
        (0, text("{}"), "schema 0, which no version writes", false),
        (9, text("{}"), "has schema 9", true),
        (1, text("{}"), "missing field `image`", true),
        (
            1,
            text(r#"{"image":"torrent:x"}"#),
            "does not understand it",
            true,
        ),
        (
            1,
            text(r#"{"image":"r.io/a","needs":["gpu"]}"#),
            "needs `gpu`",
            true,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let value = tagged(&store, &key, schema, n as u64 + 100, &body).await;
        let desired = scribble(&store, &lattice, &key, value).await;
        let found = only(&desired, &key);
        assert!(
            found.reason.contains(says) && found.is_newer == is_newer,
            "{says}: {found:?}"
        );
        // A record that a newer version may understand isn't destroyed.
        let plan = lattice.plan(&actors("shop", &["a"])).await;
        match plan {
            Ok(plan) => assert!(!is_newer && plan.create.len() == 2, "{says}: {plan}"),
            Err(PlanError::Problems(problems)) => {
                assert!(
                    is_newer && matches!(kinds(&problems)[0], ProblemKind::Newer { .. }),
                    "{problems}"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
}
