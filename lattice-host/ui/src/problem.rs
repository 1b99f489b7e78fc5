//! Why a request was refused or failed, as people and scripts are told.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

/// The body of every response with an error: what happened, why, and what to do next.
///
/// ```json
/// { "code": "read-only", "what": "this page can't change anything", "why": "…", "next": "…" }
/// ```
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// Never changes, for scripts and tests.
    code: &'static str,
    what: String,
    why: Option<String>,
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Box<Value>>,
}

impl Problem {
    /// Creates a problem. `what` is a sentence without a full stop, and `code` is kebab-case.
    pub(crate) fn new(status: StatusCode, code: &'static str, what: impl Into<String>) -> Self {
        Self {
            status,
            code,
            what: what.into(),
            why: None,
            next: None,
            details: None,
        }
    }

    /// Says why.
    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds what only a program reads.
    pub(crate) fn details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_says_what_why_and_what_next() {
        let problem = Problem::new(StatusCode::CONFLICT, "link-conflict", "the link is there")
            .why("another one has put it")
            .next("update it")
            .details(json!({ "revision": 7 }));
        let json = serde_json::to_value(&problem).expect("JSON");
        assert_eq!(
            json,
            json!({ "code": "link-conflict", "what": "the link is there", "why": "another one has put it", "next": "update it", "details": { "revision": 7 } })
        );
        let bare = Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "there is nothing here",
        );
        let json = serde_json::to_value(&bare).expect("JSON");
        assert_eq!(json["why"], Value::Null);
        assert!(json.get("details").is_none());
        assert_eq!(bare.into_response().status(), StatusCode::NOT_FOUND);
    }
}
