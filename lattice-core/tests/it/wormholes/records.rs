//! Records that this version can't read, or that a newer one wrote.

use super::*;
use lattice_core::wormholes::Wormhole;
use serde_json::json;

/// A wormhole for the host name `shop.example`, whose actor is served.
async fn shop(programs: &Programs) -> (Lattice, Wormholes, WormholeId, ServeHandle) {
    let lattice = programs.open().await;
    let serving = serve(&lattice, "web").await;
    let wormholes = lattice.wormholes();
    let made = new("web").id("shop").expect("valid").host("shop.example");
    let (id, _) = wormholes.create(made).await.expect("created");
    assert_eq!(call(&wormholes, &id, HANDLER).await.as_deref(), Ok("web"));
    (lattice, wormholes, id, serving)
}

fn is_taken(result: &Result<(WormholeId, WormholeSpec), WormholeError>) -> bool {
    matches!(result, Err(WormholeError::HostTaken { by, .. }) if by.as_str() == "shop")
}

#[tokio::test]
async fn an_unreadable_wormhole_lets_nothing_through_and_keeps_its_name() {
    let programs = Programs::new();
    let (lattice, wormholes, id, _serving) = shop(&programs).await;
    let key = StoreKey::wormhole(&id);
    programs.scribble(&lattice, &key).await;
    assert!(is_closed(&call(&wormholes, &id, HANDLER).await));
    assert!(wormholes.table().find("shop.example", "/").is_none());
    let read = wormholes.get(&id).await;
    assert!(
        matches!(read, Err(WormholeError::Unreadable { .. })),
        "{read:?}"
    );
    let taken = wormholes.create(new("web").host("shop.example")).await;
    assert!(is_taken(&taken), "{taken:?}");
    // A program that starts now has never read it.
    let later = programs.open().await;
    assert!(later.wormholes().table().is_empty());
    let taken = later
        .wormholes()
        .create(new("web").host("shop.example"))
        .await;
    assert!(is_taken(&taken), "{taken:?}");
    let update = later.wormholes().close(&id).await;
    assert!(
        matches!(update, Err(WormholeError::Unreadable { .. })),
        "{update:?}"
    );
    // A program that has read it writes it again.
    wormholes.open(&id).await.expect("written");
    assert_eq!(call(&wormholes, &id, HANDLER).await.as_deref(), Ok("web"));
    until("the other one reads it", || {
        later.wormholes().table().len() == 1
    })
    .await;
}

/// Another one with a shorter path may have no credentials.
#[tokio::test]
async fn an_unreadable_wormhole_leaves_its_requests_to_no_other() {
    let programs = Programs::new();
    let (lattice, wormholes, _, _serving) = shop(&programs).await;
    let admin = new("web").id("admin").expect("valid");
    let admin = admin.host("shop.example").path("/admin");
    let (admin, _) = wormholes.create(admin).await.expect("created");
    let any = new("web").id("any").expect("valid").any_host();
    wormholes.create(any).await.expect("created");
    programs
        .scribble(&lattice, &StoreKey::wormhole(&admin))
        .await;
    // One program has read it, and one that starts now never did.
    let later = programs.open().await.wormholes();
    for wormholes in [&wormholes, &later] {
        let table = wormholes.table();
        let found = |path: &str| {
            table
                .find("shop.example", path)
                .map(|found| found.id.as_str())
        };
        assert_eq!(found("/admin/x"), None);
        assert_eq!(found("/x"), Some("shop"));
    }
    // Without open ones, a host name is like an unknown one.
    wormholes.close("shop").await.expect("closed");
    let table = wormholes.table();
    for path in ["/", "/admin"] {
        let found = table
            .find("shop.example", path)
            .expect("it is for any host");
        assert_eq!(found.id.as_str(), "any");
    }
}

/// An older version did not check names.
#[tokio::test]
async fn a_wormhole_whose_names_would_be_refused_now_can_be_closed() {
    let programs = Programs::new();
    let (lattice, wormholes, id, _serving) = shop(&programs).await;
    let mut fields = programs.fields(&StoreKey::wormhole(&id)).await;
    let twin = wormhole("twin");
    programs
        .write(&lattice, &StoreKey::wormhole(&twin), &fields)
        .await;
    fields["host"] = json!("my_site:8080");
    let odd = wormhole("odd");
    programs
        .write(&lattice, &StoreKey::wormhole(&odd), &fields)
        .await;
    for id in [id, twin, odd] {
        let closed = wormholes.close(&id).await;
        assert!(!closed.expect("closed").is_open(), "{id}");
    }
}

#[tokio::test]
async fn a_wormhole_that_is_removed_without_the_key_lets_nothing_through() {
    let programs = Programs::new();
    let (lattice, wormholes, id, _serving) = shop(&programs).await;
    let removal = Op::delete(StoreKey::wormhole(&id), Expect::Any);
    let revision = programs.store.commit(vec![removal]).await.expect("written");
    seen(&lattice, revision).await;
    assert!(is_closed(&call(&wormholes, &id, HANDLER).await));
    let taken = wormholes.create(new("web").host("shop.example")).await;
    assert!(is_taken(&taken), "{taken:?}");
    wormholes.delete(&id).await.expect("deleted");
    let made = wormholes.create(new("web").host("shop.example")).await;
    made.expect("it is free");
}

#[tokio::test]
async fn an_unreadable_claim_is_written_again_without_its_name_being_lost() {
    let programs = Programs::new();
    let (lattice, wormholes, _, _serving) = shop(&programs).await;
    let claim = StoreKey::wormhole_host("shop.example");
    programs.scribble(&lattice, &claim).await;
    let taken = wormholes.create(new("web").host("shop.example")).await;
    assert!(is_taken(&taken), "{taken:?}");
    let api = new("web")
        .id("api")
        .expect("valid")
        .host("shop.example")
        .path("/api");
    wormholes.create(api).await.expect("created");
    let fields = programs.fields(&claim).await;
    assert_eq!(fields, json!({ "paths": { "/": "shop", "/api": "api" } }));
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_kept_or_not_touched() {
    let programs = Programs::new();
    let (lattice, wormholes, id, _serving) = shop(&programs).await;
    let key = StoreKey::wormhole(&id);
    let mut fields = programs.fields(&key).await;
    fields["color"] = json!("blue");
    programs.write(&lattice, &key, &fields).await;
    wormholes.rename(&id, "new.example").await.expect("renamed");
    let fields = programs.fields(&key).await;
    assert_eq!(
        (&fields["color"], &fields["host"]),
        (&json!("blue"), &json!("new.example"))
    );
    // One that needs what this version doesn't know is closed here, and isn't changed.
    let mut needy = fields.clone();
    needy["needs"] = json!(["moon"]);
    programs.write(&lattice, &key, &needy).await;
    assert!(is_closed(&call(&wormholes, &id, HANDLER).await));
    let changes = [
        wormholes.open(&id).await.map(drop),
        wormholes.delete(&id).await,
    ];
    for change in changes {
        assert!(
            matches!(change, Err(WormholeError::Unreadable { .. })),
            "{change:?}"
        );
    }
    assert_eq!(programs.fields(&key).await, needy);
    // A claim that needs something isn't changed either.
    let claim = StoreKey::wormhole_host("moon.example");
    let needy = json!({ "paths": {}, "needs": ["moon"] });
    programs.write(&lattice, &claim, &needy).await;
    let refused = wormholes.create(new("web").host("moon.example")).await;
    assert!(
        matches!(refused, Err(WormholeError::NewerClaim { .. })),
        "{refused:?}"
    );
    assert_eq!(programs.fields(&claim).await, needy);
}

#[tokio::test]
async fn a_replayed_record_opens_nothing() {
    let programs = Programs::new();
    let (lattice, wormholes, id, _serving) = shop(&programs).await;
    let key = StoreKey::wormhole(&id);
    let open = programs
        .store
        .read(key.clone())
        .await
        .expect("read")
        .expect("there is one");
    wormholes.close(&id).await.expect("closed");
    let replay = Op::put(key, open.value, Expect::Any);
    let revision = programs.store.commit(vec![replay]).await.expect("written");
    seen(&lattice, revision).await;
    assert!(is_closed(&call(&wormholes, &id, HANDLER).await));
    let table = wormholes.table();
    let is_open = |found: &&Arc<Wormhole>| found.spec.is_open();
    assert_eq!(table.iter().filter(is_open).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn writes_that_no_process_would_accept_are_not_made() {
    let programs = Programs::new();
    let way = Lagging::on(&programs.store);
    let lattice = programs.over(way.clone()).await;
    way.set(Delivery::Lost);
    let wormholes = lattice.wormholes();
    until("it knows", || !lattice.replica().health().state.is_live()).await;
    let refused = wormholes
        .create(new("web").id("shop").expect("valid"))
        .await;
    assert!(
        matches!(refused, Err(WormholeError::Write(_))),
        "{refused:?}"
    );
    let written = programs
        .store
        .read(StoreKey::wormhole(&wormhole("shop")))
        .await;
    assert_eq!(written.expect("read"), None);
    // What it knows isn't taken for what is so.
    let other = programs.open().await.wormholes();
    other
        .create(new("web").id("shop").expect("valid").closed())
        .await
        .expect("created");
    let unknown = wormholes.close("shop").await;
    assert!(
        matches!(unknown, Err(WormholeError::Write(_))),
        "{unknown:?}"
    );
    other.delete("shop").await.expect("deleted");
    way.set(Delivery::Works);
    until("it follows", || lattice.replica().health().state.is_live()).await;
    wormholes
        .create(new("web").id("shop").expect("valid"))
        .await
        .expect("created");
}
