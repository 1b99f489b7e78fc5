//! Credential helpers: programs that have logins.

use crate::artifact::Credentials;
use serde::Deserialize;
use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

/// The output of a helper that has no login for a registry. Nothing else distinguishes that from a
/// failure.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name with which a helper returns an identity token.
const TOKEN_USER: &str = "<token>";
/// The largest accepted output.
const MAX_ANSWER: u64 = 64 << 10;

/// A helper failed. Its output isn't shown, because it may contain a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error(
        "the credential helper `{program}` can't be run: install it, or remove it from the configuration"
    )]
    Run { program: String, source: io::Error },
    #[error(
        "`{program} get` did not end within {after:?} and was killed: run it by hand, with `{name}` as its input; it may wait for a password"
    )]
    Silent {
        program: String,
        name: String,
        after: Duration,
    },
    #[error("`{program} get` failed: run it by hand, with `{name}` as its input, to see why")]
    Failed { program: String, name: String },
}

/// The output of a helper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Runs a helper to get its login for a name. Returns `None` if it has none. The helper is killed
/// when it takes longer than `within`.
pub(super) async fn get(
    helper: &str,
    name: &str,
    within: Duration,
) -> Result<Option<Credentials>, HelperError> {
    let program = format!("docker-credential-{helper}");
    let ran = timeout(within, run(&program, name)).await;
    let (status, answer) = ran
        .map_err(|_| HelperError::Silent {
            program: program.clone(),
            name: name.to_owned(),
            after: within,
        })?
        .map_err(|source| HelperError::Run {
            program: program.clone(),
            source,
        })?;
    if !status.success() && answer.trim_ascii() == NOT_FOUND.as_bytes() {
        return Ok(None);
    }
    match serde_json::from_slice(&answer) {
        Ok(Answer { username, secret }) if status.success() => Ok(match &*username {
            // Some helpers print an empty login when they have none.
            "" if secret.is_empty() => None,
            TOKEN_USER => Some(Credentials::Identity { token: secret }),
            _ => Some(Credentials::basic(username, secret)),
        }),
        _ => Err(HelperError::Failed {
            program,
            name: name.to_owned(),
        }),
    }
}

async fn run(program: &str, name: &str) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that doesn't read its input may still succeed.
        let _ = input.write_all(name.as_bytes()).await;
    }
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?, answer))
}
