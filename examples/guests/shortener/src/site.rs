//! Requests, by their paths and methods.
//!
//! | path | methods | |
//! | --- | --- | --- |
//! | `/` | `GET`, `HEAD` | the page with the form |
//! | `/links` | `POST` | what the form sends |
//! | `/links/CODE` | `GET`, `HEAD` | the page of a link |
//! | `/api/links` | `POST` | makes a link, from JSON |
//! | `/api/links/CODE` | `GET`, `HEAD` | a link with its statistics, in JSON |
//! | `/CODE` | `GET`, `HEAD` | leads to the address of the link |

use crate::{
    answer, api, clicks, form, links,
    new_link::NewLink,
    pages::{self, Filled},
    problem::Problem,
    visit::Visit,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lattice_actor_sdk::{
    http::{Body, HeaderMap, Method, Request, Response, StatusCode},
    log,
};

/// Largest body of a request, in bytes. A form has the longest address with every byte encoded.
const LARGEST_BODY: usize = 8 * 1024;
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// What a path is for.
#[derive(Debug, Clone, Copy)]
enum Route<'p> {
    Home,
    Form,
    Page(&'p str),
    Api,
    ApiLink(&'p str),
    ApiUnknown,
    Link(&'p str),
}

impl<'p> Route<'p> {
    fn of(path: &'p str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (first, rest) = match path.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        match (first, rest) {
            ("", None) => Self::Home,
            ("links", None) => Self::Form,
            ("links", Some(code)) => Self::Page(code),
            ("api", Some("links")) => Self::Api,
            ("api", Some(rest)) => match rest.strip_prefix("links/") {
                Some(code) => Self::ApiLink(code),
                None => Self::ApiUnknown,
            },
            ("api", None) => Self::ApiUnknown,
            // With a slash in it, it isn't the code of a link.
            _ => Self::Link(path),
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Form | Self::Api => "POST",
            _ => "GET, HEAD",
        }
    }
}

/// Returns the response to a request.
pub(crate) async fn answer(request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let route = Route::of(head.uri.path());
    let visit = Visit::new(&head.uri);
    let answered = match allowed(route, &head.method) {
        Ok(()) => match route {
            Route::Home => Ok(pages::home(&Filled::default(), None)),
            Route::Page(code) => pages::link(&visit, code),
            Route::ApiLink(code) => api::show(&visit, code),
            Route::Link(code) => follow(&visit, code, &head.method),
            Route::ApiUnknown => Err(Problem::NoPage),
            Route::Api => match read(&head.headers, body, JSON).await {
                Ok(body) => api::create(&visit, &body),
                Err(problem) => Err(problem),
            },
            Route::Form => match read(&head.headers, body, FORM).await {
                Ok(body) => submit(&visit, &body),
                Err(problem) => Err(problem),
            },
        },
        Err(problem) => Err(problem),
    };
    let response = answered.unwrap_or_else(|problem| {
        let response = match route {
            Route::Api | Route::ApiLink(_) | Route::ApiUnknown => api::failed(&problem),
            _ => pages::failed(&problem),
        };
        answer::with_problem(response, &problem)
    });
    if head.method == Method::HEAD {
        return answer::without_body(response);
    }
    response
}

fn allowed(route: Route<'_>, method: &Method) -> Result<(), Problem> {
    let methods = route.methods();
    if matches!(route, Route::ApiUnknown) || methods.split(", ").any(|one| method == one) {
        return Ok(());
    }
    Err(Problem::Method(methods))
}

/// Leads to the address of a link. A click that can't be published is logged and isn't counted, and
/// the response is the same.
fn follow(visit: &Visit, code: &str, method: &Method) -> Result<Response<Body>, Problem> {
    let link = links::find(code, visit.now)?;
    if method == Method::GET
        && let Err(error) = clicks::publish(&link, visit.now)
    {
        log::warn!("a click of `{code}` isn't counted: {error}");
    }
    Ok(answer::redirect(StatusCode::FOUND, &link.url))
}

/// Makes the link that a form describes, and leads to its page, so that it can be loaded again
/// without making another one.
fn submit(visit: &Visit, body: &[u8]) -> Result<Response<Body>, Problem> {
    let mut filled = Filled::default();
    for (name, value) in form::fields(body).ok_or(Problem::Form)? {
        match name.as_str() {
            "url" => filled.url = value,
            "alias" => filled.alias = value.trim().to_owned(),
            "expires_in" => filled.expires_in = value,
            _ => {}
        }
    }
    let made = new_link(&filled).and_then(|new| new.add(visit.host.as_deref(), visit.now));
    Ok(match made {
        Ok((code, _)) => answer::redirect(StatusCode::SEE_OTHER, &format!("/links/{code}")),
        Err(problem) => answer::with_problem(pages::home(&filled, Some(&problem)), &problem),
    })
}

/// In a form, an empty field is one that isn't set.
fn new_link(filled: &Filled) -> Result<NewLink, Problem> {
    let alias = Some(filled.alias.clone()).filter(|alias| !alias.is_empty());
    let expires_in = match filled.expires_in.as_str() {
        "" => None,
        seconds => Some(seconds.parse().map_err(|_| Problem::Expiry)?),
    };
    Ok(NewLink {
        url: filled.url.clone(),
        alias,
        expires_in,
    })
}

/// Returns the body of a request, which has to be of this type.
async fn read(headers: &HeaderMap, body: Body, kind: &'static str) -> Result<Vec<u8>, Problem> {
    let given = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !given.trim().eq_ignore_ascii_case(kind) {
        return Err(Problem::MediaType(kind));
    }
    match Limited::new(body.into_boxed_body(), LARGEST_BODY)
        .collect()
        .await
    {
        Ok(whole) => Ok(whole.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::TooLarge(LARGEST_BODY)),
        Err(_) => Err(Problem::Broken),
    }
}
