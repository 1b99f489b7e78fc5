//! The bindings of a provider's links: pure bookkeeping behind one lock.
//!
//! States of a link: *beginning* (its first binding is being made) → *open* → *beginning again,
//! still open* (the link changed) → *open* with the new binding, or removed. Each attempt to bind
//! has an id. Only the latest attempt may open or refuse, however late the earlier ones end.

use foldhash::fast::RandomState;
use lattice_core::{
    link::{Link, LinkKey},
    name::ComponentId,
    sync::RwLock,
};
use std::{
    collections::HashMap,
    sync::{Arc, RwLockReadGuard, RwLockWriteGuard},
};

/// The bindings, by the source of the link. A source has few links to one provider.
#[derive(Debug)]
pub(crate) struct Bindings<B>(RwLock<LinkStates<B>>);

#[derive(Debug)]
struct LinkStates<B> {
    by_source: HashMap<ComponentId, Vec<LinkState<B>>, RandomState>,
    attempts: u64,
    closed: bool,
}

#[derive(Debug)]
struct LinkState<B> {
    link: Arc<Link>,
    attempt: u64,
    open: Option<Bound<B>>,
}

/// Identifies one attempt to bind a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttemptId(u64);

/// A binding and the link that it was made for.
#[derive(Debug)]
pub(crate) struct Bound<B> {
    pub(crate) link: Arc<Link>,
    pub(crate) binding: Arc<B>,
}

impl<B> Default for Bindings<B> {
    fn default() -> Self {
        Self(RwLock::new(LinkStates {
            by_source: HashMap::default(),
            attempts: 0,
            closed: false,
        }))
    }
}

impl<B> Bindings<B> {
    /// Returns the binding for calls over `link`, if there is one.
    pub(crate) fn find(&self, link: &Arc<Link>) -> Option<Arc<B>> {
        let links = self.read();
        let entries = links.by_source.get(&link.source)?;
        let entry = entries
            .iter()
            .find(|entry| Arc::ptr_eq(&entry.link, link))
            .or_else(|| entries.iter().find(|entry| is_same(&entry.link, link)))?;
        entry.open.as_ref().map(|open| open.binding.clone())
    }

    /// Begins an attempt to bind `link`, which is new or has changed.
    pub(crate) fn begin(&self, link: &Arc<Link>) -> AttemptId {
        let mut links = self.write();
        links.attempts += 1;
        let attempt = links.attempts;
        let entries = links.by_source.entry(link.source.clone()).or_default();
        match entries.iter_mut().find(|entry| is_same(&entry.link, link)) {
            Some(entry) => {
                entry.link = link.clone();
                entry.attempt = attempt;
            }
            None => entries.push(LinkState {
                link: link.clone(),
                attempt,
                open: None,
            }),
        }
        AttemptId(attempt)
    }

    /// Completes an attempt. Returns the binding to end: the link's previous one, or the new one
    /// when the link has changed again or was deleted in the meantime.
    pub(crate) fn open(&self, attempt: AttemptId, link: Arc<Link>, binding: B) -> Option<Bound<B>> {
        let new = Bound {
            link,
            binding: Arc::new(binding),
        };
        let mut links = self.write();
        match links.entry_of(attempt, &new.link) {
            Some(entry) => entry.open.replace(new),
            None => Some(new),
        }
    }

    /// Fails an attempt. Returns the link's previous binding, which the changed link may not use.
    pub(crate) fn refuse(&self, attempt: AttemptId, link: &Link) -> Option<Bound<B>> {
        self.write().entry_of(attempt, link)?.open.take()
    }

    /// Removes a link that was deleted, and returns its binding.
    pub(crate) fn end(&self, key: &LinkKey) -> Option<Bound<B>> {
        let mut links = self.write();
        let entries = links.by_source.get_mut(&key.source)?;
        let index = entries.iter().position(|entry| entry.link.key() == *key)?;
        let entry = entries.swap_remove(index);
        if entries.is_empty() {
            links.by_source.remove(&key.source);
        }
        entry.open
    }

    /// Removes all links when the provider stops, and accepts no further bindings.
    pub(crate) fn close(&self) -> Vec<Bound<B>> {
        let mut links = self.write();
        links.closed = true;
        let entries = std::mem::take(&mut links.by_source).into_values().flatten();
        entries.filter_map(|entry| entry.open).collect()
    }

    /// Accepts bindings again.
    pub(crate) fn reopen(&self) {
        self.write().closed = false;
    }

    /// Returns whether no further bindings are accepted.
    pub(crate) fn is_closed(&self) -> bool {
        self.read().closed
    }

    fn read(&self) -> RwLockReadGuard<'_, LinkStates<B>> {
        self.0.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, LinkStates<B>> {
        self.0.write()
    }
}

impl<B> LinkStates<B> {
    fn entry_of(&mut self, attempt: AttemptId, link: &Link) -> Option<&mut LinkState<B>> {
        if self.closed {
            return None;
        }
        self.by_source
            .get_mut(&link.source)?
            .iter_mut()
            .find(|entry| entry.attempt == attempt.0)
    }
}

/// Returns whether two links of one source are the same link, before and after a change.
fn is_same(one: &Link, other: &Link) -> bool {
    one.name == other.name && one.interface.is_compatible(&other.interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(source: &str, name: &str, config: &str) -> Arc<Link> {
        let link = Link::new(source, "a:b/c@0.1.0", "provider")
            .and_then(|link| link.named(name))
            .expect("valid");
        Arc::new(link.config(&config).expect("JSON"))
    }

    fn binding(bindings: &Bindings<&'static str>, link: &Arc<Link>) -> Option<&'static str> {
        bindings.find(link).map(|binding| *binding)
    }

    #[test]
    fn each_link_has_its_own_binding_until_it_is_deleted() {
        let bindings = Bindings::default();
        let links = [
            link("a", "default", ""),
            link("a", "other", ""),
            link("b", "default", ""),
        ];
        for (link, name) in links.iter().zip(["a", "a other", "b"]) {
            let attempt = bindings.begin(link);
            assert_eq!(
                binding(&bindings, link),
                None,
                "there is no binding before it is made"
            );
            assert!(bindings.open(attempt, link.clone(), name).is_none());
        }
        assert_eq!(
            links.each_ref().map(|link| binding(&bindings, link)),
            [Some("a"), Some("a other"), Some("b")]
        );
        assert_eq!(
            binding(&bindings, &Arc::new(Link::clone(&links[1]))),
            Some("a other"),
            "another copy of the link"
        );

        let ended = bindings.end(&links[1].key()).expect("was open");
        assert_eq!(
            (*ended.binding, ended.link.name.as_str()),
            ("a other", "other")
        );
        assert_eq!(
            links.each_ref().map(|link| binding(&bindings, link)),
            [Some("a"), None, Some("b")]
        );
        assert!(bindings.end(&links[1].key()).is_none());
        bindings.end(&links[0].key());
        bindings.end(&links[2].key());
        assert!(
            bindings.read().by_source.is_empty(),
            "nothing is kept for deleted links"
        );
    }

    #[test]
    fn a_changed_link_keeps_its_binding_until_the_new_one_is_made() {
        let bindings = Bindings::default();
        let (before, after) = (link("a", "default", "1"), link("a", "default", "2"));
        let attempt = bindings.begin(&before);
        bindings.open(attempt, before.clone(), "before");
        let attempt = bindings.begin(&after);
        assert_eq!(binding(&bindings, &before), Some("before"));
        let ended = bindings
            .open(attempt, after.clone(), "after")
            .expect("the previous one");
        assert_eq!((*ended.binding, ended.link), ("before", before));
        assert_eq!(binding(&bindings, &after), Some("after"));
    }

    #[test]
    fn a_refused_change_ends_the_binding() {
        let bindings = Bindings::default();
        let (before, after) = (link("a", "default", "1"), link("a", "default", "2"));
        let attempt = bindings.begin(&before);
        bindings.open(attempt, before, "before");
        let attempt = bindings.begin(&after);
        assert_eq!(
            *bindings
                .refuse(attempt, &after)
                .expect("the previous one")
                .binding,
            "before"
        );
        assert_eq!(binding(&bindings, &after), None);
    }

    #[test]
    fn only_the_latest_attempt_can_open_or_refuse() {
        let bindings = Bindings::default();
        let (first, second) = (link("a", "default", "1"), link("a", "default", "2"));
        let early = bindings.begin(&first);
        let late = bindings.begin(&second);
        assert!(bindings.open(late, second.clone(), "second").is_none());
        assert_eq!(
            *bindings
                .open(early, first.clone(), "first")
                .expect("too late")
                .binding,
            "first"
        );
        assert!(bindings.refuse(early, &first).is_none());
        assert_eq!(binding(&bindings, &second), Some("second"));
    }

    #[test]
    fn a_binding_made_after_its_link_was_deleted_or_the_provider_stopped_is_returned_to_be_ended() {
        let bindings = Bindings::default();
        let (one, two) = (link("a", "one", ""), link("a", "two", ""));
        let attempt = bindings.begin(&one);
        assert!(bindings.end(&one.key()).is_none());
        assert_eq!(
            *bindings
                .open(attempt, one.clone(), "late")
                .expect("it is returned")
                .binding,
            "late"
        );

        let attempt = bindings.begin(&one);
        bindings.open(attempt, one, "open");
        let attempt = bindings.begin(&two);
        let ended: Vec<_> = bindings
            .close()
            .into_iter()
            .map(|ended| *ended.binding)
            .collect();
        assert_eq!(ended, ["open"]);
        assert_eq!(
            *bindings
                .open(attempt, two, "too late")
                .expect("it is returned")
                .binding,
            "too late"
        );
    }
}
