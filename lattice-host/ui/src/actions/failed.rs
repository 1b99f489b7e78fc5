//! The errors of the lattice as problems of a request, each with a code that never changes.

use crate::problem::Problem;
use http::StatusCode;
use lattice_core::{
    app::{ApplyError, LoadError, PlanError, Problems},
    error::chain,
    link::LinkMismatch,
    links::{DeleteError, LinkError, WriteError},
    name::NameError,
    store::StoreError,
    wormholes::WormholeError,
};
use serde_json::json;
use std::error::Error;

/// Most problems of a manifest that are sent.
const MOST: usize = 64;

/// Makes a problem of an error, whose message ends with what to do about it after a semicolon.
pub(super) fn problem(
    (status, code): (StatusCode, &'static str),
    what: &str,
    error: &(dyn Error + '_),
) -> Problem {
    let message = error.to_string();
    let all = chain(error);
    let causes = all.strip_prefix(&message).unwrap_or_default();
    let problem = Problem::new(status, code, what);
    match message.rsplit_once("; ") {
        Some((why, next)) => problem.why(format!("{why}{causes}")).next(next),
        None => problem.why(all).next(usual_advice(status)),
    }
}

/// What to do about an error that doesn't say so itself.
fn usual_advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::CONFLICT => "look at it as it is now, then decide again",
        StatusCode::NOT_FOUND => "look for it in the view as it is now",
        status if status.is_server_error() => "try again in a moment",
        _ => "correct it, and send it again",
    }
}

/// Says that the same request may succeed later.
fn retryable(problem: Problem) -> Problem {
    problem.details(json!({ "retryable": true }))
}

const BUSY: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "busy");
const STORE: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable");
const REFUSED: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, "refused");
const CHANGED: (StatusCode, &str) = (StatusCode::CONFLICT, "changed-since");
const BAD_MANIFEST: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, "bad-manifest");

pub(super) fn name(error: &NameError) -> Problem {
    let code = (StatusCode::BAD_REQUEST, "bad-name");
    problem(code, "a name breaks its rule", error).next("correct it")
}

pub(super) fn store(what: &str, error: &StoreError) -> Problem {
    retryable(problem(STORE, what, error).next("try again when the store is back"))
}

pub(super) fn mismatch(what: &str, error: &LinkMismatch) -> Problem {
    problem(
        (StatusCode::UNPROCESSABLE_ENTITY, "does-not-fit"),
        what,
        error,
    )
}

pub(super) fn write(what: &str, error: &WriteError) -> Problem {
    match error {
        WriteError::Contended { .. } | WriteError::Behind { .. } => {
            retryable(problem(BUSY, what, error))
        }
        WriteError::Refused(_) | WriteError::Unreadable { .. } | WriteError::Unencodable(_) => {
            problem(REFUSED, what, error)
        }
        WriteError::NotSeen { .. } => problem(BUSY, what, error),
        WriteError::Store(error) => store(what, error),
        _ => problem(STORE, what, error),
    }
}

pub(super) fn link(error: &LinkError) -> Problem {
    let what = "the link was not put";
    match error {
        LinkError::LinkMismatch(error) => mismatch(what, error),
        LinkError::Conflict { .. } => problem((StatusCode::CONFLICT, "link-conflict"), what, error)
            .next("give this one another name, or edit the one that is there"),
        LinkError::Changed { .. } => {
            problem(CHANGED, what, error).next("look at the link as it is now, then change it")
        }
        LinkError::Types(error) => store(what, error),
        LinkError::Write(error) => write(what, error),
        _ => problem(REFUSED, what, error),
    }
}

pub(super) fn delete(error: &DeleteError) -> Problem {
    let what = "the link was not deleted";
    match error {
        DeleteError::NotFound { .. } => {
            problem((StatusCode::NOT_FOUND, "no-such-link"), what, error)
        }
        DeleteError::Changed { .. } => {
            problem(CHANGED, what, error).next("look at the link as it is now, then decide again")
        }
        DeleteError::Write(error) => write(what, error),
        _ => problem(REFUSED, what, error),
    }
}

pub(super) fn wormhole(what: &str, error: &WormholeError) -> Problem {
    let code = match error {
        WormholeError::Name(error) => return name(error),
        WormholeError::Write(error) => return write(what, error),
        WormholeError::Rule(_) => (StatusCode::BAD_REQUEST, "bad-field"),
        WormholeError::NotFound { .. } => (StatusCode::NOT_FOUND, "no-such-wormhole"),
        WormholeError::Exists { .. } => (StatusCode::CONFLICT, "wormhole-exists"),
        WormholeError::HostTaken { .. } => (StatusCode::CONFLICT, "host-taken"),
        WormholeError::Owned { .. } => (StatusCode::CONFLICT, "owned-by-app"),
        _ => REFUSED,
    };
    problem(code, what, error)
}

pub(super) fn load(error: &LoadError) -> Problem {
    let what = "the manifest can't be read";
    match error {
        LoadError::Problems(problems) => manifest(what, problems),
        LoadError::TooLarge { .. } => {
            problem((StatusCode::PAYLOAD_TOO_LARGE, "too-large"), what, error)
        }
        _ => problem(BAD_MANIFEST, what, error),
    }
}

pub(super) fn plan(what: &str, error: &PlanError) -> Problem {
    match error {
        PlanError::Problems(problems) => manifest(what, problems),
        PlanError::Types(error) => store(what, error),
        PlanError::NoSuchApp { .. } => problem((StatusCode::NOT_FOUND, "no-such-app"), what, error),
        PlanError::OtherKey(_) => problem(STORE, what, error),
        _ => problem(REFUSED, what, error),
    }
}

pub(super) fn apply(what: &str, error: &ApplyError) -> Problem {
    let code = match error {
        ApplyError::Name(error) => return name(error),
        ApplyError::Plan(error) => return plan(what, error),
        ApplyError::Conflict { .. } => CHANGED,
        ApplyError::PlanChanged { .. } => (StatusCode::CONFLICT, "plan-changed"),
        ApplyError::Behind { .. } | ApplyError::Outdated { .. } | ApplyError::NotSeen { .. } => {
            BUSY
        }
        ApplyError::Store { .. } | ApplyError::Unknown { .. } => STORE,
        _ => REFUSED,
    };
    let problem = problem(code, what, error);
    if error.is_retryable() {
        retryable(problem)
    } else {
        problem
    }
}

/// Everything that is wrong with a manifest, with the places in its text.
fn manifest(what: &str, problems: &Problems) -> Problem {
    let all = problems.iter().take(MOST).map(|problem| {
        json!({
            "line": problem.place.map(|place| place.line),
            "column": problem.place.map(|place| place.column),
            "path": problem.path.to_string(),
            "message": problem.kind.to_string(),
        })
    });
    let details = json!({ "problems": all.collect::<Vec<_>>() });
    let count = problems.iter().count();
    let why = match problems.iter().next() {
        Some(first) if count == 1 => first.to_string(),
        Some(first) => format!("{first} (and {} more problems)", count - 1),
        None => String::new(),
    };
    let (status, code) = BAD_MANIFEST;
    Problem::new(status, code, what)
        .why(why)
        .next("correct the manifest, and plan it again")
        .details(details)
}

/// Something that was asked for isn't there.
pub(super) fn missing(code: &'static str, what: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, what)
        .next("look for it in the view as it is now: it may have been deleted")
}

pub(super) fn changed_since(what: &str, why: String) -> Problem {
    let (status, code) = CHANGED;
    Problem::new(status, code, what)
        .why(why)
        .next("look at it as it is now, then decide again")
}

pub(super) fn bad_field(field: &str, why: impl Into<String>) -> Problem {
    let what = format!("the field `{field}` is wrong");
    Problem::new(StatusCode::BAD_REQUEST, "bad-field", what)
        .why(why)
        .next("correct it and send it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the store is `a; b`; look at its log")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_advice_of_an_error_is_what_to_do_next() {
        let error = Outer(std::io::Error::other("it burns"));
        let json = serde_json::to_value(problem(REFUSED, "nothing was written", &error));
        let json = json.expect("JSON");
        assert_eq!(json["code"], "refused");
        assert_eq!(json["what"], "nothing was written");
        assert_eq!(json["why"], "the store is `a; b`: it burns");
        assert_eq!(json["next"], "look at its log");
        let plain = std::io::Error::other("it burns");
        let json = serde_json::to_value(problem(REFUSED, "no", &plain)).expect("JSON");
        assert_eq!(
            (&json["why"], &json["next"]),
            (&"it burns".into(), &json!("correct it, and send it again"))
        );
    }
}
