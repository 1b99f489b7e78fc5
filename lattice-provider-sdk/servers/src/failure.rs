//! Why there is no server.

use std::io;

/// There is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoServer {
    /// This machine doesn't have its program.
    #[error(
        "{server} isn't installed; install {package}, or run `sh .ci/servers.sh` and `sh .ci/chromium.sh`"
    )]
    NotInstalled {
        /// Its name.
        server: &'static str,
        /// The package of Debian or of `PyPI` that has it.
        package: &'static str,
    },
    /// This machine doesn't have another program that is needed to run it.
    #[error("{server} can't be run without the program `{program}`; install that")]
    NoProgram {
        /// Its name.
        server: &'static str,
        /// The other program.
        program: &'static str,
    },
    /// It refuses to run as root, and there is no other user for it.
    #[error("{server} doesn't run as root, and there is no user `{user}`; create that user")]
    NoUser {
        /// Its name.
        server: &'static str,
        /// The user that it would run as.
        user: &'static str,
    },
    /// It works only with a program of its own version, which this machine doesn't have.
    #[error("{server} doesn't fit the other programs here: {reason}; install {package}")]
    Misfit {
        /// Its name.
        server: &'static str,
        /// What it says.
        reason: String,
        /// The packages of Debian that fit each other.
        package: &'static str,
    },
    /// Its files can't be made, or its program can't be run.
    #[error("{server} can't be started")]
    Unprepared {
        /// Its name.
        server: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// It did not accept connections in time.
    #[error("{server} did not start in time; it logged:\n{log}")]
    NotStarted {
        /// Its name.
        server: &'static str,
        /// What it has logged.
        log: String,
    },
}

impl NoServer {
    /// Returns whether it is this machine that lacks something, and not the server that failed.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::NotInstalled { .. }
                | Self::NoProgram { .. }
                | Self::NoUser { .. }
                | Self::Misfit { .. }
        )
    }
}

/// Returns a server that a test needs. Returns none, and prints why, if this machine lacks it: the
/// test is skipped. Panics if the machine has it and it did not start.
pub fn installed<S>(started: Result<S, NoServer>) -> Option<S> {
    match started {
        Ok(server) => Some(server),
        Err(missing) if missing.is_missing() => {
            println!("skipped: {missing}");
            None
        }
        Err(failed) => panic!("{failed:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_machine_lacks_is_missing() {
        let (server, program, user) = ("a server", "a program", "somebody");
        let log = "no port".to_owned();
        for (reason, is_missing, text) in [
            (
                NoServer::NotInstalled {
                    server,
                    package: "a-server",
                },
                true,
                "install a-server",
            ),
            (NoServer::NoProgram { server, program }, true, "`a program`"),
            (NoServer::NoUser { server, user }, true, "`somebody`"),
            (
                NoServer::Misfit {
                    server,
                    reason: "too old".to_owned(),
                    package: "a-server",
                },
                true,
                "too old",
            ),
            (
                NoServer::Unprepared {
                    server,
                    source: io::Error::other("no room"),
                },
                false,
                "can't be started",
            ),
            (NoServer::NotStarted { server, log }, false, "no port"),
        ] {
            assert_eq!(reason.is_missing(), is_missing, "{reason}");
            assert!(reason.to_string().contains(text), "{reason}");
        }
    }
}
