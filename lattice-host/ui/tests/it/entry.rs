//! Who is let in.

use crate::{
    TOKEN,
    client::{Response, ask, exchange, request},
    lattice, serve,
};
use lattice_ui::{Ui, UiError, UiServer};

/// Makes a request with a host and these other lines.
async fn with(page: &UiServer, first: &str, lines: &[&str]) -> Response {
    let mut all = vec![format!("Host: {}", page.address())];
    all.extend(lines.iter().map(|line| (*line).to_owned()));
    exchange(page.address(), &request(first, &all, "")).await
}

#[tokio::test]
async fn the_token_opens_the_page_and_the_cookie_keeps_it_open() {
    let page = serve(Ui::new(&lattice().await)).await;
    let opening = page
        .url()
        .replace(&format!("http://{}", page.address()), "");
    assert_eq!(opening, format!("/?token={TOKEN}"));
    let entered = with(&page, &format!("GET {opening}"), &[]).await;
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, Some("./")),
        "{entered:?}"
    );
    let cookie = entered.header("set-cookie").expect("a cookie");
    for word in ["HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    // A page that is mounted below a path doesn't know it, and the browser does.
    assert!(!cookie.contains("Path"), "{cookie}");
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let name = format!("lattice-ui-{}=", page.address().port());
    assert!(cookie.starts_with(&name), "{cookie}");

    let pair = cookie.split(';').next().expect("a pair");
    let opened = with(&page, "GET /", &[&format!("Cookie: other=1; {pair}")]).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    assert!(
        opened
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    let policy = opened.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    for name in [
        "x-content-type-options",
        "referrer-policy",
        "x-frame-options",
        "cross-origin-resource-policy",
        "etag",
    ] {
        assert!(opened.header(name).is_some(), "{name}: {opened:?}");
    }

    for lines in [
        vec![],
        vec![format!("Cookie: {name}{}", "0".repeat(64))],
        vec!["Authorization: Bearer no".to_owned()],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let stranger = with(&page, "GET /api/config", &lines).await;
        assert_eq!(
            (stranger.status, stranger.code().as_str()),
            (401, "no-session")
        );
        let person = with(&page, "GET /", &lines).await;
        assert!(
            person.status == 401 && person.body.contains("?token=…"),
            "{person:?}"
        );
    }
    let wrong = with(&page, "GET /?token=0123456789abcdeX", &[]).await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test]
async fn foreign_names_and_origins_are_refused() {
    let page = serve(Ui::new(&lattice().await).host_name("lattice.example")).await;
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let named = async |host: &str| {
        let lines = [format!("Host: {host}"), bearer.clone()];
        exchange(page.address(), &request("GET /api/config", &lines, "")).await
    };
    assert_eq!(named("lattice.example").await.status, 200);
    assert_eq!(named("localhost:1").await.status, 200);
    let foreign = named("evil.example").await;
    assert_eq!(
        (foreign.status, foreign.code().as_str()),
        (421, "wrong-host")
    );
    for line in [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        let refused = with(&page, "POST /api/anything", &[&bearer, line]).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "foreign-origin"),
            "{line}"
        );
    }
    let own = format!("Origin: http://{}", page.address());
    let found = with(&page, "POST /api/anything", &[&bearer, &own]).await;
    assert_eq!((found.status, found.code().as_str()), (404, "no-such-path"));
}

#[tokio::test]
async fn a_read_only_page_refuses_changes() {
    let page = serve(Ui::new(&lattice().await).read_only()).await;
    let config = ask(&page, "GET /api/config", "").await;
    let config: serde_json::Value = serde_json::from_str(&config.body).expect("JSON");
    assert_eq!(
        (&config["read_only"], &config["lattice"]),
        (&true.into(), &"test".into())
    );
    let refused = ask(&page, "POST /api/links/put", "{}").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "read-only")
    );
}

#[tokio::test]
async fn paths_and_methods_that_mean_nothing_say_so() {
    let page = serve(Ui::new(&lattice().await)).await;
    let missing = ask(&page, "GET /api/nothing", "").await;
    assert_eq!(
        (missing.status, missing.code().as_str()),
        (404, "no-such-path")
    );
    let wrong = ask(&page, "POST /api/config", "{}").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (405, "wrong-method"));
    let wrong = ask(&page, "POST /", "{}").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (405, "wrong-method"));
    let schema = ask(&page, "GET /api/schema.json", "").await;
    assert!(schema.status == 200 && schema.body.contains("\"$defs\""));
    for path in ["GET /../Cargo.toml", "GET /%2e%2e/Cargo.toml", "GET /js"] {
        assert_eq!(ask(&page, path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_has_to_be_allowed() {
    let lattice = lattice().await;
    let public = "0.0.0.0:0".parse().expect("an address");
    let refused = Ui::new(&lattice).serve(public).await.expect_err("refused");
    assert!(matches!(refused, UiError::NotLoopback { .. }));
    assert!(refused.to_string().contains("127.0.0.1"), "{refused}");
    let open = Ui::new(&lattice).any_address().serve(public).await;
    let url = open.expect("it is served").url();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    let page = serve(Ui::new(&lattice)).await;
    let taken = Ui::new(&lattice)
        .serve(page.address())
        .await
        .expect_err("taken");
    assert!(matches!(taken, UiError::Listen { .. }), "{taken}");
    let short = Ui::new(&lattice)
        .token("short")
        .service()
        .expect_err("too short");
    assert!(matches!(short, UiError::BadToken));
    let name = Ui::new(&lattice)
        .host_name("http://a")
        .service()
        .expect_err("no name");
    assert!(matches!(name, UiError::BadHostName { .. }));
}
