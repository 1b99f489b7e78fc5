//! Wormholes that are opened, renamed, closed and deleted by one program and served by another.

use super::{
    client::{Client, WORLD, get, whole},
    scene::{MISCHIEF, Scene},
};
use crate::wait::until;
use hyper::{HeaderMap, StatusCode};
use lattice_core::wormholes::{NewWormhole, WormholeError};

/// What a client sees of a response that may differ between two names.
type Seen = (StatusCode, HeaderMap, String);

async fn seen(client: &mut Client, host: &str) -> Seen {
    let response = client.send(get(host, "/")).await.expect("a response");
    let mut headers = response.headers().clone();
    assert!(headers.remove("x-request-id").is_some(), "{headers:?}");
    headers.remove("date");
    let (status, text) = whole(response).await;
    (status, headers, text)
}

#[tokio::test]
async fn a_closed_a_renamed_and_a_deleted_wormhole_look_like_none() {
    let scene = Scene::in_memory().await;
    // Written by the program without an ingress.
    let wormholes = scene.inner.wormholes();
    let served = scene.world.wormholes();
    let find = |host: &str| served.table().find(host, "/").is_some();
    let mut client = scene.client().await;
    let unknown = seen(&mut client, "unknown.example").await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);

    wormholes.close(&scene.wormhole).await.expect("closed");
    until("it is closed", || !find(WORLD)).await;
    assert_eq!(seen(&mut client, WORLD).await, unknown);
    wormholes.open(&scene.wormhole).await.expect("opened");
    until("it is open", || find(WORLD)).await;
    assert_eq!(client.page("/").await.1, "hello");

    let renamed = wormholes.rename(&scene.wormhole, "new.example").await;
    assert_eq!(renamed.expect("renamed").actor.as_str(), MISCHIEF);
    until("it is renamed", || find("new.example")).await;
    assert_eq!(seen(&mut client, WORLD).await, unknown);
    let (status, _, text) = seen(&mut client, "new.example").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "hello"));

    wormholes.delete(&scene.wormhole).await.expect("deleted");
    until("it is deleted", || !find("new.example")).await;
    assert_eq!(seen(&mut client, "new.example").await, unknown);
}

#[tokio::test]
async fn of_two_programs_that_open_one_name_at_once_one_does() {
    for scene in [
        Scene::in_memory().await,
        Scene::over_nats(|host| host).await,
    ] {
        for round in 0..5 {
            let name = format!("contested-{round}.example");
            let open = async |lattice: &lattice_core::Lattice| {
                let wormhole = NewWormhole::new(MISCHIEF).expect("an id").host(&*name);
                lattice.wormholes().create(wormhole).await
            };
            let results: [Result<_, _>; 2] =
                tokio::join!(open(&scene.world), open(&scene.inner)).into();
            let (opened, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
            assert_eq!(
                (opened.len(), refused.len()),
                (1, 1),
                "{opened:?} {refused:?}"
            );
            for refusal in refused {
                let error = refusal.expect_err("refused");
                let is_taken = matches!(error, WormholeError::HostTaken { .. });
                assert!(is_taken, "{error}");
            }
            let table = scene.world.wormholes();
            until("the winner is known", || {
                table.table().find(&name, "/").is_some()
            })
            .await;
            let response = scene.client().await.send(get(&name, "/")).await;
            assert_eq!(whole(response.expect("a response")).await.1, "hello");
        }
    }
}
