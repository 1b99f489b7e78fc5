//! Reading requests: the JSON of a body and the fields of a query, within limits, with errors that
//! say what to do.

use crate::{limits::UiLimits, problem::Problem};
use axum::{
    body::{Body as Incoming, to_bytes},
    extract::{FromRequest, FromRequestParts, Query as AxumQuery, Request},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::{error::Category, json};
use std::error::Error;
use tokio::time::timeout;

/// The body of a request, from JSON.
#[derive(Debug, Clone)]
pub(crate) struct Body<T>(pub(crate) T);

/// The fields of a query.
#[derive(Debug, Clone)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let limits = parts.extensions.get::<UiLimits>().copied();
        let limits = limits.unwrap_or_default();
        if !is_json(&parts.headers) {
            let problem = Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "the body isn't JSON",
            );
            return Err(problem.next("send JSON with `Content-Type: application/json`"));
        }
        let bytes = read(body, &limits).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| unreadable(&error))
    }
}

async fn read(body: Incoming, limits: &UiLimits) -> Result<bytes::Bytes, Problem> {
    let most = limits.body;
    match timeout(limits.arrival, to_bytes(body, most as usize)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => {
            let what = format!("the body has more than {most} bytes");
            let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", what);
            Err(problem.next("send less, or use the command `lattice`, which has no such limit"))
        }
        Ok(Err(error)) => {
            let problem = Problem::new(
                StatusCode::BAD_REQUEST,
                "broken-body",
                "the body has no end",
            );
            Err(problem.why(error.to_string()).next("send it again"))
        }
        Err(_) => {
            let what = format!("the body was not there within {:?}", limits.arrival);
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", what);
            Err(problem.next("send it again"))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn unreadable(error: &serde_json::Error) -> Problem {
    let place = json!({ "line": error.line(), "column": error.column() });
    let problem = if error.classify() == Category::Data {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-field",
            "a field of the body is wrong",
        )
    } else {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-json",
            "the body isn't valid JSON",
        )
    };
    problem
        .why(error.to_string())
        .next("correct it and send it again")
        .details(place)
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match AxumQuery::<T>::try_from_uri(&parts.uri) {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(error) => {
                let what = "a field of the query is wrong or missing";
                let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-field", what);
                Err(problem
                    .why(error.body_text())
                    .next("correct it and ask again"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body as AxumBody;
    use futures_util::stream;
    use std::{convert::Infallible, time::Duration};

    async fn parse(
        kind: &str,
        body: AxumBody,
        limits: UiLimits,
    ) -> Result<u32, (StatusCode, String)> {
        let mut request = Request::new(body);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.parse().expect("a value"));
        request.extensions_mut().insert(limits);
        match Body::<u32>::from_request(request, &()).await {
            Ok(Body(value)) => Ok(value),
            Err(problem) => {
                let json = serde_json::to_value(&problem).expect("JSON");
                Err((
                    problem.status(),
                    json["code"].as_str().expect("text").to_owned(),
                ))
            }
        }
    }

    fn wrong(status: u16, code: &str) -> Result<u32, (StatusCode, String)> {
        Err((
            StatusCode::from_u16(status).expect("a status"),
            code.to_owned(),
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_json_of_a_bounded_size_and_comes_in_time() {
        let limits = UiLimits::default().body(4).arrival(Duration::from_secs(1));
        let json = "application/json";
        assert_eq!(
            parse("application/JSON; charset=utf-8", "7".into(), limits).await,
            Ok(7)
        );
        assert_eq!(
            parse("text/plain", "7".into(), limits).await,
            wrong(415, "not-json")
        );
        assert_eq!(
            parse(json, "12345".into(), limits).await,
            wrong(413, "too-large")
        );
        assert_eq!(
            parse(json, "7,".into(), limits).await,
            wrong(400, "bad-json")
        );
        assert_eq!(
            parse(json, "\"a\"".into(), limits).await,
            wrong(400, "bad-field")
        );
        let never = AxumBody::from_stream(stream::pending::<Result<bytes::Bytes, Infallible>>());
        assert_eq!(parse(json, never, limits).await, wrong(408, "too-slow"));
        let broken = stream::iter([Err::<bytes::Bytes, _>(std::io::Error::other("gone"))]);
        let broken = AxumBody::from_stream(broken);
        assert_eq!(parse(json, broken, limits).await, wrong(400, "broken-body"));
    }
}
