//! A link as the replicated table keeps it, and how it changes.

use super::{HostReport, Link, LinkKey, LinkReports, LinkStatus};
use crate::store::Revision;
use std::sync::Arc;

/// A link and its status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkEntry {
    /// The key of the link.
    pub key: Arc<LinkKey>,
    /// The link.
    pub link: Arc<Link>,
    /// The revision of the write that put it.
    pub revision: Revision,
    /// Whether its target accepted this revision.
    pub status: LinkStatus,
    /// The reports of the target's hosts on this revision, the latest last.
    pub reports: Vec<HostReport>,
}

impl LinkEntry {
    pub(crate) fn new(
        key: Arc<LinkKey>,
        link: Arc<Link>,
        revision: Revision,
        reports: Option<&LinkReports>,
    ) -> Self {
        let reports = reports.filter(|reports| reports.link == revision);
        Self {
            key,
            link,
            revision,
            status: reports.map_or(LinkStatus::Pending, |reports| reports.status(revision)),
            reports: reports.map_or_else(Vec::new, |reports| reports.hosts.clone()),
        }
    }
}

/// How a link changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkChange {
    /// A link was added.
    Added(Arc<LinkEntry>),
    /// The link was put again. A provider that serves it creates its session again.
    Changed {
        /// The link before.
        before: Arc<LinkEntry>,
        /// The link now.
        after: Arc<LinkEntry>,
    },
    /// The link is the same; the status reported by its target changed.
    Status {
        /// The link before.
        before: Arc<LinkEntry>,
        /// The link now.
        after: Arc<LinkEntry>,
    },
    /// The link is gone.
    Removed(Arc<LinkEntry>),
}

impl LinkChange {
    /// Returns the link as it is, or as it was when it is gone.
    pub fn entry(&self) -> &Arc<LinkEntry> {
        match self {
            Self::Added(entry) | Self::Removed(entry) => entry,
            Self::Changed { after, .. } | Self::Status { after, .. } => after,
        }
    }

    /// Returns the change from `before` to `after`, or `None` when they are the same.
    pub(crate) fn between(
        before: Option<&Arc<LinkEntry>>,
        after: Option<&Arc<LinkEntry>>,
    ) -> Option<Self> {
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(Self::Added(after.clone())),
            (Some(before), None) => Some(Self::Removed(before.clone())),
            (Some(before), Some(after)) => Self::from_to(before, after),
        }
    }

    fn from_to(before: &Arc<LinkEntry>, after: &Arc<LinkEntry>) -> Option<Self> {
        if Arc::ptr_eq(before, after) || before == after {
            return None;
        }
        let (before, after) = (before.clone(), after.clone());
        let same_link = before.revision == after.revision && before.link == after.link;
        Some(if same_link {
            Self::Status { before, after }
        } else {
            Self::Changed { before, after }
        })
    }
}
