//! Why a request isn't served as it was meant.

use crate::target::{self, Refusal};
use lattice_actor_sdk::http::StatusCode;
use std::fmt;

/// Why a request isn't served as it was meant. Its text is for people.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A link may not lead there.
    Address(Refusal),
    Alias,
    Expiry,
    AliasTaken,
    /// There is no such link, or it has expired.
    NoLink,
    /// There is nothing at this path.
    NoPage,
    /// The body isn't JSON of the right form; why.
    Json(String),
    Form,
    /// The body has another type than this one.
    MediaType(&'static str),
    TooLarge(usize),
    /// The body ended before it was complete.
    Broken,
    /// The methods that there are.
    Method(&'static str),
    /// What is needed can't be reached, or has failed; why, for the log.
    Unavailable(String),
}

impl Problem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Address(_) | Self::Alias | Self::Expiry => StatusCode::BAD_REQUEST,
            Self::Json(_) | Self::Form | Self::Broken => StatusCode::BAD_REQUEST,
            Self::AliasTaken => StatusCode::CONFLICT,
            Self::NoLink | Self::NoPage => StatusCode::NOT_FOUND,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the name by which programs know it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Address(Refusal::Itself) => "loop",
            Self::Address(_) => "bad-url",
            Self::Alias => "bad-alias",
            Self::Expiry => "bad-expiry",
            Self::AliasTaken => "alias-taken",
            Self::NoLink => "no-link",
            Self::NoPage => "no-page",
            Self::Json(_) => "bad-json",
            Self::Form => "bad-form",
            Self::MediaType(_) => "bad-media-type",
            Self::TooLarge(_) => "too-large",
            Self::Broken => "incomplete",
            Self::Method(_) => "bad-method",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(refusal) => refusal.fmt(f),
            Self::Alias => f.write_str(
                "an alias has 3 to 32 letters, digits, - and _, and is neither `api` nor `links`",
            ),
            Self::Expiry => f.write_str("a link expires after 1 second to 10 years"),
            Self::AliasTaken => f.write_str("the alias is taken; choose another one"),
            Self::NoLink => f.write_str("there is no such link; it may have expired"),
            Self::NoPage => f.write_str("there is nothing at this address"),
            Self::Json(reason) => write!(
                f,
                "the body isn't JSON such as {{\"url\": \"https://example.com\"}}: {reason}"
            ),
            Self::Form => f.write_str("the form isn't text in UTF-8"),
            Self::MediaType(expected) => write!(f, "the body isn't of the type {expected}"),
            Self::TooLarge(limit) => write!(f, "the body has more than {limit} bytes"),
            Self::Broken => f.write_str("the body isn't complete"),
            Self::Method(allowed) => write!(f, "this address takes {allowed}"),
            Self::Unavailable(_) => {
                f.write_str("this can't be done at the moment; try again in a few seconds")
            }
        }
    }
}

impl From<target::Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Address(refusal)
    }
}
