//! Handles that cross hosts.
//!
//! ```text
//!   host X, where the resource lives          host B, which is given its handle
//!   owner: held by Host(B)                    proxy: held by Local(component)
//!   exports: number 7 is held by B            imports: 7 of X is held
//! ```
//! A host records which boots of other hosts hold its resources, each handle under a number that is
//! never used again. Which of its components has such a handle, a host records itself, in a proxy
//! that stands for the owner: hosts with the lattice's key trust each other, and components aren't
//! trusted.
//!
//! * A handle that comes back to X is looked up by its number, which is over then. One that B gives
//!   to a third host C is claimed there: C asks X, and gets a number of its own. Until then, B
//!   holds it.
//! * A handle that is dropped at B is owed to X until X has acknowledged it. Since numbers are used
//!   once, that can be repeated, and is also right for a handle that may have moved on.
//! * Whether a handle has arrived is known from the reply to its call, and of an element of a
//!   stream from what its receiver says it has taken. Otherwise X asks B for it when the message
//!   can't arrive any more, and drops what B doesn't hold.
//! * When B is not heard of for [`LEASE`], leaves, or was started again, X drops what it held.
//! * The handle of a portable resource has a token with it. Each node that sends the handle seals
//!   it for the component that gets it, and each that receives it opens it: all have the key. When
//!   X is gone, a claim of the handle is not needed, because the token is enough.
//!
//! | file | content |
//! | --- | --- |
//! | `exports`, `imports` | the records of a node: pure, with the time passed in |
//! | `proxy` | the handle of another host's resource |
//! | `portable` | what stands in for one that was lost |
//! | `departed`, `arrived` | handles on their way, and those that have come |
//!
//! Nothing here does I/O. The `handles` module makes the calls between the hosts.

mod arrived;
mod departed;
mod exports;
mod imports;
mod portable;
mod proxy;
#[cfg(test)]
mod tests;

pub(crate) use arrived::{Loan, check_arrived};
pub(crate) use departed::{Departed, Leaving, depart};
#[cfg(test)]
pub(crate) use exports::LEASE;
pub(crate) use exports::Life;
pub(crate) use portable::{Portable, stand_in};

use super::{Holder, Owner as _, ResourceRef, Stale};
use crate::{
    auth::Auth,
    call::CallError,
    id::{Origin, Source},
    sync::Mutex,
    wire::ResourceName,
};
use exports::{Exports, GRACE};
use futures_util::future::BoxFuture;
pub(crate) use imports::Batch;
use imports::Imports;
use proxy::Proxy;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{sync::Notify, time::Instant};

/// Who holds what across hosts, of all nodes on one connection.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Seals tokens.
    auth: Auth,
    books: Mutex<BTreeMap<Origin, Book>>,
    /// Whether there may be drops that were not sent yet.
    has_unsent: AtomicBool,
}

/// The records of one node.
struct Book {
    exports: Exports,
    imports: Imports,
    requests: Weak<dyn Requests>,
    /// Something is due.
    changed: Arc<Notify>,
}

/// Makes a node's requests to other hosts.
pub(crate) trait Requests: Send + Sync {
    /// Asks the host `owner` for a handle that `from` has sent here, and returns its new number.
    fn claim(
        self: Arc<Self>,
        owner: Origin,
        claim: Claim,
        by: Instant,
    ) -> BoxFuture<'static, Result<u64, Stale>>;

    /// Puts all drops for the host `owner` into its send queue.
    fn send_drops(self: Arc<Self>, owner: Origin) -> BoxFuture<'static, ()>;
}

/// A handle that a host has received from another one than its owner's.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Its number.
    pub(crate) id: u64,
    /// Whether it was given, and not lent.
    pub(crate) is_owned: bool,
    /// The boot that has sent it.
    pub(crate) from: Origin,
}

/// What a node has to send now.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Boots to which drops are due.
    pub(crate) drops: Vec<Origin>,
    /// Boots to ask which of these handles they hold.
    pub(crate) questions: Vec<(Origin, Vec<u64>)>,
    /// Whether there is something to look at again soon.
    pub(crate) is_busy: bool,
}

/// The way of a message to another host.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// The node that sends it.
    pub(crate) via: Origin,
    /// The boot that it is for.
    pub(crate) to: Origin,
    /// Who gets its handles there. `None` in a stream, where no component has them.
    pub(crate) holder: Option<Source>,
    /// When it has arrived at the latest, or never will: the deadline of its call. `None` for an
    /// element of a stream, which arrives when it is read: its sender learns what became of it.
    pub(crate) by: Option<Instant>,
}

/// Who holds a handle, as a token is bound to it.
fn bound_to(holder: &Holder) -> Option<&Source> {
    match holder {
        Holder::Local(source) => Some(source),
        Holder::Host(_) | Holder::OnTheWay => None,
    }
}

/// The error of a call whose handle of this name can't be used.
pub(crate) fn stale(name: &ResourceName, reason: &Stale) -> CallError {
    CallError::StaleHandle {
        resource: name.ty.clone(),
        reason: reason.to_string(),
        is_lost: reason.is_lost(),
    }
}

impl Ledger {
    pub(crate) fn new(auth: Auth) -> Arc<Self> {
        Arc::new(Self {
            auth,
            books: Mutex::default(),
            has_unsent: AtomicBool::new(false),
        })
    }

    /// A node joins the lattice. The notification says that it has to look at its
    /// [work](Self::work).
    pub(crate) fn join(&self, node: &Origin, requests: Weak<dyn Requests>) -> Arc<Notify> {
        let changed = Arc::<Notify>::default();
        let book = Book {
            exports: Exports::default(),
            imports: Imports::default(),
            requests,
            changed: changed.clone(),
        };
        self.books.lock().insert(node.clone(), book);
        changed
    }

    /// A node is gone. Its own resources are, and other hosts' leases end what it held.
    pub(crate) fn leave(&self, node: &Origin) {
        let gone = self.books.lock().remove(node);
        drop(gone);
    }

    /// Records a handle that is given or lent to another host.
    fn give(
        &self,
        node: &Origin,
        given: (ResourceRef, bool),
        holder: &Origin,
        unsure: Option<Instant>,
    ) -> Result<u64, Stale> {
        self.with(node, |book| {
            if book.exports.is_empty() {
                book.changed.notify_one();
            }
            book.exports.give(given, holder, unsure, Instant::now())
        })
        .ok_or(Stale::NotServed)
    }

    /// It isn't known whether a handle has arrived, and its message can't arrive any more soon.
    fn doubt(&self, node: &Origin, id: u64, ask: Instant) {
        self.with(node, |book| {
            book.exports.doubt(id, ask);
            book.changed.notify_one();
        });
    }

    fn confirm(&self, node: &Origin, id: u64) {
        self.with(node, |book| book.exports.confirm(id));
    }

    /// Takes back what was not sent, or is no longer lent.
    fn withdraw(&self, node: &Origin, id: u64) {
        let export = self.with(node, |book| book.exports.remove(id));
        if let Some(export) = export.flatten() {
            export.undo();
        }
    }

    fn import_moved(&self, proxy: &Proxy) {
        self.import(proxy, Imports::moved);
    }

    fn import_dropped(&self, proxy: &Proxy) {
        self.import(proxy, Imports::dropped);
    }

    fn import_dropped_later(&self, proxy: &Proxy, at: Instant) {
        self.import(proxy, |imports, owner, id| {
            imports.dropped_later(owner, id, at);
        });
    }

    fn import(&self, proxy: &Proxy, change: impl FnOnce(&mut Imports, &Origin, u64)) {
        self.with(&proxy.boot, |book| {
            change(&mut book.imports, &proxy.at().origin, proxy.number());
            self.has_unsent
                .fetch_or(book.imports.has_unsent(), Ordering::Relaxed);
            book.changed.notify_one();
        });
    }

    fn requests(&self, node: &Origin) -> Option<Arc<dyn Requests>> {
        let books = self.books.lock();
        books.get(node).and_then(|book| book.requests.upgrade())
    }

    fn with<T>(&self, node: &Origin, change: impl FnOnce(&mut Book) -> T) -> Option<T> {
        self.books.lock().get_mut(node).map(change)
    }
}

/// What other hosts ask for, and what the node asks them.
impl Ledger {
    /// Another host claims a handle that it was sent. Returns its number.
    pub(crate) fn claim(&self, node: &Origin, by: &Origin, claim: &Claim) -> Result<u64, Stale> {
        let Claim {
            id,
            is_owned,
            ref from,
        } = *claim;
        let now = Instant::now();
        let found = self.with(node, |book| {
            book.exports.heard(from, now);
            // Another node of this process has sent its own resource.
            if from == by {
                return book.exports.find(id, by).cloned();
            }
            let found = book.exports.find(id, from)?.clone();
            if is_owned && !found.is_owned {
                return Err(Stale::NotHeld(format!("host `{}`", from.host)));
            }
            Ok(found)
        });
        let export = found.ok_or(Stale::NotServed)??;
        if from == by {
            return Ok(id);
        }
        let (owner, resource) = (export.resource.owner(), export.resource.id());
        let (from, to) = (Holder::Host(from.clone()), Holder::Host(by.clone()));
        if is_owned {
            owner.hand_over(resource, &from, &to)?;
        } else {
            owner.lend(resource, &from, &to)?;
        }
        let number = self.with(node, |book| {
            if is_owned {
                book.exports.remove(id);
            }
            let given = (export.resource.clone(), is_owned);
            book.changed.notify_one();
            book.exports.give(given, by, Some(now + GRACE), now)
        });
        number.ok_or(Stale::NotServed)
    }

    /// Another host drops handles that it holds. Others are ignored: they have moved on.
    pub(crate) fn dropped_by(&self, node: &Origin, by: &Origin, ids: &[u64]) {
        let exports = self.with(node, |book| {
            book.exports.heard(by, Instant::now());
            let ids = ids.iter();
            ids.filter_map(|id| book.exports.remove_of(*id, by))
                .collect()
        });
        exports::undo(exports.unwrap_or_default());
    }

    /// Returns which of these handles of the boot `owner` a node holds.
    pub(crate) fn holds(&self, node: &Origin, owner: &Origin, ids: &[u64]) -> Vec<u64> {
        let held = self.with(node, |book| book.imports.holds(owner, ids));
        held.unwrap_or_default()
    }

    /// A boot of another host holds nothing any more: it leaves, or was started again.
    pub(crate) fn gone(&self, node: &Origin, boot: &Origin) {
        let reclaimed = self.with(node, |book| {
            book.imports.forget(boot);
            book.exports.reclaim(boot)
        });
        exports::undo(reclaimed.unwrap_or_default());
    }

    /// Reclaims what hosts held that are gone, and returns what the node has to send.
    pub(crate) fn work(&self, node: &Origin, life: impl Fn(&Origin) -> Life) -> Work {
        let now = Instant::now();
        let found = self.with(node, |book| {
            let due = book.exports.step(&life, now);
            let drops = book.imports.step(&life, now);
            let is_busy = !book.exports.is_empty() || book.imports.owes();
            (due, drops, is_busy)
        });
        let Some((due, drops, is_busy)) = found else {
            return Work::default();
        };
        exports::undo(due.reclaimed);
        Work {
            drops,
            questions: due.questions,
            is_busy,
        }
    }

    /// Puts what this node has dropped of the host `owner` into its send queue, before a call to
    /// that host is. `None` when there is nothing.
    pub(crate) fn send_drops(
        &self,
        node: &Origin,
        owner: &Origin,
    ) -> Option<BoxFuture<'static, ()>> {
        // Set by the drops that come before a call, in the order in which it sees them.
        if !self.has_unsent.load(Ordering::Relaxed) {
            return None;
        }
        let books = self.books.lock();
        let book = books.get(node)?;
        let requests = book.requests.upgrade();
        let is_owed = book.imports.has_unsent_for(owner);
        drop(books);
        let requests = requests.filter(|_| is_owed)?;
        Some(requests.send_drops(owner.clone()))
    }

    /// Takes up to `most` batches of drops for the host `owner` that were not sent yet.
    pub(crate) fn unsent(&self, node: &Origin, owner: &Origin, most: usize) -> Vec<Batch> {
        let taken = self.with(node, |book| book.imports.flush(owner, most, Instant::now()));
        taken.unwrap_or_default()
    }

    /// Takes all batches of drops for the host `owner` that were not sent yet, before a call to it.
    pub(crate) fn all_unsent(&self, node: &Origin, owner: &Origin) -> Vec<Batch> {
        let taken = self.with(node, |book| book.imports.flush_all(owner));
        taken.unwrap_or_default()
    }

    /// So many batches of drops for the host `owner` that were taken are in a send queue now. Until
    /// then, calls to that host wait for it.
    pub(crate) fn drops_are_queued(&self, node: &Origin, owner: &Origin, batches: usize) {
        let mut books = self.books.lock();
        if let Some(book) = books.get_mut(node) {
            book.imports.queued(owner, batches);
        }
        let has_unsent = books.values().any(|book| book.imports.has_unsent());
        self.has_unsent.store(has_unsent, Ordering::Relaxed);
    }

    /// Another host has acknowledged drops, or the request has failed.
    pub(crate) fn acknowledged(&self, node: &Origin, owner: &Origin, request: u64, is_done: bool) {
        self.with(node, |book| {
            let now = Instant::now();
            book.imports.acknowledged(owner, request, is_done, now);
            self.has_unsent
                .fetch_or(book.imports.has_unsent(), Ordering::Relaxed);
            book.changed.notify_one();
        });
    }

    /// Another host has answered a question, or not.
    pub(crate) fn answered(&self, node: &Origin, of: &Origin, asked: &[u64], held: Option<&[u64]>) {
        let now = Instant::now();
        let lost = self.with(node, |book| book.exports.answered(of, asked, held, now));
        exports::undo(lost.unwrap_or_default());
    }

    /// The boots whose handles a node holds, or owes.
    pub(crate) fn owners(&self, node: &Origin) -> Vec<Origin> {
        let owners = self.with(node, |book| book.imports.owners());
        owners.unwrap_or_default()
    }

    /// How many handles of a node others hold, and how many of others it holds.
    pub(crate) fn counts(&self, node: &Origin) -> (usize, usize) {
        let counts = self.with(node, |book| (book.exports.len(), book.imports.len()));
        counts.unwrap_or_default()
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("exports", &self.exports.len())
            .field("imports", &self.imports.len())
            .finish_non_exhaustive()
    }
}
