//! The sessions of a provider's links: pure bookkeeping behind one lock.
//!
//! States of a link here: *asked* (its first session is being made) → *open* → *asked again, still open* (it changed) → open
//! with the new session, or gone. Each asking has a turn; only the latest may open or close, however late the others end.

use lattice_core::{
    link::{Link, LinkKey},
    name::ComponentId,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The sessions by the link's source, of which each has few links to one provider.
#[derive(Debug)]
pub(crate) struct Sessions<S>(RwLock<State<S>>);

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

/// One asking for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u64);

/// A session and the link that it was made for.
#[derive(Debug)]
pub(crate) struct Ended<S> {
    pub(crate) link: Arc<Link>,
    pub(crate) session: Arc<S>,
}

impl<S> Default for Sessions<S> {
    fn default() -> Self {
        Self(RwLock::new(State {
            by_source: HashMap::new(),
            turns: 0,
            closed: false,
        }))
    }
}

impl<S> Sessions<S> {
    /// The session for calls over `link`, when there is one.
    pub(crate) fn find(&self, link: &Arc<Link>) -> Option<Arc<S>> {
        let state = self.read();
        let entries = state.by_source.get(&link.source)?;
        let entry = entries
            .iter()
            .find(|entry| Arc::ptr_eq(&entry.asked, link))
            .or_else(|| entries.iter().find(|entry| is_same(&entry.asked, link)))?;
        entry.open.as_ref().map(|open| open.session.clone())
    }

    /// A session is being made for `link`, which is new or has changed.
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

    /// The session of `turn` is there. Answers the one that is to be ended: the session before it, or this one when its
    /// link has changed again or gone meanwhile.
    pub(crate) fn open(&self, turn: Turn, link: Arc<Link>, session: S) -> Option<Ended<S>> {
        let new = Ended {
            link,
            session: Arc::new(session),
        };
        let mut state = self.write();
        match state.entry_of(turn, &new.link) {
            Some(entry) => entry.open.replace(new),
            None => Some(new),
        }
    }

    /// There will be no session of `turn`. Answers the one before it, which the link as it is now has no right to.
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

    /// The provider stops: there are no sessions any more and never will be.
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

    fn session(sessions: &Sessions<&'static str>, link: &Arc<Link>) -> Option<&'static str> {
        sessions.find(link).map(|session| *session)
    }

    #[test]
    fn each_link_has_its_own_session_until_it_goes() {
        let sessions = Sessions::default();
        let links = [
            link("a", "default", ""),
            link("a", "other", ""),
            link("b", "default", ""),
        ];
        for (link, name) in links.iter().zip(["a", "a other", "b"]) {
            let turn = sessions.ask(link);
            assert_eq!(session(&sessions, link), None, "not before it is made");
            assert!(sessions.open(turn, link.clone(), name).is_none());
        }
        assert_eq!(
            links.each_ref().map(|link| session(&sessions, link)),
            [Some("a"), Some("a other"), Some("b")]
        );
        assert_eq!(
            session(&sessions, &Arc::new(Link::clone(&links[1]))),
            Some("a other"),
            "another copy of the link"
        );

        let ended = sessions.end(&links[1].key()).expect("was open");
        assert_eq!(
            (*ended.session, ended.link.name.as_str()),
            ("a other", "other")
        );
        assert_eq!(
            links.each_ref().map(|link| session(&sessions, link)),
            [Some("a"), None, Some("b")]
        );
        assert!(sessions.end(&links[1].key()).is_none());
        sessions.end(&links[0].key());
        sessions.end(&links[2].key());
        assert!(
            sessions.read().by_source.is_empty(),
            "nothing is kept of what has gone"
        );
    }

    #[test]
    fn a_changed_link_keeps_its_session_until_the_new_one_is_there() {
        let sessions = Sessions::default();
        let (before, after) = (link("a", "default", "1"), link("a", "default", "2"));
        let turn = sessions.ask(&before);
        sessions.open(turn, before.clone(), "before");
        let turn = sessions.ask(&after);
        assert_eq!(session(&sessions, &before), Some("before"));
        let ended = sessions
            .open(turn, after.clone(), "after")
            .expect("the one before");
        assert_eq!((*ended.session, ended.link), ("before", before));
        assert_eq!(session(&sessions, &after), Some("after"));
    }

    #[test]
    fn a_refused_change_ends_the_session() {
        let sessions = Sessions::default();
        let (before, after) = (link("a", "default", "1"), link("a", "default", "2"));
        let turn = sessions.ask(&before);
        sessions.open(turn, before, "before");
        let turn = sessions.ask(&after);
        assert_eq!(
            *sessions
                .refuse(turn, &after)
                .expect("the one before")
                .session,
            "before"
        );
        assert_eq!(session(&sessions, &after), None);
    }

    #[test]
    fn only_the_latest_asking_counts() {
        let sessions = Sessions::default();
        let (first, second) = (link("a", "default", "1"), link("a", "default", "2"));
        let early = sessions.ask(&first);
        let late = sessions.ask(&second);
        assert!(sessions.open(late, second.clone(), "second").is_none());
        assert_eq!(
            *sessions
                .open(early, first.clone(), "first")
                .expect("too late")
                .session,
            "first"
        );
        assert!(sessions.refuse(early, &first).is_none());
        assert_eq!(session(&sessions, &second), Some("second"));
    }

    #[test]
    fn what_is_ready_after_the_link_or_the_provider_has_gone_is_ended_at_once() {
        let sessions = Sessions::default();
        let (one, two) = (link("a", "one", ""), link("a", "two", ""));
        let turn = sessions.ask(&one);
        assert!(sessions.end(&one.key()).is_none());
        assert_eq!(
            *sessions
                .open(turn, one.clone(), "late")
                .expect("handed back")
                .session,
            "late"
        );

        let turn = sessions.ask(&one);
        sessions.open(turn, one, "open");
        let turn = sessions.ask(&two);
        let ended: Vec<_> = sessions
            .close()
            .into_iter()
            .map(|ended| *ended.session)
            .collect();
        assert_eq!(ended, ["open"]);
        assert_eq!(
            *sessions
                .open(turn, two, "too late")
                .expect("handed back")
                .session,
            "too late"
        );
    }
}
