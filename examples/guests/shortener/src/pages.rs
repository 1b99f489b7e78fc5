//! The pages that people see.

use crate::{
    answer,
    clicks::{self, Day},
    clock,
    html::Text,
    links,
    problem::Problem,
    visit::Visit,
};
use lattice_actor_sdk::http::{Body, Response, StatusCode};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;\
padding:0 1rem}label{display:block;margin:1rem 0}input,select{display:block;width:100%;\
padding:.4rem;box-sizing:border-box;font:inherit}.problem{color:#b00020}\
td,th{padding:.2rem 1rem .2rem 0;text-align:left}.url{word-break:break-all}";

/// After how long a link may expire, in seconds, as the form offers it.
const EXPIRIES: [(&str, &str); 4] = [
    ("", "never"),
    ("3600", "after an hour"),
    ("86400", "after a day"),
    ("2592000", "after 30 days"),
];

/// What the fields of the form have.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub(crate) url: String,
    pub(crate) alias: String,
    pub(crate) expires_in: String,
}

/// Returns the page with the form, which shows a problem with what was sent before.
pub(crate) fn home(filled: &Filled, problem: Option<&Problem>) -> Response<Body> {
    let status = problem.map_or(StatusCode::OK, Problem::status);
    let problem = problem.map_or_else(String::new, |problem| {
        let problem = problem.to_string();
        format!("<p class=\"problem\" role=\"alert\">{}</p>", Text(problem))
    });
    let options = EXPIRIES.map(|(value, label)| {
        let selected = if value == filled.expires_in {
            " selected"
        } else {
            ""
        };
        format!("<option value=\"{value}\"{selected}>{label}</option>")
    });
    let content = format!(
        "<h1>Short links</h1>{problem}<form method=\"post\" action=\"/links\">\
         <label>Address <input name=\"url\" type=\"url\" required maxlength=\"2048\" \
         placeholder=\"https://example.com/\" value=\"{}\"></label>\
         <label>Alias, if it should have one <input name=\"alias\" minlength=\"3\" \
         maxlength=\"32\" pattern=\"[A-Za-z0-9_\\-]+\" value=\"{}\"></label>\
         <label>Expires <select name=\"expires_in\">{}</select></label>\
         <button>Shorten</button></form>",
        Text(&filled.url),
        Text(&filled.alias),
        options.concat(),
    );
    document(status, "Short links", &content)
}

/// Returns the page of a link: where it leads, and how often it was followed.
pub(crate) fn link(visit: &Visit, code: &str) -> Result<Response<Body>, Problem> {
    let link = links::find(code, visit.now)?;
    let days = clicks::by_day(&link)?;
    let short = visit.address(code);
    let expires = match link.expires {
        None => "doesn't expire".to_owned(),
        Some(time) => format!("expires at {}", clock::moment(time)),
    };
    let content = format!(
        "<h1><a href=\"{short}\">{short}</a></h1>\
         <p class=\"url\">leads to <a rel=\"nofollow noopener\" href=\"{url}\">{url}</a>.</p>\
         <p>It was made at {}, and {expires}.</p>{}<p><a href=\"/\">Another link</a></p>",
        clock::moment(link.created),
        statistics(&days),
        short = Text(&short),
        url = Text(&link.url),
    );
    Ok(document(StatusCode::OK, "A short link", &content))
}

/// Returns the page that shows a problem.
pub(crate) fn failed(problem: &Problem) -> Response<Body> {
    let status = problem.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let content = format!(
        "<h1>{}</h1><p class=\"problem\">{}</p><p><a href=\"/\">Short links</a></p>",
        Text(title),
        Text(problem.to_string()),
    );
    document(status, title, &content)
}

fn statistics(days: &[Day]) -> String {
    let total: i64 = days.iter().map(|day| day.clicks).sum();
    let rows = days.iter().map(|day| {
        let (day, clicks) = (Text(&day.day), day.clicks);
        format!("<tr><td>{day}</td><td>{clicks}</td></tr>")
    });
    let rows: String = rows.collect();
    format!(
        "<h2>Clicks: {total}</h2><table><tr><th>Day (UTC)</th><th>Clicks</th></tr>{rows}</table>"
    )
}

fn document(status: StatusCode, title: &str, content: &str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\
         <style>{STYLE}</style></head><body>{content}</body></html>\n",
        Text(title),
    );
    answer::page(status, html)
}
