//! What is wrong with the links whose source a provider is, for its log and its health.

use lattice_core::link::{LinkEntry, LinkKey, LinkStatus};
use lattice_provider_sdk::Refusal;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Most links whose problems a provider's health names at a time.
const NAMED: usize = 3;

/// What is wrong with links now, by their keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems(Arc<Mutex<BTreeMap<(LinkKey, Topic), String>>>);

/// What a problem is about: each has at most one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// The target refuses the link.
    Target,
    /// What the provider does for the link.
    Work,
    /// Messages of the link that were not handled, and can't be set aside.
    #[cfg(feature = "messaging")]
    Aside,
}

impl Problems {
    /// Notes whether the target of a link refuses it.
    pub(crate) fn target(&self, entry: &LinkEntry) {
        let target = (LinkKey::clone(&entry.key), Topic::Target);
        match &entry.status {
            LinkStatus::Rejected { reason } => {
                let to = &entry.link.target;
                self.set(target, format!("`{to}` refuses it: {reason}"));
            }
            _ => self.clear(&target),
        }
    }

    /// Forgets the problems of links that were changed or deleted.
    pub(crate) fn forget(&self, is_gone: impl Fn(&LinkKey) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(key, _), _| !is_gone(key));
    }

    /// Returns what is wrong with the links, if something is.
    pub(crate) fn health(&self) -> Result<(), Refusal> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = all.iter().take(NAMED);
        let named = named.map(|((link, _), reason)| format!("link {link}: {reason}"));
        let mut text = named.collect::<Vec<_>>().join("; ");
        if all.len() > NAMED {
            text = format!("{text}; and {} more", all.len() - NAMED);
        }
        if all.is_empty() {
            Ok(())
        } else {
            Err(Refusal::new(text))
        }
    }

    /// Notes what is wrong with something of a link, in place of what was wrong with that before,
    /// and logs it when it is new.
    pub(crate) fn set(&self, about: (LinkKey, Topic), reason: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&about) != Some(&reason) {
            tracing::warn!(link = %about.0, %reason, "a link of this provider doesn't work");
            all.insert(about, reason);
        }
    }

    /// Notes that nothing is wrong any more with something of a link.
    pub(crate) fn clear(&self, about: &(LinkKey, Topic)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = all.remove(about) {
            tracing::info!(link = %about.0, %reason, "a problem of a link of this provider is over");
        }
    }
}
