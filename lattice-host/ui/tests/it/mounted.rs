//! The page in an existing application.

use crate::{TOKEN, lattice};
use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lattice_ui::{Ui, UiService};
use tower_service::Service as _;

fn request(path: &str) -> Request<Body> {
    let request = Request::get(path).header(header::HOST, "intern.example");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    request.body(Body::empty()).expect("a request")
}

async fn service() -> UiService {
    let ui = Ui::new(&lattice().await)
        .token(TOKEN)
        .host_name("intern.example");
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
