//! The page in an existing application.

use crate::{PATIENCE, TOKEN, lattice};
use axum::{Router, body::Body, routing::get};
use futures_util::stream;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lattice_ui::{Ui, UiLimits, UiService};
use std::{convert::Infallible, time::Duration};
use tokio::time::{Instant, sleep};
use tower_service::Service as _;

fn request(path: &str) -> Request<Body> {
    let request = Request::get(path).header(header::HOST, "intern.example");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    request.body(Body::empty()).expect("a request")
}

async fn service() -> UiService {
    limited(UiLimits::default()).await
}

async fn limited(limits: UiLimits) -> UiService {
    let ui = Ui::new(&lattice().await)
        .token(TOKEN)
        .host_name("intern.example")
        .limits(limits);
    ui.service().expect("a service")
}

#[tokio::test]
async fn the_page_is_mounted_below_a_path() {
    let page = service().await;
    assert_eq!(page.opening(), format!("/?token={TOKEN}"));
    let mut app: Router = Router::new()
        .route("/", get(|| async { "the application" }))
        .nest_service("/lattice", page);
    let opened = app
        .call(request(&format!("/lattice/?token={TOKEN}")))
        .await
        .expect("a response");
    assert_eq!(opened.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        opened.headers()[header::LOCATION],
        "./",
        "relative, so that it stays below the path"
    );
    let config = app
        .call(request("/lattice/api/config"))
        .await
        .expect("a response");
    assert_eq!(config.status(), StatusCode::OK);
    let body = config
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert!(body.starts_with(b"{\"version\":"), "{body:?}");
    let other = app.call(request("/")).await.expect("a response");
    assert!(
        other
            .headers()
            .get(header::CONTENT_SECURITY_POLICY)
            .is_none()
    );
}

#[tokio::test]
async fn a_mounted_page_is_stopped_by_hand() {
    let mut page = service().await;
    let response = page.call(request("/api/stream")).await.expect("a response");
    let mut body = response.into_body();
    page.stop();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend(frame.expect("a frame").into_data().expect("data"));
    }
    let text = String::from_utf8(text).expect("text");
    assert!(
        text.ends_with("\n\n") && text.contains("event: bye\n"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_gives_its_room_back() {
    let limits = UiLimits::default().streams(1);
    let mut page = limited(limits.stall(Duration::from_secs(3))).await;
    let held = page.call(request("/api/stream")).await.expect("a response");
    assert_eq!(held.status(), StatusCode::OK);
    let begun = Instant::now();
    loop {
        // The application's server asks for nothing of the first one.
        let next = page.call(request("/api/stream")).await.expect("a response");
        if next.status() == StatusCode::OK {
            break;
        }
        assert_eq!(next.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(begun.elapsed() < PATIENCE, "its room is never given back");
        sleep(Duration::from_millis(100)).await;
    }
    let mut body = held.into_body();
    let is_cut_off = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(is_cut_off, "it doesn't look whole");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let mut page = service().await;
    let body = stream::pending::<Result<Vec<u8>, Infallible>>();
    let mut stuck = request("/api/links/put").map(|_| Body::from_stream(body));
    *stuck.method_mut() = http::Method::POST;
    let json = header::HeaderValue::from_static("application/json");
    stuck.headers_mut().insert(header::CONTENT_TYPE, json);
    let begun = Instant::now();
    let answer = page.call(stuck).await.expect("a response");
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(begun.elapsed().as_secs(), 10, "the default");
}
