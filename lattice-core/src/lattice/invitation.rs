//! What another process needs to join a lattice.

use super::{Connect, ConnectError, Lattice, OnNats};
use crate::{auth::LatticeKey, name::LatticeName, nats::SharedNats};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use zeroize::{Zeroize as _, Zeroizing};

/// What another process needs to join a lattice on NATS with the rights of this one: its name, how
/// to connect, and its key. Cheap to clone.
///
/// It has the secrets of the lattice in it, so that a process that a host starts needs none of its
/// own. It is passed as a text, which must not be logged or be an argument or a variable of a
/// process, where others can read it.
#[derive(Clone)]
pub struct Invitation(Arc<Contents>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Contents {
    lattice: LatticeName,
    nats: SharedNats,
    /// `None` if the bus is trusted.
    key: Option<String>,
    operator_calls: bool,
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// A text that isn't an invitation.
#[derive(Debug, thiserror::Error)]
#[error("the text isn't an invitation to a lattice of this version")]
pub struct InvitationError(());

impl Invitation {
    pub(super) fn new(
        lattice: LatticeName,
        nats: SharedNats,
        key: Option<&LatticeKey>,
        operator_calls: bool,
    ) -> Self {
        Self(Arc::new(Contents {
            lattice,
            nats,
            key: key.map(|key| key.expose_hex().to_string()),
            operator_calls,
        }))
    }

    /// Returns it as a text, which has the secrets of the lattice in it. The text is wiped from
    /// memory when dropped: don't copy it.
    pub fn expose_text(&self) -> Zeroizing<String> {
        // A struct of texts and numbers always encodes.
        Zeroizing::new(serde_json::to_string(&*self.0).unwrap_or_default())
    }

    /// Reads the text of an invitation.
    ///
    /// # Errors
    /// Fails with [`InvitationError`], which doesn't repeat the text.
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        let contents = serde_json::from_str(text).map_err(|_| InvitationError(()))?;
        Ok(Self(Arc::new(contents)))
    }

    /// Joins the lattice: `.await` the returned value.
    pub fn accept(&self) -> Connect<OnNats> {
        let contents = &self.0;
        let mut connect = Lattice::connect(contents.nats.options(), contents.lattice.clone());
        if !contents.operator_calls {
            connect = connect.deny_operator_calls();
        }
        let key = contents.key.as_deref().map(LatticeKey::from_hex);
        match key {
            Some(Ok(key)) => connect.key(key),
            // Without a valid key, connecting fails.
            Some(Err(_)) => connect,
            None => connect.trust_bus(),
        }
    }

    /// Joins the lattice.
    ///
    /// # Errors
    /// Fails as [`Lattice::connect`] does.
    pub async fn join(&self) -> Result<Lattice, ConnectError> {
        self.accept().await
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("lattice", &self.0.lattice)
            .finish_non_exhaustive()
    }
}

impl Lattice {
    /// Returns what another process needs to join this lattice as this one has. `None` if no other
    /// process can: the lattice is in this process, or on a bus that the program supplies.
    pub fn invitation(&self) -> Option<Invitation> {
        self.0.invitation.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::NatsOptions;

    #[test]
    fn an_invitation_survives_as_text_and_is_never_printed() {
        let nats = NatsOptions::new("nats://joe:hunter2@a:1");
        let name = LatticeName::new("prod").expect("valid");
        let key = LatticeKey::from_hex(&"07".repeat(32)).expect("a key");
        let invitation = Invitation::new(name, SharedNats::of(&nats), Some(&key), true);
        let debug = format!("{invitation:?}");
        assert!(
            !debug.contains("hunter2") && !debug.contains("0707"),
            "{debug}"
        );
        let read = Invitation::from_text(&invitation.expose_text()).expect("reads");
        assert_eq!(*read.expose_text(), *invitation.expose_text());
        let error = Invitation::from_text("{\"hunter2\"").expect_err("not one");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_lattice_inside_a_process_invites_nobody() {
        let lattice = Lattice::in_memory("dev").await.expect("it opens");
        assert!(lattice.invitation().is_none());
    }
}
