//! The bindings of a provider's links: pure bookkeeping behind one lock.
//!
//! States of a link here: *asked* (its first binding is being made) → *open* → *asked again, still open* (it changed) → open
//! with the new binding, or gone. Each asking has a turn; only the latest may open or close, however late the others end.

use lattice_core::{
    link::{Link, LinkKey},
    name::ComponentId,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The bindings by the link's source, of which each has few links to one provider.
#[derive(Debug)]
pub(crate) struct Bindings<S>(RwLock<State<S>>);

#[derive(Debug)]
struct State<S> {
    by_source: HashMap<ComponentId, Vec<Entry<S>>>,
    turns: u64,
    closed: bool,
}

#[derive(Debug)]
struct Entry<S> {
    asked: Arc<Link>,
    turn: u64,
    open: Option<Ended<S>>,
}

/// One asking for a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u64);

/// A binding and the link that it was made for.
#[derive(Debug)]
pub(crate) struct Ended<S> {
    pub(crate) link: Arc<Link>,
    pub(crate) binding: Arc<S>,
}

impl<S> Default for Bindings<S> {
    fn default() -> Self {
        Self(RwLock::new(State {
            by_source: HashMap::new(),
            turns: 0,
            closed: false,
        }))
    }
}

impl<S> Bindings<S> {
    /// The binding for calls over `link`, when there is one.
    pub(crate) fn find(&self, link: &Arc<Link>) -> Option<Arc<S>> {
        let state = self.read();
        let entries = state.by_source.get(&link.source)?;
        let entry = entries
            .iter()
            .find(|entry| Arc::ptr_eq(&entry.asked, link))
            .or_else(|| entries.iter().find(|entry| is_same(&entry.asked, link)))?;
        entry.open.as_ref().map(|open| open.binding.clone())
    }

    /// A binding is being made for `link`, which is new or has changed.
    pub(crate) fn ask(&self, link: &Arc<Link>) -> Turn {
        let mut state = self.write();
        state.turns += 1;
        let turn = state.turns;
        let entries = state.by_source.entry(link.source.clone()).or_default();
        match entries.iter_mut().find(|entry| is_same(&entry.asked, link)) {
            Some(entry) => {
                entry.asked = link.clone();
                entry.turn = turn;
            }
            None => entries.push(Entry {
                asked: link.clone(),
                turn,
                open: None,
            }),
        }
        Turn(turn)
    }

    /// The binding of `turn` is there. Answers the one that is to be ended: the binding before it, or this one when its
    /// link has changed again or gone meanwhile.
    pub(crate) fn open(&self, turn: Turn, link: Arc<Link>, binding: S) -> Option<Ended<S>> {
        let new = Ended {
            link,
            binding: Arc::new(binding),
        };
        let mut state = self.write();
        match state.entry_of(turn, &new.link) {
            Some(entry) => entry.open.replace(new),
            None => Some(new),
        }
    }

    /// There will be no binding of `turn`. Answers the one before it, which the link as it is now has no right to.
    pub(crate) fn refuse(&self, turn: Turn, link: &Link) -> Option<Ended<S>> {
        self.write().entry_of(turn, link)?.open.take()
    }

    /// The link has gone.
    pub(crate) fn end(&self, key: &LinkKey) -> Option<Ended<S>> {
        let mut state = self.write();
        let entries = state.by_source.get_mut(&key.source)?;
        let index = entries.iter().position(|entry| entry.asked.key() == *key)?;
        let entry = entries.swap_remove(index);
        if entries.is_empty() {
            state.by_source.remove(&key.source);
        }
        entry.open
    }

    /// The provider stops: there are no bindings any more and never will be.
    pub(crate) fn close(&self) -> Vec<Ended<S>> {
        let mut state = self.write();
        state.closed = true;
        let entries = std::mem::take(&mut state.by_source).into_values().flatten();
        entries.filter_map(|entry| entry.open).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, State<S>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<S>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> State<S> {
    fn entry_of(&mut self, turn: Turn, link: &Link) -> Option<&mut Entry<S>> {
        if self.closed {
            return None;
        }
        self.by_source
            .get_mut(&link.source)?
            .iter_mut()
            .find(|entry| entry.turn == turn.0)
    }
}

/// Whether two links of one source are one link, before and after a change.
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
    fn each_link_has_its_own_binding_until_it_goes() {
        let bindings = Bindings::default();
        let links = [
            link("a", "default", ""),
            link("a", "other", ""),
            link("b", "default", ""),
        ];
        for (link, name) in links.iter().zip(["a", "a other", "b"]) {
            let turn = bindings.ask(link);
            assert_eq!(binding(&bindings, link), None, "not before it is made");
            assert!(bindings.open(turn, link.clone(), name).is_none());
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
            "nothing is kept of what has gone"
        );
    }

    #[test]
    fn a_changed_link_keeps_its_binding_until_the_new_one_is_there() {
        let bindings = Bindings::default();
        let (before, after) = (link("a", "default", "1"), link("a", "default", "2"));
        let turn = bindings.ask(&before);
        bindings.open(turn, before.clone(), "before");
        let turn = bindings.ask(&after);
        assert_eq!(binding(&bindings, &before), Some("before"));
        let ended = bindings
            .open(turn, after.clone(), "after")
            .expect("the one before");
        assert_eq!((*ended.binding, ended.link), ("before", before));
        assert_eq!(binding(&bindings, &after), Some("after"));
    }

    #[test]
    fn a_refused_change_ends_the_binding() {
        let bindings = Bindings::default();
        let (before, after) = (link("a", "default", "1"), link("a", "default", "2"));
        let turn = bindings.ask(&before);
        bindings.open(turn, before, "before");
        let turn = bindings.ask(&after);
        assert_eq!(
            *bindings
                .refuse(turn, &after)
                .expect("the one before")
                .binding,
            "before"
        );
        assert_eq!(binding(&bindings, &after), None);
    }

    #[test]
    fn only_the_latest_asking_counts() {
        let bindings = Bindings::default();
        let (first, second) = (link("a", "default", "1"), link("a", "default", "2"));
        let early = bindings.ask(&first);
        let late = bindings.ask(&second);
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
    fn what_is_ready_after_the_link_or_the_provider_has_gone_is_ended_at_once() {
        let bindings = Bindings::default();
        let (one, two) = (link("a", "one", ""), link("a", "two", ""));
        let turn = bindings.ask(&one);
        assert!(bindings.end(&one.key()).is_none());
        assert_eq!(
            *bindings
                .open(turn, one.clone(), "late")
                .expect("handed back")
                .binding,
            "late"
        );

        let turn = bindings.ask(&one);
        bindings.open(turn, one, "open");
        let turn = bindings.ask(&two);
        let ended: Vec<_> = bindings
            .close()
            .into_iter()
            .map(|ended| *ended.binding)
            .collect();
        assert_eq!(ended, ["open"]);
        assert_eq!(
            *bindings
                .open(turn, two, "too late")
                .expect("handed back")
                .binding,
            "too late"
        );
    }
}
