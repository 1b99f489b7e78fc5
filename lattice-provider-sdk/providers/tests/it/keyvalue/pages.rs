//! Lists of keys, in pages.

use super::{
    draft::wasi::keyvalue::store::{BucketClient, Error},
    draft2::wasi::keyvalue::store::Error as Error2,
    flat::lattice::keyvalue::store::Error as FlatError,
    stage::{Clients, PATIENCE, Stage},
    suite::{ok, open, open2, refused},
};
use lattice_provider_sdk::Bytes;
use std::collections::BTreeSet;

/// Sets keys, without values.
async fn fill(clients: &Clients, bucket: &BucketClient, keys: &[String]) {
    let entries: Vec<_> = keys.iter().map(|key| (key.clone(), Bytes::new())).collect();
    for entries in entries.chunks(500) {
        ok(clients
            .batch
            .set_many(bucket, entries)
            .timeout(PATIENCE)
            .await);
    }
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:05}")).collect()
}

pub(super) async fn all_keys_are_listed_once(stage: Stage) {
    let clients = stage.clients("app");
    let bucket = open(&clients, "pages").await;
    let all = numbered("", 1_200);
    fill(&clients, &bucket, &all).await;

    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = ok(bucket.list_keys(cursor).timeout(PATIENCE).await);
        assert!(page.keys.len() <= 500);
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, all);

    let bucket2 = open2(&clients, "pages").await;
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket2.list_keys(cursor.as_deref()).timeout(PATIENCE);
        let page = ok(page.await);
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, all);

    let error = refused(bucket.list_keys(Some(7)).await);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("cursor")),
        "{error:?}"
    );
    let error = refused(bucket2.list_keys(Some("00500")).await);
    assert!(
        matches!(&error, Error2::Other(text) if text.contains("cursor")),
        "{error:?}"
    );
}

pub(super) async fn keys_may_change_meanwhile(stage: Stage) {
    let clients = stage.clients("app");
    // The bucket of the flat interface, which lists by prefix.
    let bucket = open(&clients, "default").await;
    let stays = numbered("k", 600);
    fill(&clients, &bucket, &stays).await;
    fill(&clients, &bucket, &["j".to_owned(), "l".to_owned()]).await;
    let goes: Vec<_> = (0..600).map(|n| format!("k{n:05}-goes")).collect();
    fill(&clients, &bucket, &goes).await;

    let (mut found, mut cursor) = (Vec::new(), None);
    for turn in 0.. {
        let page = clients.flat.list_keys("k", cursor.as_deref());
        let page = ok(page.timeout(PATIENCE).await);
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
        // Keys before and behind the cursor go and come; also the last one that was listed.
        let last = found.last().expect("a page has keys");
        let gone: Vec<_> = goes
            .iter()
            .rev()
            .skip(turn * 150)
            .take(150)
            .cloned()
            .collect();
        let delete = clients.batch.delete_many(&bucket, &gone).timeout(PATIENCE);
        ok(delete.await);
        if last.ends_with("-goes") {
            ok(bucket.delete(last).await);
        }
        let new = [format!("k00000-new{turn}"), format!("k00599-new{turn}")];
        fill(&clients, &bucket, &new).await;
    }
    let listed: BTreeSet<_> = found.iter().collect();
    assert_eq!(listed.len(), found.len(), "no key is listed twice");
    assert!(found.is_sorted());
    assert!(
        stays.iter().all(|key| listed.contains(key)),
        "none is missed"
    );
    assert!(found.iter().all(|key| key.starts_with('k')));
    let error = refused(clients.flat.list_keys("k", Some("2:ab")).await);
    assert!(matches!(error, FlatError::InvalidCursor), "{error:?}");
}
