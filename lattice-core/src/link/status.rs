//! The status of a link, as reported by its target.

use crate::{name::HostId, store::Revision, value::bounded};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most hosts whose report on one link is kept: enough to see a pattern, and few enough that a
/// status stays far below the store's limit.
pub const MAX_REPORTS: usize = 16;
/// Longest reason in bytes; a longer one is cut. It is about a page of text, as much of an error as
/// a person reads.
pub const MAX_REASON: usize = 1024;

/// Whether the target accepted the link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LinkStatus {
    /// No host of the target has reported on this revision of the link.
    #[default]
    Pending,
    /// A host of the target accepted it.
    Active,
    /// Every host of the target that reported refused it.
    Rejected {
        /// The reason in the latest report.
        reason: String,
    },
}

impl LinkStatus {
    /// Creates a refusal, with its reason cut to [`MAX_REASON`] bytes.
    pub fn rejected(reason: impl fmt::Display) -> Self {
        let mut reason = reason.to_string();
        if reason.len() > MAX_REASON {
            reason.truncate(reason.floor_char_boundary(MAX_REASON - '…'.len_utf8()));
            reason.push('…');
        }
        Self::Rejected { reason }
    }
}

impl fmt::Display for LinkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Active => f.write_str("active"),
            Self::Rejected { reason } => write!(f, "rejected: {reason}"),
        }
    }
}

/// The report of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The host.
    pub host: HostId,
    /// Its verdict.
    pub status: LinkStatus,
}

/// The reports of a target's hosts on one revision of a link: the value of its `status.…` key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkReports {
    /// The revision of the link that the reports are about. They don't apply to any other.
    pub link: Revision,
    /// At most [`MAX_REPORTS`], the latest last.
    #[serde(deserialize_with = "bounded::list::<_, _, MAX_REPORTS>")]
    pub hosts: Vec<HostReport>,
}

impl LinkReports {
    /// Returns the status of the link at `revision` according to these reports.
    pub fn status(&self, revision: Revision) -> LinkStatus {
        if self.link != revision {
            return LinkStatus::Pending;
        }
        let spoken = self.hosts.iter().rev().map(|report| &report.status);
        spoken
            .clone()
            .find(|status| **status == LinkStatus::Active)
            .or_else(|| {
                spoken
                    .clone()
                    .find(|status| **status != LinkStatus::Pending)
            })
            .cloned()
            .unwrap_or_default()
    }

    /// Returns these reports with the new one of `host` on the link at `revision`, or `None` when
    /// it changes nothing. [`LinkStatus::Pending`] removes the host's earlier report. Reports on an
    /// earlier revision are dropped.
    pub fn with(&self, revision: Revision, host: &HostId, status: LinkStatus) -> Option<Self> {
        let mut hosts = if self.link == revision {
            self.hosts.clone()
        } else {
            Vec::new()
        };
        let before = hosts.iter().position(|report| report.host == *host);
        let previous = before.map_or(LinkStatus::Pending, |at| hosts.remove(at).status);
        if previous == status {
            return None;
        }
        if status != LinkStatus::Pending {
            make_room(&mut hosts);
            hosts.push(HostReport {
                host: host.clone(),
                status,
            });
        }
        Some(Self {
            link: revision,
            hosts,
        })
    }
}

/// Drops the oldest report of the verdict that most hosts share, so that the rarer verdict stays
/// visible.
fn make_room(hosts: &mut Vec<HostReport>) {
    if hosts.len() < MAX_REPORTS {
        return;
    }
    let is_active = |report: &HostReport| report.status == LinkStatus::Active;
    let active = hosts.iter().filter(|report| is_active(report)).count();
    let drop_active = active * 2 >= hosts.len();
    if let Some(oldest) = hosts
        .iter()
        .position(|report| is_active(report) == drop_active)
    {
        hosts.remove(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R1: Revision = Revision(1);

    fn host(n: usize) -> HostId {
        HostId::new(&format!("h{n}")).expect("valid")
    }

    fn reports_of(reports: &[(usize, LinkStatus)]) -> LinkReports {
        let mut all = LinkReports::default();
        for (n, status) in reports {
            all = all.with(R1, &host(*n), status.clone()).expect("a change");
        }
        all
    }

    #[test]
    fn one_serving_host_is_enough_and_the_last_refusal_is_reported() {
        let (no, nope) = (LinkStatus::rejected("no"), LinkStatus::rejected("nope"));
        for (reports, status) in [
            (reports_of(&[]), LinkStatus::Pending),
            (
                reports_of(&[(1, no.clone()), (2, nope.clone())]),
                nope.clone(),
            ),
            (
                reports_of(&[(1, LinkStatus::Active), (2, no.clone())]),
                LinkStatus::Active,
            ),
            (
                reports_of(&[(1, LinkStatus::Active), (1, no.clone())]),
                no.clone(),
            ),
            (
                reports_of(&[(1, no), (1, LinkStatus::Pending)]),
                LinkStatus::Pending,
            ),
        ] {
            assert_eq!(reports.status(R1), status, "{reports:?}");
            assert_eq!(reports.status(Revision(2)), LinkStatus::Pending);
        }
    }

    #[test]
    fn a_repeated_report_changes_nothing_and_a_new_revision_resets_the_status() {
        let one = reports_of(&[(1, LinkStatus::Active)]);
        assert_eq!(one.with(R1, &host(1), LinkStatus::Active), None);
        assert_eq!(one.with(R1, &host(2), LinkStatus::Pending), None);
        let next = one
            .with(Revision(2), &host(2), LinkStatus::rejected("new"))
            .expect("a change");
        assert_eq!(next.hosts.len(), 1);
    }

    #[test]
    fn reports_are_bounded_and_the_rarer_verdict_is_kept() {
        let mut reports = reports_of(&[(0, LinkStatus::Active)]);
        for n in 1..100 {
            reports = reports
                .with(R1, &host(n), LinkStatus::rejected("no"))
                .expect("a change");
        }
        assert_eq!(reports.hosts.len(), MAX_REPORTS);
        assert_eq!(reports.status(R1), LinkStatus::Active);
    }

    #[test]
    fn long_reasons_are_cut_at_a_character_boundary() {
        let LinkStatus::Rejected { reason } = LinkStatus::rejected("é".repeat(MAX_REASON)) else {
            panic!("a refusal")
        };
        assert!(
            reason.len() <= MAX_REASON && reason.ends_with("é…"),
            "{reason}"
        );
    }
}
