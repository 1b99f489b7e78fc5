//! The service inside another server.

use super::{scene::SITE, site::Site, wire::within};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use lattice_core::{Lattice, wormholes::NewWormhole};
use lattice_host::http::{ClientAddress, WormholeService, wormhole_service};
use lattice_provider_sdk::serve;
use tower_service::Service as _;

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
