//! The subscriptions of a network by subject. Publishers take a snapshot of the matching routes and
//! deliver outside of the lock.

use super::Subscriber;
use crate::{bus::Message, subject::Subject};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Subscriptions by subject. A subject without a wildcard, and a pattern with wildcards only at its
/// end, are each found by a hash lookup. A pattern with `*` elsewhere is compared with every
/// message.
#[derive(Default)]
pub(super) struct Table {
    exact: HashMap<Subject, Arc<Route>>,
    /// By the number of `.*` at the end (the index is one less) and the text before them.
    tails: Vec<HashMap<Box<str>, Arc<Route>>>,
    patterns: HashMap<Subject, Arc<Route>>,
}

/// All subscriptions to one subject or pattern. Never changed while a publisher holds it; it is
/// copied instead.
#[derive(Default, Clone)]
struct Route {
    each: Vec<Arc<Subscriber>>,
    groups: Vec<Group>,
}

/// A queue group. Its members take turns.
#[derive(Clone)]
struct Group {
    name: Box<str>,
    members: Vec<Arc<Subscriber>>,
    turn: Arc<AtomicUsize>,
}

/// The routes of one message.
pub(super) struct Routes {
    exact: Option<Arc<Route>>,
    others: Vec<Arc<Route>>,
}

/// Where the wildcards of a subject are.
enum SubjectForm<'a> {
    Exact,
    Tail { prefix: &'a str, stars: usize },
    Pattern,
}

impl Table {
    pub(super) fn add(&mut self, subscriber: &Arc<Subscriber>) {
        let subject = &subscriber.subject;
        let route = match form_of(subject) {
            SubjectForm::Exact => self.exact.entry(subject.clone()).or_default(),
            SubjectForm::Tail { prefix, stars } => {
                if self.tails.len() < stars {
                    self.tails.resize_with(stars, HashMap::new);
                }
                self.tails[stars - 1].entry(prefix.into()).or_default()
            }
            SubjectForm::Pattern => self.patterns.entry(subject.clone()).or_default(),
        };
        Arc::make_mut(route).add(subscriber.clone());
    }

    pub(super) fn remove(&mut self, subscriber: &Subscriber) {
        let subject = &subscriber.subject;
        match form_of(subject) {
            SubjectForm::Exact => remove_from(&mut self.exact, subject, subscriber),
            SubjectForm::Tail { prefix, stars } => {
                if let Some(tails) = self.tails.get_mut(stars - 1) {
                    remove_from(tails, prefix, subscriber);
                }
            }
            SubjectForm::Pattern => remove_from(&mut self.patterns, subject, subscriber),
        }
    }

    pub(super) fn routes(&self, subject: &Subject) -> Routes {
        let prefixes = std::iter::successors(parent(subject.as_str()), |prefix| parent(prefix));
        let tails = self.tails.iter().zip(prefixes);
        let patterns = self.patterns.iter();
        Routes {
            exact: self.exact.get(subject).cloned(),
            // Nothing is allocated when there are none.
            others: tails
                .filter_map(|(tails, prefix)| tails.get(prefix))
                .chain(
                    patterns
                        .filter(|(pattern, _)| pattern.matches(subject))
                        .map(|(_, route)| route),
                )
                .cloned()
                .collect(),
        }
    }
}

impl Routes {
    /// Delivers `message` to every subscription and to one member of each group. Returns the number
    /// of receivers.
    pub(super) fn deliver(&self, message: &Message) -> usize {
        self.iter().map(|route| route.deliver(message)).sum()
    }

    /// Delivers `message` to the subscriptions of one connection.
    pub(super) fn deliver_to(&self, connection: u64, message: &Message) {
        for subscriber in self.iter().flat_map(Route::everyone) {
            if subscriber.connection == connection {
                subscriber.take(message);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Route> {
        self.exact.iter().chain(&self.others).map(AsRef::as_ref)
    }
}

impl Route {
    fn add(&mut self, subscriber: Arc<Subscriber>) {
        let Some(name) = &subscriber.group else {
            self.each.push(subscriber);
            return;
        };
        if let Some(group) = self.groups.iter_mut().find(|group| group.name == *name) {
            group.members.push(subscriber);
        } else {
            self.groups.push(Group {
                name: name.clone(),
                members: vec![subscriber],
                turn: Arc::default(),
            });
        }
    }

    fn remove(&mut self, id: u64) {
        self.each.retain(|subscriber| subscriber.id != id);
        for group in &mut self.groups {
            group.members.retain(|subscriber| subscriber.id != id);
        }
        self.groups.retain(|group| !group.members.is_empty());
    }

    fn is_empty(&self) -> bool {
        self.each.is_empty() && self.groups.is_empty()
    }

    fn deliver(&self, message: &Message) -> usize {
        let each = self.each.iter().filter(|s| s.take(message)).count();
        let groups = self.groups.iter().filter(|g| g.deliver(message)).count();
        each + groups
    }

    fn everyone(&self) -> impl Iterator<Item = &Arc<Subscriber>> {
        let members = self.groups.iter().flat_map(|group| &group.members);
        self.each.iter().chain(members)
    }
}

impl Group {
    /// Delivers to the next member that still exists.
    fn deliver(&self, message: &Message) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.members.len();
        let (before, after) = self.members.split_at(turn);
        after.iter().chain(before).any(|s| s.take(message))
    }
}

fn form_of(subject: &Subject) -> SubjectForm<'_> {
    let mut prefix = subject.as_str();
    let mut stars = 0;
    while let Some(shorter) = prefix.strip_suffix(".*") {
        prefix = shorter;
        stars += 1;
    }
    if prefix.split('.').any(|token| token == "*") {
        SubjectForm::Pattern
    } else if stars == 0 {
        SubjectForm::Exact
    } else {
        SubjectForm::Tail { prefix, stars }
    }
}

/// Returns the part before the last token.
fn parent(subject: &str) -> Option<&str> {
    subject.rsplit_once('.').map(|(parent, _)| parent)
}

fn remove_from<K, Q>(routes: &mut HashMap<K, Arc<Route>>, key: &Q, subscriber: &Subscriber)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    let Some(route) = routes.get_mut(key) else {
        return;
    };
    let route = Arc::make_mut(route);
    route.remove(subscriber.id);
    if route.is_empty() {
        routes.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Body, queue::queue};
    use proptest::prelude::*;

    fn subscriber(id: u64, pattern: &str) -> Arc<Subscriber> {
        // Without its reader the queue would accept nothing.
        let (writer, reader) = queue(8);
        std::mem::forget(reader);
        Arc::new(Subscriber {
            id,
            connection: 0,
            subject: Subject::from_wire(pattern),
            group: None,
            writer,
        })
    }

    fn reached(table: &Table, subject: &Subject) -> usize {
        let message = Message {
            subject: subject.clone(),
            reply: None,
            body: Body::NoResponders,
            received: tokio::time::Instant::now(),
        };
        table.routes(subject).deliver(&message)
    }

    #[test]
    fn trailing_wildcards_match() {
        for (pattern, stars) in [("a.b.reply.*", 1), ("a.b.reply.*.*", 2)] {
            let subject = Subject::from_wire(pattern);
            let SubjectForm::Tail {
                prefix,
                stars: found,
            } = form_of(&subject)
            else {
                panic!("{pattern} has to be compared with every message")
            };
            assert_eq!((prefix, found), ("a.b.reply", stars));
        }
        for pattern in ["*.a", "a.*.b", "*", "*.*"] {
            assert!(matches!(
                form_of(&Subject::from_wire(pattern)),
                SubjectForm::Pattern
            ));
        }
    }

    proptest! {
        #[test]
        fn lookup_returns_the_matching_subscribers(
            patterns in prop::collection::vec("(a|b|\\*)(\\.(a|b|\\*)){0,3}", 0..12),
            subject in "(a|b)(\\.(a|b)){0,3}",
            removed in any::<prop::sample::Index>(),
        ) {
            let subject = Subject::from_wire(&subject);
            let mut table = Table::default();
            let mut subscribers: Vec<_> =
                (0..).zip(&patterns).map(|(id, pattern)| subscriber(id, pattern)).collect();
            for subscriber in &subscribers {
                table.add(subscriber);
            }
            let matching = |subscribers: &[Arc<Subscriber>]| {
                subscribers.iter().filter(|s| s.subject.matches(&subject)).count()
            };
            prop_assert_eq!(reached(&table, &subject), matching(&subscribers));
            if !subscribers.is_empty() {
                let gone = subscribers.remove(removed.index(subscribers.len()));
                table.remove(&gone);
                prop_assert_eq!(reached(&table, &subject), matching(&subscribers));
            }
            for subscriber in subscribers.drain(..) {
                table.remove(&subscriber);
            }
            let left = table.exact.len() + table.patterns.len()
                + table.tails.iter().map(HashMap::len).sum::<usize>();
            prop_assert_eq!(left, 0, "an empty route is not kept");
        }
    }
}
