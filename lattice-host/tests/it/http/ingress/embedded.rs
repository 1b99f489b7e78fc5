//! The service inside another server.

use super::{
    scene::SITE,
    site::Site,
    wire::{PATIENCE, within},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use lattice_core::{Lattice, wormholes::NewWormhole};
use lattice_host::{
    Host,
    http::{ClientAddress, WormholeBody, WormholeService, wormhole_service},
};
use lattice_provider_sdk::serve;
use std::time::Duration;
use tower_service::Service as _;

#[tokio::test]
async fn a_host_that_leaves_finishes_the_responses_of_a_service_beside_it() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let site = Site::default();
    let host = Host::builder(&lattice).provider("site", site.clone());
    let host = host.start().await.expect("it starts");
    let new = NewWormhole::new("site").expect("an id").host(SITE);
    let created = lattice.wormholes().create(new).await;
    created.expect("it is created");
    let request = http::Request::get(format!("http://{SITE}/parts"));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = within(wormhole_service(&lattice).call(request)).await;
    let mut body = response.expect("it never fails").into_body();
    let first = within(body.frame()).await.expect("a part").expect("whole");
    assert_eq!(first.into_data().expect("data"), "one part");

    let goes_on = async {
        // Once the host takes nothing new, it is leaving.
        while status(&lattice, "/hello").await == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        site.state().gate.add_permits(1);
        body.collect().await
    };
    let (drained, rest) = within(async { tokio::join!(host.shutdown(PATIENCE), goes_on) }).await;
    assert_eq!(rest.expect("it is whole").to_bytes(), ", and the other");
    assert!(drained.is_clean());
}

/// Returns the status of a request through a service of its own.
async fn status(lattice: &Lattice, path: &str) -> u16 {
    get(lattice, path).await.status().as_u16()
}

/// Sends a request through a service of its own.
async fn get(lattice: &Lattice, path: &str) -> http::Response<WormholeBody> {
    let request = http::Request::get(format!("http://{SITE}{path}"));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = within(wormhole_service(lattice).call(request)).await;
    response.expect("it never fails")
}

/// Not every server compares a body with the length that was announced.
#[tokio::test]
async fn a_body_of_another_length_than_announced_breaks_in_the_service() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let serving = serve(&lattice, "site", Site::default()).await;
    let _serving = serving.expect("it serves");
    let new = NewWormhole::new("site").expect("an id").host(SITE);
    let created = lattice.wormholes().create(new).await;
    created.expect("it is created");
    for (path, is_whole) in [("/exact", true), ("/short", false), ("/long", false)] {
        let response = get(&lattice, path).await;
        assert_eq!(response.status(), 200, "{path}");
        let body = within(response.into_body().collect()).await;
        assert_eq!(body.is_ok(), is_whole, "{path}: {body:?}");
    }
}

#[tokio::test]
async fn a_service_answers_without_a_host_and_an_address() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let _serving = serve(&lattice, "site", Site::default())
        .await
        .expect("it serves");
    let new = NewWormhole::new("site").expect("an id").host(SITE);
    lattice
        .wormholes()
        .create(new)
        .await
        .expect("it is created");
    let service = wormhole_service(&lattice);

    let https = service.clone().https();

    let ask = async |service: &WormholeService, path: &str, client: Option<&str>| {
        // The scheme in the URI is what the client says, and isn't believed.
        let body = Full::new(Bytes::from_static(b"body"));
        let request = http::Request::post(format!("https://{SITE}{path}")).body(body);
        let mut request = request.expect("a request");
        if let Some(client) = client {
            let address = ClientAddress(client.parse().expect("an address"));
            request.extensions_mut().insert(address);
        }
        let response = within(service.clone().call(request))
            .await
            .expect("it never fails");
        let status = response.status().as_u16();
        let body = within(response.into_body().collect())
            .await
            .expect("it is whole");
        (
            status,
            String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        )
    };
    assert_eq!(ask(&service, "/echo", None).await, (200, "body".to_owned()));
    for (service, scheme) in [(&service, "http"), (&https, "https")] {
        let (_, seen) = ask(service, "/see", Some("192.0.2.7:4711")).await;
        let lines: Vec<&str> = seen.lines().collect();
        for expected in [
            "method POST",
            &format!("scheme {scheme}"),
            &format!("x-forwarded-proto: {scheme}"),
            "x-forwarded-for: 192.0.2.7",
        ] {
            assert!(lines.contains(&expected), "{expected}: {seen}");
        }
    }
    let (_, seen) = ask(&service, "/see", None).await;
    assert!(seen.contains("x-forwarded-for: unknown"), "{seen}");
}
