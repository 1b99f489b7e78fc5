//! What the shortener has to do on every backend.

use super::{
    browser::{Browser, NAME},
    stage::Stage,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";
/// How long anything may take that should happen soon, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many follow one link at once.
const CLICKS: u64 = 20;

/// Checks all of it. The last check takes the app apart.
pub(super) async fn all(stage: Stage) {
    let browser = stage.browser;
    pages(browser).await;
    new_links(browser).await;
    refused_links(browser).await;
    refused_requests(browser).await;
    forms(browser).await;
    one_of_many_gets_an_alias(browser).await;
    clicks_are_counted_once(browser).await;
    expired_links_are_removed(browser).await;
    a_click_that_cannot_be_published_is_still_served(&stage).await;
}

async fn pages(browser: Browser) {
    let home = browser.get("/").await;
    assert_eq!(home.status, 200, "{home:?}");
    assert!(home.body.contains("<form method=\"post\""), "{home:?}");
    let policy = home.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let head = browser.send("HEAD /", None).await;
    assert_eq!((head.status.as_u16(), &*head.body), (200, ""));
    assert_eq!(head.header("content-type"), home.header("content-type"));

    for path in [
        "/nothing",
        "/favicon.ico",
        "/a/b",
        "/links/",
        "/links/nothing",
    ] {
        let missing = browser.get(path).await;
        assert_eq!(missing.status, 404, "{path}: {missing:?}");
        assert!(missing.body.contains("<h1>Not Found</h1>"), "{missing:?}");
    }
}

async fn new_links(browser: Browser) {
    let url = "https://example.com/a?b=c&d='e'#f";
    let mut codes = Vec::new();
    for _ in 0..2 {
        let answer = browser.create(&json!({ "url": format!(" {url}\n") })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let link = answer.json();
        let code = link["code"].as_str().expect("a code").to_owned();
        assert_eq!(answer.header("location"), format!("/api/links/{code}"));
        assert_eq!(link["short"], format!("{}/{code}", browser.origin()));
        assert_eq!(
            (&link["url"], &link["expires"]),
            (&json!(url), &Value::Null)
        );
        assert_eq!(browser.clicks(&code).await, Some(0));
        codes.push(code);
    }
    assert_ne!(codes[0], codes[1]);
    let head = browser.send(&format!("HEAD /{}", codes[0]), None).await;
    let followed = browser.get(&format!("/{}", codes[0])).await;
    for answer in [&head, &followed] {
        assert_eq!(answer.status, 302, "{answer:?}");
        assert_eq!(answer.header("location"), url);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for url in [
        "http://[::1]:8080",
        "HTTP://EXAMPLE.COM.:80/",
        "https://a_b.c-d/?x[]=%20",
    ] {
        let answer = browser.create(&json!({ "url": url })).await;
        assert_eq!(answer.status, 201, "{url}: {answer:?}");
    }
}

async fn refused_links(browser: Browser) {
    let long = format!("https://example.com/{}", "a".repeat(2_048));
    for url in [
        "",
        "example.com",
        "ftp://example.com",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://a..b/",
        "https://exa mple.com",
        "https://example.com/<b>",
        "https://example.com/\u{fc}",
        "https://ada@example.com",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:+1",
        "https://[::1",
        "https://[::1]x",
        "https://[example.com]",
        &long,
    ] {
        browser
            .create(&json!({ "url": url }))
            .await
            .fails(400, "bad-url");
    }
    for own in [NAME, "SHORT.localhost.:1"] {
        let looped = json!({ "url": format!("http://{own}/x") });
        browser.create(&looped).await.fails(400, "loop");
    }
    let url = "https://example.com/";
    for alias in [
        "",
        "ab",
        "api",
        "links",
        "a b",
        "a/b",
        "stra\u{df}e",
        &"a".repeat(33),
    ] {
        let link = json!({ "url": url, "alias": alias });
        browser.create(&link).await.fails(400, "bad-alias");
    }
    for seconds in [0, 1_000_000_000_000_u64] {
        let link = json!({ "url": url, "expires_in": seconds });
        browser.create(&link).await.fails(400, "bad-expiry");
    }
    for link in [
        json!({}),
        json!([]),
        json!({ "url": 1 }),
        json!({ "url": url, "expires_in": -1 }),
        json!({ "url": url, "allias": "typo" }),
    ] {
        browser.create(&link).await.fails(400, "bad-json");
    }
}

async fn refused_requests(browser: Browser) {
    let link = json!({ "url": "https://example.com/" }).to_string();
    let post = async |kind: &str, body: &str| {
        let path = "POST /api/links";
        browser.send(path, Some((kind, body))).await
    };
    post("application/json", "{").await.fails(400, "bad-json");
    post("text/plain", &link).await.fails(415, "bad-media-type");
    let typed = post("Application/JSON; charset=utf-8", &link).await;
    assert_eq!(typed.status, 201, "{typed:?}");
    let long = json!({ "url": "a".repeat(8 * 1_024) }).to_string();
    post("application/json", &long)
        .await
        .fails(413, "too-large");

    for (what, allowed) in [
        ("DELETE /api/links", "POST"),
        ("GET /links", "POST"),
        ("POST /", "GET, HEAD"),
        ("PUT /api/links/nothing", "GET, HEAD"),
        ("POST /nothing", "GET, HEAD"),
    ] {
        let answer = browser.send(what, None).await;
        assert_eq!(answer.status, 405, "{what}: {answer:?}");
        assert_eq!(answer.header("allow"), allowed, "{what}");
    }
    let missing = browser.get("/api/links/nothing").await;
    missing.fails(404, "no-link");
    browser.get("/api/else").await.fails(404, "no-page");
}

async fn forms(browser: Browser) {
    let submit = async |body: &str| browser.send("POST /links", Some((FORM, body))).await;
    let url = "https%3A%2F%2Fexample.com%2F%3Fa%3D1%26b%3D%272%27";
    let made = submit(&format!("url={url}&alias=form&expires_in=3600")).await;
    assert_eq!(made.status, 303, "{made:?}");
    assert_eq!(made.header("location"), "/links/form");
    let page = browser.get("/links/form").await;
    assert_eq!(page.status, 200, "{page:?}");
    let shown = "\"https://example.com/?a=1&amp;b=&#39;2&#39;\"";
    assert!(page.body.contains(shown), "{page:?}");
    let short = format!("<a href=\"{0}/form\">{0}/form</a>", browser.origin());
    assert!(page.body.contains(&short), "{page:?}");

    // A form that is refused comes back as it was filled.
    let taken = submit(&format!("url={url}&alias=form&expires_in=86400")).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    for filled in ["value=\"form\"", "value=\"86400\" selected", &shown[1..]] {
        assert!(taken.body.contains(filled), "{filled}: {taken:?}");
    }
    let hostile = submit("url=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E+%zz&alias=").await;
    assert_eq!(hostile.status, 400, "{hostile:?}");
    let escaped = "value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; %zz\"";
    assert!(hostile.body.contains(escaped), "{hostile:?}");
    assert!(!hostile.body.contains("<script"), "{hostile:?}");
    for refused in ["", "url=%ff", "url=https://example.com&expires_in=soon"] {
        let answer = submit(refused).await;
        assert_eq!(answer.status, 400, "{refused}: {answer:?}");
        assert!(answer.body.contains("class=\"problem\""), "{answer:?}");
    }
    let typed = browser.send("POST /links", Some(("text/plain", ""))).await;
    assert_eq!(typed.status, 415, "{typed:?}");
}

async fn one_of_many_gets_an_alias(browser: Browser) {
    let ask = |number: u32| async move {
        let url = format!("https://example.com/{number}");
        let link = json!({ "url": url, "alias": "contested" });
        (url, browser.create(&link).await)
    };
    let answers = join_all((0..8).map(ask)).await;
    let (made, taken): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|(_, answer)| answer.status == 201);
    assert_eq!((made.len(), taken.len()), (1, 7), "{made:?} {taken:?}");
    for (_, answer) in &taken {
        answer.fails(409, "alias-taken");
    }
    let followed = browser.get("/contested").await;
    assert_eq!(followed.header("location"), made[0].0);
}

async fn clicks_are_counted_once(browser: Browser) {
    for alias in ["first", "popular"] {
        let link = json!({ "url": "https://example.com/", "alias": alias });
        assert_eq!(browser.create(&link).await.status, 201);
    }
    // The subscription of an app that was just applied may not be there yet.
    eventually("a click is counted", async || {
        assert_eq!(browser.get("/first").await.status, 302);
        browser.clicks("first").await > Some(0)
    })
    .await;

    let follow = |_| async move { browser.get("/popular").await.status };
    for status in join_all((0..CLICKS).map(follow)).await {
        assert_eq!(status, 302);
    }
    assert_eq!(browser.send("HEAD /popular", None).await.status, 302);
    counted(browser, CLICKS).await;
    // One that was counted twice would have been by the time at which this one is.
    assert_eq!(browser.get("/popular").await.status, 302);
    counted(browser, CLICKS + 1).await;
    let page = browser.get("/links/popular").await;
    let total = format!("<h2>Clicks: {}</h2>", CLICKS + 1);
    assert!(page.body.contains(&total), "{page:?}");
}

/// Waits until so many clicks of `/popular` are counted, and no more.
async fn counted(browser: Browser, expected: u64) {
    eventually("the clicks are counted", async || {
        let clicks = browser.clicks("popular").await;
        assert!(clicks <= Some(expected), "{clicks:?} of {expected}");
        clicks == Some(expected)
    })
    .await;
}

async fn expired_links_are_removed(browser: Browser) {
    let brief = json!({ "url": "https://example.com/", "alias": "brief", "expires_in": 1 });
    let made = browser.create(&brief).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.json()["expires"].is_string(), "{made:?}");
    // In time or too late.
    browser.get("/brief").await;
    eventually("it has expired", async || {
        browser.get("/brief").await.status == 404
    })
    .await;
    // Its alias is free once the schedule has removed it.
    let again = json!({ "url": "https://example.com/again", "alias": "brief" });
    eventually("it is removed", async || {
        browser.create(&again).await.status == 201
    })
    .await;
    let followed = browser.get("/brief").await;
    assert_eq!(followed.header("location"), "https://example.com/again");
}

async fn a_click_that_cannot_be_published_is_still_served(stage: &Stage) {
    let browser = stage.browser;
    stage.without("clicks").await;
    for _ in 0..3 {
        let followed = browser.get("/popular").await;
        assert_eq!(followed.status, 302, "{followed:?}");
        assert_eq!(followed.header("location"), "https://example.com/");
    }
    assert_eq!(browser.clicks("popular").await, Some(CLICKS + 1));
}

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    waited.unwrap_or_else(|_| panic!("timed out waiting until {what}"));
}
