//! Why a command failed, and the exit code that scripts see.

use lattice_core::{
    ConnectError,
    app::{ApplyError, LoadError, PlanError},
    call::{CallError, Ran},
    error::chain,
    links::{DeleteError, LinkError},
};
use std::{error::Error, fmt, process::ExitCode};

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
}

impl Failure {
    /// Creates a failure of `what` with the cause `error`.
    pub(crate) fn failed(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::Failed(format!("{what}: {}", chain(error)))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) => 4,
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
            ConnectError::Name(_) => Self::Usage(text),
            ConnectError::NoKey { lattice } => Self::Usage(format!(
                "lattice `{lattice}` is on NATS and has no key; give it one with --key-file or LATTICE_KEY, or use --trust-bus if every client of the server may call anything"
            )),
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
            LoadError::Io { .. } => Self::Failed(text),
            _ => Self::Refused(text),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let text = chain(&error);
        match error {
            PlanError::Types(_) => Self::Unreachable(text),
            _ => Self::Refused(text),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let text = chain(&error);
        match error {
            ApplyError::Plan(error) => error.into(),
            ApplyError::Conflict { .. } | ApplyError::Refused { .. } => Self::Refused(text),
            ApplyError::Store { .. } => Self::Unreachable(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let text = chain(&error);
        match error {
            LinkError::Conflict { existing } => Self::Refused(format!(
                "link {} already exists and leads to `{}`; give this one another name with --name, or replace that one with --replace",
                existing.key, existing.link.target
            )),
            LinkError::LinkMismatch(_) | LinkError::Changed { .. } => Self::Refused(text),
            LinkError::Types(_) => Self::Unreachable(text),
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
            other => Self::Failed(chain(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::app::App;

    #[test]
    fn problems_are_refused_and_say_where() {
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
    fn a_file_that_is_not_there_is_no_refusal() {
        let failure = Failure::from(App::load("no/such/shop.toml").expect_err("is not there"));
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().contains("No such file"), "{failure}");
    }

    #[tokio::test]
    async fn a_missing_key_is_a_matter_of_the_command_line() {
        let error = lattice_core::Lattice::connect("nats://127.0.0.1:1", "dev").await;
        let failure = Failure::from(error.expect_err("has no key"));
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("--key-file"), "{failure}");
    }
}
