//! Why a command failed, and the exit code that scripts see.

use crate::{
    secrets::{without_logins, words},
    words::for_terminal,
};
use lattice_core::{
    ConnectError,
    app::{ApplyError, LoadError, PlanError},
    call::{CallError, Ran},
    error::chain,
    links::{DeleteError, LinkError, WriteError},
    nats,
    replica::FollowError,
    secrets::SecretError,
    store::StoreError,
    wormholes::WormholeError,
};
use std::{error::Error, fmt, path::Path, process::ExitCode};

/// Why a command failed, by exit code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The command was tried and did not succeed.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The request was refused. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The lattice can't be reached.
    #[error("{0}")]
    Unreachable(String),
    /// It can't be reached now, but may be reachable later without any change here.
    #[error("{0}")]
    Away(String),
    /// The function returned `err(...)`, which has been printed.
    #[error("the function returned an error")]
    AnsweredErr,
    /// A call failed, and the function did not run.
    #[error("{0}")]
    NotRun(String),
    /// A call failed, and the function may have run.
    #[error("{0}")]
    MayHaveRun(String),
    /// The function ran, and failed.
    #[error("{0}")]
    RanAndFailed(String),
    /// The reader of the output has closed its end, as `head` does. The command then ends
    /// successfully.
    #[error("the reader of the output has closed its end")]
    ReaderLeft,
}

impl Failure {
    /// Creates a failure of `what` with the cause `error`.
    pub(crate) fn failed(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::Failed(format!("{what}: {}", chain(error)))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// Returns the message to show, or `None` if there is none.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::ReaderLeft => None,
            failure => {
                let text = without_logins(&failure.to_string(), words());
                Some(for_terminal(&text))
            }
        }
    }

    /// Puts a text in front of the message.
    pub(crate) fn in_front(self, text: &str) -> Self {
        self.edit(|message| message.insert_str(0, text))
    }

    /// Puts a text behind the message.
    pub(crate) fn behind(self, text: &str) -> Self {
        self.edit(|message| message.push_str(text))
    }

    fn edit(mut self, edit: impl FnOnce(&mut String)) -> Self {
        match &mut self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::Refused(text)
            | Self::Unreachable(text)
            | Self::Away(text)
            | Self::NotRun(text)
            | Self::MayHaveRun(text)
            | Self::RanAndFailed(text) => edit(text),
            Self::AnsweredErr | Self::ReaderLeft => {}
        }
        self
    }

    /// Converts an error of the store.
    fn of_store(error: &StoreError, text: String) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Closed => Self::Unreachable(text),
            _ => Self::Refused(text),
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::ReaderLeft => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) | Self::Away(_) => 4,
            Self::AnsweredErr => 5,
            Self::NotRun(_) => 6,
            Self::MayHaveRun(_) => 7,
            Self::RanAndFailed(_) => 8,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let text = chain(&error);
        match error {
            ConnectError::NoKey { lattice } => Self::Usage(format!(
                "lattice `{lattice}` is on NATS and has no key; give it one with --key-file or LATTICE_KEY, or use --trust-bus if every client of the server may call anything"
            )),
            ConnectError::Name(_) | ConnectError::Nats(nats::ConnectError::BadUrl { .. }) => {
                Self::Usage(text)
            }
            ConnectError::Nats(
                nats::ConnectError::Unreachable { .. }
                | nats::ConnectError::TimedOut { .. }
                | nats::ConnectError::HungUp { .. },
            )
            | ConnectError::Open(nats::OpenError::Unavailable { .. }) => Self::Away(text),
            ConnectError::Open(
                nats::OpenError::NeedsSize
                | nats::OpenError::Limit { .. }
                | nats::OpenError::Refused { .. },
            ) => Self::Refused(text),
            ConnectError::Store(FollowError::Store(error)) => Self::of_store(&error, text),
            ConnectError::Nats(_)
            | ConnectError::Open(_)
            | ConnectError::Bus(_)
            | ConnectError::Store(_) => Self::Unreachable(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let text = chain(&error);
        match error {
            LoadError::Io { path, .. } | LoadError::Format { path } if is_url(&path) => {
                Self::Usage(format!(
                    "`{}` is a URL; give the path of a `.toml` or `.json` file, and download it first",
                    without_login(&path.to_string_lossy())
                ))
            }
            LoadError::Io { .. } => Self::Failed(text),
            _ => Self::Refused(text),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let text = chain(&error);
        match error {
            PlanError::Types(error) => Self::of_store(&error, text),
            _ => Self::Refused(text),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let text = chain(&error);
        match error {
            ApplyError::Plan(error) => error.into(),
            ApplyError::Conflict { .. }
            | ApplyError::PlanChanged { .. }
            | ApplyError::Refused { .. } => Self::Refused(text),
            ApplyError::Store { source, .. } => Self::of_store(&source, text),
            _ => Self::Failed(text),
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let text = chain(&error);
        match error {
            LinkError::Conflict { existing } => Self::Refused(format!(
                "link {} already exists and leads to `{}`, for all compatible versions of the interface; give this one another name with --name, or replace that one with --replace",
                existing.key, existing.link.target
            )),
            LinkError::LinkMismatch(_) | LinkError::Changed { .. } => Self::Refused(text),
            LinkError::Types(error) | LinkError::Write(WriteError::Store(error)) => {
                Self::of_store(&error, text)
            }
            _ => Self::Failed(text),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let text = chain(&error);
        match error.ran() {
            Ran::No => Self::NotRun(text),
            Ran::Maybe => Self::MayHaveRun(text),
            Ran::Yes => Self::RanAndFailed(text),
        }
    }
}

impl From<DeleteError> for Failure {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound { key } => Self::Failed(format!(
                "there is no link {key}; `lattice link list` shows all links"
            )),
            DeleteError::Write(WriteError::Store(ref source)) => {
                Self::of_store(source, chain(&error))
            }
            other => Self::Failed(chain(&other)),
        }
    }
}

impl From<WormholeError> for Failure {
    fn from(error: WormholeError) -> Self {
        let text = chain(&error);
        match error {
            WormholeError::Name(_) | WormholeError::Rule(_) => Self::Usage(text),
            WormholeError::Exists { .. }
            | WormholeError::HostTaken { .. }
            | WormholeError::Owned { .. } => Self::Refused(text),
            WormholeError::Write(WriteError::Store(error)) => Self::of_store(&error, text),
            _ => Self::Failed(text),
        }
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let text = chain(&error);
        match error {
            SecretError::Name(_) | SecretError::NoKey | SecretError::TooLarge { .. } => {
                Self::Usage(text)
            }
            SecretError::Write(WriteError::Store(error)) => Self::of_store(&error, text),
            _ => Self::Failed(text),
        }
    }
}

fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains("://"))
}

/// Returns a URL without its user and password, without a query, which may have a token or a
/// signature, and without everything that could be a part of them.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    if let Some((_, rest)) = rest.rsplit_once('@') {
        let is_of_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let end = rest.find(|c: char| !is_of_host(c)).unwrap_or(rest.len());
        format!("{scheme}://…@{}", cut(rest, end))
    } else {
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        format!("{scheme}://{}", cut(rest, end))
    }
}

/// Returns the start of a text, up to this byte.
fn cut(text: &str, end: usize) -> String {
    match text.split_at_checked(end) {
        Some((start, rest)) if !rest.is_empty() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::app::App;

    #[test]
    fn problems_are_refused_with_their_position() {
        let text =
            "name = \"shop\"\n[actors.greeter]\nimage = \"ghcr.io/shop/greeter:1\"\nreplica = 3\n";
        let failure = Failure::from(App::from_toml("shop.toml", text).expect_err("has a typo"));
        assert_eq!(failure.code(), 3);
        assert!(
            failure.to_string().starts_with("shop.toml:4:1: "),
            "{failure}"
        );
    }

    #[test]
    fn a_missing_file_is_not_a_refusal() {
        let failure = Failure::from(App::load("no/such/shop.toml").expect_err("is not there"));
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().contains("No such file"), "{failure}");
    }

    #[test]
    fn a_url_is_refused_as_a_manifest_and_its_password_is_not_shown() {
        let error = App::load("https://joe:s3cret@shop.example/app.toml").expect_err("a URL");
        let failure = Failure::from(error);
        assert_eq!(failure.code(), 2);
        let text = failure.message().expect("a message");
        assert!(
            text.contains("shop.example") && text.contains("path"),
            "{text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn no_token_in_the_url_of_a_manifest_is_shown() {
        for url in [
            "https://shop.example/app.toml?token=s3cret",
            "https://shop.example/app.toml#s3cret",
            "https://joe:x@shop.example/app.toml?token=s3cret",
            "https://shop.example/app.toml?user=joe@shop.example&token=s3cret",
            "https://joe:s3cret?@shop.example",
        ] {
            let failure = Failure::from(App::load(url).expect_err("a URL"));
            assert_eq!(failure.code(), 2);
            let text = failure.to_string();
            assert!(
                text.contains("shop.example") && !text.contains("s3cret"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_refusing_store_is_not_unreachable() {
        let app: lattice_core::name::AppName = "shop".parse().expect("a name");
        for (source, code) in [
            (StoreError::Limit("maximum bytes exceeded".to_owned()), 3),
            (StoreError::Forbidden("no permission".to_owned()), 3),
            (StoreError::Unavailable("timed out".to_owned()), 4),
        ] {
            let app = app.clone();
            let failure = Failure::from(ApplyError::Store { app, source });
            assert_eq!(failure.code(), code, "{failure}");
            let is_away = failure.to_string().contains("when it is back");
            assert_eq!(is_away, code == 4, "{failure}");
        }
    }

    #[test]
    fn messages_cannot_control_the_terminal() {
        let failure = Failure::from(CallError::CalleeFailed {
            reason: "\u{1b}]0;owned\u{7}\u{9b}2J".to_owned(),
        });
        let text = failure.message().expect("a message");
        assert!(!text.chars().any(crate::words::is_control), "{text:?}");
    }

    #[tokio::test]
    async fn a_missing_key_is_a_command_line_error() {
        let error = lattice_core::Lattice::connect("nats://127.0.0.1:1", "dev").await;
        let failure = Failure::from(error.expect_err("has no key"));
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("--key-file"), "{failure}");
    }
}
