//! The API: links and their statistics in JSON.

use crate::{
    answer,
    clicks::{self, Day},
    clock,
    links::{self, Link},
    new_link::NewLink,
    problem::Problem,
    visit::Visit,
};
use lattice_actor_sdk::http::{Body, Response, StatusCode};
use serde::Serialize;

/// A link, as clients see it.
#[derive(Serialize)]
struct Shown {
    code: String,
    short: String,
    url: String,
    created: String,
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clicks: Option<Clicks>,
}

#[derive(Serialize)]
struct Clicks {
    total: i64,
    days: Vec<Day>,
}

/// Makes the link that the body describes.
pub(crate) fn create(visit: &Visit, body: &[u8]) -> Result<Response<Body>, Problem> {
    let new: NewLink =
        serde_json::from_slice(body).map_err(|error| Problem::Json(error.to_string()))?;
    let (code, link) = new.add(visit.host.as_deref(), visit.now)?;
    let at = format!("/api/links/{code}");
    let shown = Shown::new(visit, code, link, None);
    let mut response = answer::json(StatusCode::CREATED, &shown);
    answer::locate(&mut response, &at);
    Ok(response)
}

/// Returns a link with its statistics.
pub(crate) fn show(visit: &Visit, code: &str) -> Result<Response<Body>, Problem> {
    let link = links::find(code, visit.now)?;
    let days = clicks::by_day(&link)?;
    let total = days.iter().map(|day| day.clicks).sum();
    let clicks = Clicks { total, days };
    let shown = Shown::new(visit, code.to_owned(), link, Some(clicks));
    Ok(answer::json(StatusCode::OK, &shown))
}

/// Returns the response to a request with a problem.
pub(crate) fn failed(problem: &Problem) -> Response<Body> {
    let error = serde_json::json!({
        "error": { "code": problem.name(), "message": problem.to_string() }
    });
    answer::json(problem.status(), &error)
}

impl Shown {
    fn new(visit: &Visit, code: String, link: Link, clicks: Option<Clicks>) -> Self {
        Self {
            short: visit.address(&code),
            code,
            url: link.url,
            created: clock::moment(link.created),
            expires: link.expires.map(clock::moment),
            clicks,
        }
    }
}
