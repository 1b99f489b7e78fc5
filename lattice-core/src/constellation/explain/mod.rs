//! Explains why something does not run or can't be reached. Pure except for [`mismatches`], which
//! reads published types.

mod component;
mod finding;
mod text;
mod wormhole;

pub use finding::{Finding, Severity};

use super::{
    items::{AppView, LinkState, LinkView, StoreState, WormholeView},
    view::View,
};
use crate::{
    connection::Connection,
    link::{LinkKey, Locality},
    name::{AppName, ComponentId, WormholeId},
    place::Assignment,
    store::{KeyKind, StoreKey},
    types::ComponentTypes,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc};
use text::Listed;

/// Most links whose two ends are compared for one explanation. Each comparison reads the store.
const MAX_COMPARED: usize = 64;
/// Two names are similar when at least this share of them is the same.
const SIMILAR: f64 = 0.8;

/// The subject of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Subject {
    /// A component: does it run?
    Component(ComponentId),
    /// A link: does it work?
    Link(LinkKey),
    /// An app: is all of it in its declared state?
    App(AppName),
    /// A wormhole: do requests get through it?
    Wormhole(WormholeId),
}

/// What doesn't fit together by the types that components have published, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatches {
    /// Links whose two ends don't.
    pub links: BTreeMap<LinkKey, String>,
    /// Wormholes whose actor serves no requests, or whose verifier verifies none.
    pub wormholes: BTreeMap<WormholeId, Vec<String>>,
}

/// An explanation of whether something runs or can be reached, and why not. Displayed as one line,
/// followed by a line for each finding, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The subject of the question.
    pub subject: Subject,
    /// The severity of the worst finding.
    pub severity: Severity,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
}

/// Explains `subject` from `view`. `mismatches` is what is known not to fit together.
pub fn explain(view: &View, mismatches: &Mismatches, subject: &Subject) -> Explanation {
    let assignment = view.assignment();
    let mut inquiry = Inquiry {
        view,
        mismatches,
        assignment: &assignment,
        findings: Vec::new(),
    };
    if view.store.state != StoreState::Following {
        inquiry.found(Finding::Store {
            state: view.store.state,
        });
    }
    for host in view.hosts.values().filter(|host| host.is_astray) {
        let host = host.id.clone();
        inquiry.found(Finding::Astray { host });
    }
    for host in view.hosts.values() {
        if let Some(reason) = host.unsaid.clone() {
            let host = host.id.clone();
            inquiry.found(Finding::Unannounced { host, reason });
        }
    }
    match subject {
        Subject::Component(id) => inquiry.component(id),
        Subject::Link(key) => inquiry.link(key),
        Subject::App(name) => inquiry.app(name),
        Subject::Wormhole(id) => inquiry.wormhole(id),
    }
    let mut findings = inquiry.findings;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    let severity = findings.iter().map(Finding::severity).max();
    Explanation {
        subject: subject.clone(),
        severity: severity.unwrap_or(Severity::Fine),
        findings,
    }
}

/// One question in progress.
struct Inquiry<'a> {
    view: &'a View,
    mismatches: &'a Mismatches,
    assignment: &'a Assignment,
    findings: Vec<Finding>,
}

impl Inquiry<'_> {
    /// Adds a finding, unless it was added before: several parts of the explanation may share it.
    fn found(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Returns whether the record at `key` can't be read, and reports it if so.
    fn is_unreadable(&mut self, key: &StoreKey) -> bool {
        let Some(unreadable) = self.view.unreadable.get(key) else {
            return false;
        };
        self.found(Finding::Unreadable {
            key: key.clone(),
            reason: unreadable.reason.clone(),
        });
        true
    }

    fn link(&mut self, key: &LinkKey) {
        let unreadable =
            self.is_unreadable(&StoreKey::link_at(&key.source, &key.interface, &key.name));
        let Some(link) = self.view.links.get(key).cloned() else {
            if !unreadable {
                self.no_link(key);
            }
            return;
        };
        self.link_state(&link);
        self.component(&link.target);
        self.in_part(&key.source);
    }

    fn no_link(&mut self, key: &LinkKey) {
        let path = |interface: &str| interface.split('@').next().map(str::to_owned);
        let similar = self.view.links.keys().filter(|other| {
            other.source == key.source && path(&other.interface) == path(&key.interface)
        });
        let similar = similar.cloned().collect();
        self.found(Finding::NoLink {
            link: key.clone(),
            similar,
        });
    }

    fn link_state(&mut self, link: &LinkView) {
        let (key, target) = (link.key.clone(), link.target.clone());
        let mismatch = self.mismatches.links.get(&link.key);
        if let Some(reason) = mismatch {
            self.found(Finding::LinkMismatch {
                link: key.clone(),
                reason: reason.clone(),
            });
        }
        if self.lacks_local(link) {
            self.found(Finding::NothingLocal {
                link: key.clone(),
                target: target.clone(),
            });
        }
        self.found(match link.state {
            LinkState::Active => Finding::LinkActive { link: key, target },
            LinkState::Pending => Finding::LinkPending { link: key, target },
            LinkState::Rejected => Finding::LinkRejected {
                link: key,
                target,
                reason: link.reason.clone(),
            },
        });
    }

    /// Returns whether the link only allows replicas on the caller's host, and both ends serve but
    /// never on the same host.
    fn lacks_local(&self, link: &LinkView) -> bool {
        let (sources, targets) = (self.serving(&link.key.source), self.serving(&link.target));
        link.locality == Locality::LocalOnly
            && !sources.is_empty()
            && !targets.is_empty()
            && !sources.iter().any(|host| targets.contains(host))
    }

    fn app(&mut self, name: &AppName) {
        let unreadable = self.is_unreadable(&StoreKey::app(name));
        let Some(app) = self.view.apps.get(name).cloned() else {
            if !unreadable {
                let similar = similar(name.as_str(), self.view.apps.keys(), AppName::as_str);
                self.found(Finding::NoApp {
                    app: name.clone(),
                    similar,
                });
            }
            return;
        };
        let (mut components, mut links) = (0, 0);
        for key in &app.owns {
            match key.kind() {
                Some(KeyKind::Actor(id) | KeyKind::Provider(id)) => {
                    components += 1;
                    self.owned_component(&app, key, &id);
                }
                Some(KeyKind::Link {
                    source,
                    interface,
                    name,
                }) => {
                    links += 1;
                    self.owned_link(
                        &app,
                        key,
                        &LinkKey {
                            source,
                            interface,
                            name,
                        },
                    );
                }
                Some(KeyKind::Wormhole(id)) if self.view.wormholes.contains_key(&id) => {
                    self.wormhole(&id);
                }
                Some(KeyKind::Wormhole(_)) => self.missing(&app, key),
                _ => {}
            }
        }
        self.found(Finding::Holds {
            app: name.clone(),
            components,
            links,
        });
    }

    fn owned_component(&mut self, app: &AppView, key: &StoreKey, id: &ComponentId) {
        let declared = self.view.components.get(id);
        if declared.is_some_and(|component| component.placement.is_some()) {
            self.component(id);
        } else {
            self.missing(app, key);
        }
    }

    fn owned_link(&mut self, app: &AppView, key: &StoreKey, link: &LinkKey) {
        match self.view.links.get(link).cloned() {
            Some(link) if self.lacks_target(app, &link) => self.found(Finding::NoTarget {
                link: link.key.clone(),
                target: link.target.clone(),
            }),
            Some(link) => self.link_state(&link),
            None => self.missing(app, key),
        }
    }

    /// Returns whether a link of an app only lacks its target, which is not a part of the app.
    fn lacks_target(&self, app: &AppView, link: &LinkView) -> bool {
        let keys = [
            StoreKey::actor(&link.target),
            StoreKey::provider(&link.target),
        ];
        link.state == LinkState::Pending
            && !self.mismatches.links.contains_key(&link.key)
            && !keys.iter().any(|key| app.owns.contains(key))
            && self.serving(&link.target).is_empty()
    }

    fn missing(&mut self, app: &AppView, key: &StoreKey) {
        if !self.is_unreadable(key) {
            self.found(Finding::Missing {
                app: app.name.clone(),
                key: key.clone(),
            });
        }
    }
}

/// Returns the most similar name, if any is similar enough.
fn similar<'a, T: Clone + 'a>(
    name: &str,
    among: impl Iterator<Item = &'a T>,
    text: impl Fn(&T) -> &str,
) -> Option<T> {
    let scored = among.map(|other| (strsim::jaro_winkler(name, text(other)), other));
    let close = scored.filter(|(score, _)| *score >= SIMILAR);
    close
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other.clone())
}

/// Returns the links and wormholes relevant to `subject` whose two ends don't fit together by their
/// published types, and the reasons. Those with unreadable types are left out.
pub(crate) async fn mismatches(
    connection: &Connection,
    view: &View,
    subject: &Subject,
) -> Mismatches {
    let bears = |link: &LinkView| match subject {
        Subject::Component(id) => link.target == *id || link.key.source == *id,
        Subject::Link(key) => link.key == *key,
        Subject::App(name) => link.app.as_ref() == Some(name),
        Subject::Wormhole(_) => false,
    };
    let leads = |wormhole: &WormholeView| match subject {
        Subject::Wormhole(id) => wormhole.id == *id,
        Subject::App(name) => wormhole.app.as_ref() == Some(name),
        Subject::Component(_) | Subject::Link(_) => false,
    };
    let mut mismatches = Mismatches::default();
    let wormholes = view.wormholes.values().filter(|wormhole| leads(wormhole));
    for wormhole in wormholes.take(MAX_COMPARED) {
        let reasons = wormhole::mismatches(connection, wormhole).await;
        if !reasons.is_empty() {
            mismatches.wormholes.insert(wormhole.id.clone(), reasons);
        }
    }
    let links = view.links.values().filter(|link| bears(link));
    for link in links.take(MAX_COMPARED) {
        let Some(entry) = connection.links.get(&link.key) else {
            continue;
        };
        let types =
            async |id| -> Option<Arc<ComponentTypes>> { connection.types.of(id).await.ok()? };
        let (source, target) = (types(&link.key.source).await, types(&link.target).await);
        if let Err(mismatch) = entry.link.check(source.as_deref(), target.as_deref()) {
            let reason = mismatch.to_string();
            mismatches.links.insert(link.key.clone(), reason);
        }
    }
    mismatches
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(id) => write!(f, "component `{id}`"),
            Self::Link(key) => write!(f, "link {key}"),
            Self::App(name) => write!(f, "app `{name}`"),
            Self::Wormhole(id) => write!(f, "wormhole `{id}`"),
        }
    }
}

impl Explanation {
    /// Returns the components that links lead to and that nothing serves, if nothing else is
    /// missing.
    fn missing_targets(&self) -> Option<Vec<&ComponentId>> {
        let mut targets = Vec::new();
        for finding in &self.findings {
            match finding {
                Finding::NoTarget { target, .. } if !targets.contains(&target) => {
                    targets.push(target);
                }
                Finding::NoTarget { .. } => {}
                finding if finding.severity() == Severity::Fine => {}
                _ => return None,
            }
        }
        (!targets.is_empty()).then_some(targets)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.subject)?;
        match (self.severity, self.missing_targets()) {
            (Severity::Fine, _) => f.write_str("has no problems"),
            (Severity::Waiting, Some(targets)) => {
                write!(
                    f,
                    "has no problems, apart from links to {}",
                    Listed(&targets)
                )
            }
            (Severity::Waiting, None) => f.write_str("is not ready yet"),
            (Severity::Fault, _) => f.write_str("needs attention"),
        }?;
        for finding in &self.findings {
            write!(f, "\n- {finding}")?;
        }
        Ok(())
    }
}
