//! Host names: generated, claimed by one wormhole, renamed, and never generated twice.

use super::*;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_new_wormhole_has_a_generated_id_and_host_name() {
    let lattice = Programs::new().open().await;
    let wormholes = lattice.wormholes();
    let (id, spec) = wormholes.create(new("web")).await.expect("created");
    assert_eq!(spec.host.as_deref(), Some(id.as_str()));
    let parts: Vec<&str> = id.as_str().split('-').collect();
    assert!(
        matches!(parts[..], [_, _, number] if number.parse::<u32>().is_ok()),
        "{id}"
    );
    let found = wormholes.get(&id).await.expect("read");
    assert_eq!(found, Some(spec));
    assert_eq!(wormholes.list().len(), 1);
    let table = wormholes.table();
    let by_host = |host: &str| table.find(host, "/x").map(|found| found.id.clone());
    assert_eq!(by_host(id.as_str()), Some(id.clone()));
    assert_eq!(by_host(&id.as_str().to_ascii_uppercase()), Some(id.clone()));
    assert_eq!(by_host(&format!("{id}.")), Some(id));
    assert_eq!(by_host("other"), None);
    // A name of one's own.
    let named = new("web").id("shop").expect("valid").host("Shop.Example.");
    let (id, spec) = wormholes.create(named).await.expect("created");
    assert_eq!(
        (id.as_str(), spec.host.as_deref()),
        ("shop", Some("shop.example"))
    );
    let again = wormholes
        .create(new("web").id("shop").expect("valid"))
        .await;
    assert!(
        matches!(again, Err(WormholeError::Exists { .. })),
        "{again:?}"
    );
    for bad in ["no_name", "a b", "http://shop", "", "shop.example:80"] {
        let refused = wormholes.create(new("web").host(bad)).await;
        assert!(
            matches!(refused, Err(WormholeError::Rule(_))),
            "{bad}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn many_programs_that_create_wormholes_at_once_get_different_names() {
    let programs = Programs::new();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let wormholes = programs.open().await.wormholes();
        tasks.push(tokio::spawn(async move {
            let mut names = Vec::new();
            for _ in 0..5 {
                let (_, spec) = wormholes.create(new("web")).await.expect("created");
                names.push(spec.host.expect("a name"));
            }
            names
        }));
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        all.extend(task.await.expect("joined"));
    }
    assert_eq!(all.len(), 20, "{all:?}");
}

#[tokio::test]
async fn of_two_programs_that_claim_one_name_at_once_one_wins() {
    let programs = Programs::new();
    let (one, two) = (programs.open().await, programs.open().await);
    for round in 0..10 {
        let host = format!("shop-{round}.example");
        let create = |lattice: &Lattice, id: String| {
            let (wormholes, host) = (lattice.wormholes(), host.clone());
            let new = new("web").id(id.as_str()).expect("valid").host(host);
            async move { wormholes.create(new).await }
        };
        let first = create(&one, format!("one-{round}"));
        let second = create(&two, format!("two-{round}"));
        let (first, second) = tokio::join!(first, second);
        let (winner, loser) = match (first, second) {
            (Ok((id, _)), Err(error)) | (Err(error), Ok((id, _))) => (id, error),
            other => panic!("not one winner: {other:?}"),
        };
        let WormholeError::HostTaken {
            host: taken, by, ..
        } = loser
        else {
            panic!("{loser:?}");
        };
        assert_eq!((taken, by), (host.clone(), winner.clone()));
        let table = one.wormholes();
        until("the winner is known", || {
            table.table().by_id(&winner).is_some()
        })
        .await;
        let found = table.table().find(&host, "/").map(|found| found.id.clone());
        assert_eq!(found, Some(winner));
    }
}

#[tokio::test]
async fn two_wormholes_share_a_host_name_only_with_different_paths() {
    let lattice = Programs::new().open().await;
    let wormholes = lattice.wormholes();
    let create = async |id: &str, host: &str, path: &str| {
        let new = new("web").id(id).expect("valid").host(host).path(path);
        wormholes.create(new).await.map(|(_, spec)| spec)
    };
    create("all", "shop.example", "/").await.expect("created");
    let api = create("api", "shop.example", "/api/")
        .await
        .expect("created");
    assert_eq!(api.path, "/api");
    let taken = create("more", "shop.example", "/api").await;
    assert!(matches!(taken, Err(WormholeError::HostTaken { ref by, .. }) if by.as_str() == "api"));
    // A domain is a name like any other.
    let domain = new("web")
        .id("other")
        .expect("valid")
        .domain("shop.example");
    let taken = wormholes.create(domain.clone()).await;
    assert!(
        matches!(taken, Err(WormholeError::HostTaken { .. })),
        "{taken:?}"
    );
    wormholes
        .create(domain.path("/other"))
        .await
        .expect("created");
    let table = wormholes.table();
    let find = |path: &str| {
        table
            .find("shop.example", path)
            .map(|found| found.id.to_string())
    };
    for (path, id) in [
        ("/", "all"),
        ("/apis", "all"),
        ("/api", "api"),
        ("/api?x=/other", "api"),
        ("/api/x", "api"),
        ("/other/x", "other"),
    ] {
        assert_eq!(find(path).as_deref(), Some(id), "{path}");
    }
    // A closed one leaves neither its requests to a shorter path, nor its name to others.
    wormholes.close("api").await.expect("closed");
    let table = wormholes.table();
    assert!(table.find("shop.example", "/api/x").is_none());
    assert!(table.find("shop.example", "/x").is_some());
    let taken = create("more", "shop.example", "/api").await;
    assert!(
        matches!(taken, Err(WormholeError::HostTaken { .. })),
        "{taken:?}"
    );
}

#[tokio::test]
async fn a_renamed_wormhole_keeps_the_rest_and_frees_its_old_name() {
    let programs = Programs::new();
    let wormholes = programs.open().await.wormholes();
    let made = new("web").path("/api").domain("api.example").closed();
    let (id, before) = wormholes.create(made).await.expect("created");
    let old = before.host.clone().expect("a name");
    let after = wormholes.rename(&id, "New.Example").await.expect("renamed");
    let expected = WormholeSpec::clone(&before);
    assert_eq!(after.host.as_deref(), Some("new.example"));
    let renamed_back = {
        let mut spec = after.clone();
        spec.host = expected.host.clone();
        spec
    };
    assert_eq!(renamed_back, expected, "nothing else has changed");
    // The old name can be chosen again.
    let other = new("web")
        .id("other")
        .expect("valid")
        .host(old.clone())
        .path("/api");
    wormholes.create(other).await.expect("created");
    let taken = wormholes.rename(&id, &old).await;
    assert!(
        matches!(taken, Err(WormholeError::HostTaken { .. })),
        "{taken:?}"
    );
    let missing = wormholes.rename("nobody", "x.example").await;
    assert!(
        matches!(missing, Err(WormholeError::NotFound { .. })),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_deleted_wormhole_leaves_a_claim_that_keeps_its_name_from_being_generated() {
    let programs = Programs::new();
    let lattice = programs.open().await;
    let wormholes = lattice.wormholes();
    let (id, spec) = wormholes.create(new("web")).await.expect("created");
    let host = spec.host.expect("a name");
    wormholes.delete(&id).await.expect("deleted");
    assert_eq!(wormholes.get(&id).await.expect("read"), None);
    let again = wormholes.delete(&id).await;
    assert!(
        matches!(again, Err(WormholeError::NotFound { .. })),
        "{again:?}"
    );
    let claim = programs.fields(&StoreKey::wormhole_host(&host)).await;
    assert_eq!(claim, json!({ "paths": { "/": id.as_str() } }));
    // A person may choose the name again, also in a program that starts later.
    let later = programs.open().await.wormholes();
    let chosen = new("web").id("chosen").expect("valid").host(host.clone());
    later.create(chosen).await.expect("created");
    let claim = programs.fields(&StoreKey::wormhole_host(&host)).await;
    assert_eq!(claim, json!({ "paths": { "/": "chosen" } }));
}

/// Returns whether the store has a claim of a host name.
pub(super) async fn is_claimed(programs: &Programs, host: &str) -> bool {
    let life = programs.store.incarnation().await.expect("there");
    let entry = programs.store.read(StoreKey::wormhole_host(host)).await;
    let entry = entry.expect("read");
    entry.is_some_and(|entry| programs.records().decode::<String>(life, &entry).is_ok())
}

#[tokio::test]
async fn claims_of_names_that_are_never_generated_go_with_their_last_wormhole() {
    let programs = Programs::new();
    let wormholes = programs.open().await.wormholes();
    let named = |id: &str, path: &str| {
        let new = new("web").id(id).expect("valid").path(path);
        new.host("shop.example").domain("www.example")
    };
    for (id, path) in [("shop", "/"), ("api", "/api")] {
        wormholes.create(named(id, path)).await.expect("created");
    }
    wormholes
        .rename("shop", "new.example")
        .await
        .expect("renamed");
    assert!(
        is_claimed(&programs, "shop.example").await,
        "by the other one"
    );
    wormholes.delete("api").await.expect("deleted");
    assert!(!is_claimed(&programs, "shop.example").await);
    assert!(is_claimed(&programs, "www.example").await, "as its domain");
    wormholes.delete("shop").await.expect("deleted");
    for host in ["www.example", "new.example"] {
        assert!(!is_claimed(&programs, host).await, "{host}");
    }
    // They are free, also for programs that start later, and a claim is made again.
    let later = programs.open().await.wormholes();
    later.create(named("shop", "/")).await.expect("created");
    assert!(is_claimed(&programs, "shop.example").await);
    let taken = wormholes.create(named("other", "/")).await;
    assert!(
        matches!(taken, Err(WormholeError::HostTaken { .. })),
        "{taken:?}"
    );
}

#[tokio::test]
async fn a_wormhole_of_an_older_version_has_its_name_without_a_claim() {
    let programs = Programs::new();
    let lattice = programs.open().await;
    let wormholes = lattice.wormholes();
    let old = json!({ "host": "shop.example", "path": "/", "actor": "web", "state": "open" });
    programs
        .write(&lattice, &StoreKey::wormhole(&wormhole("old")), &old)
        .await;
    assert!(wormholes.table().find("shop.example", "/").is_some());
    let taken = wormholes.create(new("web").host("shop.example")).await;
    assert!(matches!(taken, Err(WormholeError::HostTaken { ref by, .. }) if by.as_str() == "old"));
    // Once it is changed, it has a claim.
    wormholes.close("old").await.expect("closed");
    let claim = programs
        .fields(&StoreKey::wormhole_host("shop.example"))
        .await;
    assert_eq!(claim, json!({ "paths": { "/": "old" } }));
}

#[tokio::test]
async fn a_watch_returns_each_newest_table() {
    use futures_util::StreamExt as _;
    let lattice = Programs::new().open().await;
    let wormholes = lattice.wormholes();
    let mut watch = wormholes.watch();
    assert!(watch.next().await.expect("open").is_empty());
    let (id, _) = wormholes.create(new("web")).await.expect("created");
    let table = watch.next().await.expect("open");
    assert!(table.by_id(&id).is_some());
    assert!(Arc::ptr_eq(&table, &wormholes.table()), "it is shared");
    wormholes.close(&id).await.expect("closed");
    let table = watch.next().await.expect("open");
    assert!(!table.by_id(&id).expect("known").spec.is_open());
    assert_eq!((table.len(), watch.current().len()), (1, 1));
}
