//! What a person implements: the life of a provider's links.

use crate::world::Dispatch;
use lattice_core::link::Link;
use serde::de::DeserializeOwned;
use std::{error::Error, fmt, future::Future};

/// A native provider: it serves the exported interfaces of its [`World`](Self::World), and keeps a session for each link
/// that leads to it.
///
/// A link goes through three states here:
///
/// ```text
/// arrives, or changes ──► link(config) ──► session: reachable from every call over the link
///                             │                   │ the link changes (after its new session is there) or goes
///                             ▼                   ▼
///                          Refusal             unlink(session); dropped when the last call over it has ended
/// ```
/// A refusal is kept as the link's status, and calls over the link fail with it.
///
/// A provider without config and sessions implements [`Stateless`] instead.
pub trait Provider: Sized + Send + Sync + 'static {
    /// The `World` that `provider!` generated. It asks for the trait of every interface that the WIT world exports.
    type World: Dispatch<Self>;
    /// What a link's config must be: anything that deserializes from JSON. A link without config has `null`, which is
    /// read as `()`, as `None`, and as a struct whose fields all have a `#[serde(default)]`.
    type Config: DeserializeOwned + Send + 'static;
    /// What is kept for a link while it exists: a connection, a prefix, or the config itself.
    type Session: Send + Sync + 'static;

    /// A link has come or changed: answers the session for calls over it. The host waits some seconds for it.
    ///
    /// # Errors
    /// The reason why the link is refused. Anything that implements [`Error`] turns into one with `?`.
    ///
    /// # Cancel safety
    /// The future is dropped when the host has waited long enough; the link is refused then.
    fn link(
        &self,
        link: &Link,
        config: Self::Config,
    ) -> impl Future<Output = Result<Self::Session, Refusal>> + Send;

    /// A link has gone, was replaced, or the provider stops. Calls may still be running over the session: it is dropped
    /// when the last of them has ended. Must not block.
    fn unlink(&self, link: &Link, session: &Self::Session) {
        let _ = (link, session);
    }

    /// The session for one call that comes over no link: a holder of the lattice key calls. `None`, the default, denies
    /// it.
    fn operator(&self) -> impl Future<Output = Option<Self::Session>> + Send {
        async { None }
    }
}

/// A [`Provider`] that is the same for all its callers: links carry no config, there are no sessions, and operators may
/// call.
pub trait Stateless: Sized + Send + Sync + 'static {
    /// The `World` that `provider!` generated.
    type World: Dispatch<Self>;
}

impl<P: Stateless> Provider for P {
    type World = P::World;
    type Config = ();
    type Session = ();

    async fn link(&self, _: &Link, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn operator(&self) -> Option<()> {
        Some(())
    }
}

/// Longest reason that is kept, in bytes: a line for a person, not a log.
const LONGEST_REASON: usize = 1_024;

/// Why a link is refused.
///
/// Not an [`Error`] itself, so that every error turns into one with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal for this reason, which is cut to 1 KiB. Say what is wrong and what would be right.
    pub fn new(reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        Self(reason)
    }

    /// The reason as text.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::new(lattice_core::error::chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection to `db`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_turns_into_a_refusal_with_its_causes() {
        let refused = || -> Result<(), Refusal> { Err(Outer(std::io::Error::other("timed out")))? };
        assert_eq!(
            refused().expect_err("refused").reason(),
            "no connection to `db`: timed out"
        );
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let reason = format!("x{}", "é".repeat(LONGEST_REASON));
        let kept = Refusal::new(reason).reason().to_owned();
        assert_eq!(kept.len(), LONGEST_REASON - 1);
        assert!(kept.ends_with('é'));
    }
}
