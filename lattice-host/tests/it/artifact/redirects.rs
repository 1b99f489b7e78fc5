//! Registries that lead to other servers, and loops of redirects.

use super::{
    fake::{Answer, Contents, Fake},
    hostile::{challenge, fetch},
    support::{component, image, plain},
};
use lattice_host::artifact::{Artifacts, Credentials, FetchError, PushError, RegistryError};

/// Returns artifacts with credentials for the registry at this address.
fn known(address: &str) -> Artifacts {
    let credentials = Credentials::basic("captain", "open sesame");
    plain(address).credentials(address, credentials).build()
}

#[tokio::test]
async fn a_token_service_without_http_gets_no_credentials() {
    let fake = Fake::start(|_| challenge("ftp://elsewhere/token")).await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let error = known(fake.address()).fetch(&tag, None).await.unwrap_err();
    let FetchError::Registry(RegistryError::InsecureRealm { realm, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(realm, "ftp://elsewhere/token");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_server() {
    let contents = Contents::of(&component("a"));
    let elsewhere = Fake::start(move |asked| contents.answer(asked)).await;
    let to = elsewhere.address().to_owned();
    let fake = Fake::start(move |asked| {
        let (status, header) = if asked.headers.contains_key("authorization") {
            let path = asked.what.trim_start_matches("GET ");
            (307, ("location", format!("http://{to}{path}")))
        } else {
            (
                401,
                ("www-authenticate", "Basic realm=\"tests\"".to_owned()),
            )
        };
        Answer::Content {
            status,
            headers: vec![header],
            body: Vec::new(),
        }
    })
    .await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let fetched = known(fake.address()).fetch(&tag, None).await.unwrap();
    assert_eq!(fetched.bytes, component("a"));
    let asked = elsewhere.asked("GET ");
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|asked| !asked.headers.contains_key("authorization")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn another_server_that_requires_credentials_gets_none() {
    let greedy = Fake::start(|asked| challenge(&format!("http://{}/token", asked.headers["host"])));
    let greedy = greedy.await;
    let to = format!("http://{}/", greedy.address());
    let fake = Fake::start(move |_| Answer::Content {
        status: 307,
        headers: vec![("location", to.clone())],
        body: Vec::new(),
    })
    .await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    known(fake.address()).fetch(&tag, None).await.unwrap_err();
    assert!(greedy.asked("GET /token").is_empty());
}

#[tokio::test]
async fn credentials_do_not_follow_an_upload_to_another_server() {
    let elsewhere = Fake::start(|_| Answer::status(201)).await;
    let to = format!("http://{}/upload", elsewhere.address());
    let fake = Fake::start(move |asked| {
        if !asked.headers.contains_key("authorization") {
            let basic = "Basic realm=\"tests\"".to_owned();
            return Answer::Content {
                status: 401,
                headers: vec![("www-authenticate", basic)],
                body: Vec::new(),
            };
        }
        match asked.what.split(' ').next() {
            Some("HEAD") => Answer::status(404),
            Some("POST") => Answer::Content {
                status: 202,
                headers: vec![("location", to.clone())],
                body: Vec::new(),
            },
            _ => Answer::status(201),
        }
    })
    .await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let pushed = known(fake.address()).push(component("a"), &tag).await;
    // This registry stores nothing.
    let error = pushed.unwrap_err();
    assert!(matches!(error, PushError::Changed { .. }), "{error:?}");
    let asked = elsewhere.asked("PUT ");
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|asked| !asked.headers.contains_key("authorization")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_loop_of_redirects_fails() {
    let fake = Fake::start(|asked| Answer::Content {
        status: 302,
        headers: vec![("location", asked.what.trim_start_matches("GET ").to_owned())],
        body: Vec::new(),
    })
    .await;
    let error = fetch(&fake, ":1").await;
    assert!(
        matches!(error, FetchError::Registry(RegistryError::Protocol { .. })),
        "{error:?}"
    );
}
