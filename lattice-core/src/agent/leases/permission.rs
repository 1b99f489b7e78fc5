//! Whether the store permits this host to write leases.
//!
//! A host that may not would keep its share of what runs once and never run it. So it announces
//! that it takes no leases, and other hosts take its share. From time to time it probes whether it
//! may write by now, with a write that certainly conflicts: where it is permitted, nothing is
//! written.

use super::TERM;
use crate::{
    ordered_watch,
    store::{CommitError, Expect, Revision, StoreError, StoreKey, record::Records},
    wire::cut,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// The pause before a probe. Permissions are changed by people, and a probe is one small write.
const PROBE: Duration = Duration::from_secs(10);
/// A revision that no entry has. Servers read it as a signed number.
const NEVER: Revision = Revision(i64::MAX.unsigned_abs());

/// What the store's answers to writes of leases showed. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct LeasePermission(Arc<ordered_watch::Sender<Option<Denial>>>);

/// A write that the store didn't permit.
#[derive(Debug, Clone)]
pub(super) struct Denial {
    pub(super) key: StoreKey,
    pub(super) reason: String,
}

impl LeasePermission {
    /// Returns the write that was not permitted, unless one with the same key has been since.
    pub(super) fn denial(&self) -> Option<Denial> {
        self.0.borrow().clone()
    }

    /// Returns a receiver of changes.
    pub(super) fn changes(&self) -> ordered_watch::Receiver<Option<Denial>> {
        self.0.subscribe()
    }

    /// Takes in the store's answer to a write of the lease at `key`.
    pub(super) fn learn(&self, key: &StoreKey, answer: &Result<Revision, CommitError>) {
        let denial = match answer {
            Ok(_) | Err(CommitError::Conflict { .. }) => None,
            Err(CommitError::Store(StoreError::Forbidden(reason))) => Some(Denial {
                key: key.clone(),
                reason: cut(reason.clone()),
            }),
            // This says nothing about permissions.
            Err(_) => return,
        };
        self.0.send_if_modified(|present| {
            match (&*present, &denial) {
                (None, Some(Denial { reason, .. })) => {
                    tracing::warn!(%reason, "the store doesn't permit this host to write leases, so other hosts run what runs once; let this host's user write to the store");
                }
                // With permissions on single keys, an answer for another one shows nothing.
                (Some(before), None) if before.key == *key => {
                    tracing::info!("the store permits this host to write leases");
                }
                _ => return false,
            }
            *present = denial;
            true
        });
    }

    /// Probes from time to time until a write is permitted.
    pub(super) async fn probe(self, records: Records, key: StoreKey) {
        while self.denial().is_some() {
            sleep(PROBE).await;
            let (value, expect) = (Bytes::from_static(b"probe"), Expect::At(NEVER));
            let answer = records.store().lease(key.clone(), value, TERM, expect);
            self.learn(&key, &answer.await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ComponentId;

    #[test]
    fn a_denial_ends_only_with_a_permitted_write_of_the_same_key() {
        let key = |id: &str| StoreKey::lease(&ComponentId::new(id).expect("an id"));
        let permission = LeasePermission::default();
        let written = Ok(Revision(1));
        let denied = Err(StoreError::Forbidden("not there".to_owned()).into());
        let away = Err(StoreError::Unavailable("away".to_owned()).into());
        permission.learn(&key("a"), &written);
        assert!(permission.denial().is_none());
        permission.learn(&key("a"), &denied);
        for (id, answer) in [("b", &written), ("a", &away), ("b", &denied)] {
            permission.learn(&key(id), answer);
            let denial = permission.denial().expect("denied");
            assert_eq!((denial.key, &*denial.reason), (key("a"), "not there"));
        }
        permission.learn(&key("a"), &written);
        assert!(permission.denial().is_none());
    }
}
