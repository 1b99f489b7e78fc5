//! The wormholes that one process knows.

use super::{
    HostName, Purpose, WormholeAuth, WormholeSpec,
    hosts::{as_canonical_host, canonical_path, is_within},
};
use crate::{
    name::{ComponentId, LinkName, WormholeId},
    store::{Incarnation, Revision},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A wormhole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wormhole {
    /// Its id.
    pub id: WormholeId,
    /// Its record.
    pub spec: WormholeSpec,
    /// The revision of the write of its record. Each write has a higher one.
    pub revision: Revision,
}

/// The wormholes that this process knows: those whose record can be read now. A clone shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WormholeTable {
    incarnation: Incarnation,
    all: BTreeMap<WormholeId, Arc<Wormhole>>,
    by_host: HashMap<HostName, Routes>,
    of_any_host: Routes,
}

/// The wormholes with one host name, or those for any, the longest path first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Routes(Vec<Route>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    path: Box<str>,
    /// `None` if the wormhole is closed, or its record can't be read.
    open: Option<Arc<Wormhole>>,
}

/// The host name, if it isn't any, and the path of a wormhole whose record can't be read.
pub(super) type Unreadable = (Option<HostName>, String);

impl WormholeTable {
    /// Makes the table of these wormholes.
    pub(super) fn new(
        incarnation: Incarnation,
        all: BTreeMap<WormholeId, Arc<Wormhole>>,
        unreadable: impl IntoIterator<Item = Unreadable>,
    ) -> Self {
        let mut by_host: HashMap<HostName, Routes> = HashMap::new();
        let mut of_any_host = Routes::default();
        let mut add = |host: Option<HostName>, route: Route| match host {
            Some(host) => by_host.entry(host).or_default().0.push(route),
            None => of_any_host.0.push(route),
        };
        for wormhole in all.values() {
            for host in names(&wormhole.spec) {
                add(host, Route::of(wormhole));
            }
        }
        for (host, path) in unreadable {
            let path = canonical_path(&path).into();
            add(host, Route { path, open: None });
        }
        for routes in by_host.values_mut().chain([&mut of_any_host]) {
            // The sort is stable, so of equal ones the first id stays first.
            routes.0.sort_by_key(|route| Reverse(route.path.len()));
        }
        Self {
            incarnation,
            all,
            by_host,
            of_any_host,
        }
    }

    /// Returns every wormhole, open and closed, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Wormhole>> {
        self.all.values()
    }

    /// Returns how many wormholes there are, open and closed.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the wormhole with this id, open or closed.
    pub fn by_id(&self, id: &WormholeId) -> Option<&Arc<Wormhole>> {
        self.all.get(id)
    }

    /// Returns the open wormhole that serves this host name, without a port, and this path: the one
    /// with the longest path of those that have the host name, or else of those that serve any host
    /// name. If two of the latter have the same path, the first by id.
    ///
    /// A closed or unreadable wormhole doesn't leave its requests to one with a shorter path, which
    /// may have no credentials. A host name without open wormholes is like an unknown one.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Wormhole>> {
        let host = as_canonical_host(host);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let own = self.by_host.get(&*host);
        match own.map_or(Found::Nothing, |own| own.find(path)) {
            Found::Open(wormhole) => Some(wormhole),
            Found::Closed => None,
            Found::Nothing => match self.of_any_host.find(path) {
                Found::Open(wormhole) => Some(wormhole),
                Found::Closed | Found::Nothing => None,
            },
        }
    }

    /// Returns the incarnation of the store that the table is from.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

/// Returns the host names of a wormhole, or `None` for any.
pub(super) fn names(spec: &WormholeSpec) -> impl Iterator<Item = Option<HostName>> {
    let any = spec.serves_any_host().then_some(None);
    spec.hosts().map(Some).chain(any)
}

enum Found<'t> {
    Open(&'t Arc<Wormhole>),
    /// The wormhole with the longest path is closed, and others with the host name are open.
    Closed,
    Nothing,
}

impl Routes {
    fn find(&self, path: &str) -> Found<'_> {
        let mut matching = self.0.iter().filter(|route| is_within(path, &route.path));
        match matching.next() {
            Some(Route {
                open: Some(open), ..
            }) => Found::Open(open),
            Some(_) if matching.any(|route| route.open.is_some()) => Found::Closed,
            _ => Found::Nothing,
        }
    }
}

impl Route {
    fn of(wormhole: &Arc<Wormhole>) -> Self {
        Self {
            path: wormhole.path().into(),
            open: wormhole.spec.is_open().then(|| wormhole.clone()),
        }
    }
}

impl Wormhole {
    /// Returns the component that calls for this purpose go to, and the name of the link that they
    /// carry, if the wormhole is open and has one.
    pub(crate) fn leads_to(&self, purpose: Purpose) -> Option<(&ComponentId, &LinkName)> {
        if !self.spec.is_open() {
            return None;
        }
        match (purpose, &self.spec.auth) {
            (Purpose::Request, _) => Some((&self.spec.actor, &self.spec.link)),
            (Purpose::Verdict, Some(WormholeAuth::Verifier { actor, link })) => Some((actor, link)),
            (Purpose::Verdict, _) => None,
        }
    }

    fn path(&self) -> &str {
        canonical_path(&self.spec.path)
    }
}
