//! Compares the table with a naive model that searches a list.

use super::*;
use crate::{
    link::LinkStatus,
    name::{HostId, InterfaceName},
};
use proptest::prelude::*;

const INTERFACES: [&str; 3] = ["a:b/c@0.2.0", "a:b/c@0.2.7", "x:y/z@1.0.0"];

/// One write to the store.
#[derive(Debug, Clone)]
enum Write {
    Link {
        source: u8,
        interface: u8,
        name: u8,
        target: u8,
    },
    Delete {
        source: u8,
        interface: u8,
        name: u8,
    },
    Report {
        source: u8,
        interface: u8,
        name: u8,
        of_present: bool,
        verdict: u8,
    },
    DeleteReport {
        source: u8,
        interface: u8,
        name: u8,
    },
    Other,
    Snapshot {
        recreated: bool,
        keep: u8,
    },
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        6 => (0..3u8, 0..3u8, 0..2u8, 0..3u8)
            .prop_map(|(source, interface, name, target)| Write::Link { source, interface, name, target }),
        3 => (0..3u8, 0..3u8, 0..2u8)
            .prop_map(|(source, interface, name)| Write::Delete { source, interface, name }),
        4 => (0..3u8, 0..3u8, 0..2u8, any::<bool>(), 0..3u8).prop_map(
            |(source, interface, name, of_present, verdict)| Write::Report { source, interface, name, of_present, verdict }
        ),
        1 => (0..3u8, 0..3u8, 0..2u8)
            .prop_map(|(source, interface, name)| Write::DeleteReport { source, interface, name }),
        1 => Just(Write::Other),
        1 => (any::<bool>(), any::<u8>()).prop_map(|(recreated, keep)| Write::Snapshot { recreated, keep }),
    ];
    proptest::collection::vec(write, 0..60)
}

/// The content of the store as a list, searched from one end to the other.
#[derive(Debug, Default)]
struct Model {
    incarnation: u64,
    revision: u64,
    links: Vec<(LinkKey, Revision, Arc<Link>)>,
    reports: Vec<(LinkKey, Revision, Arc<LinkReports>)>,
    /// The links that a re-created store lacks and that are held.
    held: Vec<LinkKey>,
}

impl Model {
    fn event(&mut self, write: Write) -> TableEvent {
        self.revision += 1;
        let revision = Revision(self.revision);
        match write {
            Write::Link {
                source,
                interface,
                name,
                target,
            } => {
                let link = Arc::new(link(source, interface, name, target));
                let key = link.key();
                self.links.retain(|(other, ..)| *other != key);
                self.held.retain(|other| *other != key);
                self.links.push((key, revision, link.clone()));
                TableEvent::Link { revision, link }
            }
            Write::Delete {
                source,
                interface,
                name,
            } => {
                let key = link(source, interface, name, 0).key();
                self.links.retain(|(other, ..)| *other != key);
                self.held.retain(|other| *other != key);
                TableEvent::NoLink { revision, key }
            }
            Write::Report {
                source,
                interface,
                name,
                of_present,
                verdict,
            } => {
                let key = link(source, interface, name, 0).key();
                let of = self
                    .find(&key)
                    .filter(|_| of_present)
                    .map_or(Revision(0), |found| found.1);
                let status = [
                    LinkStatus::Pending,
                    LinkStatus::Active,
                    LinkStatus::rejected("no"),
                ];
                let host = HostId::new("h1").expect("valid");
                let reports =
                    LinkReports::default().with(of, &host, status[usize::from(verdict)].clone());
                let reports = Arc::new(reports.unwrap_or_default());
                self.reports.retain(|(other, ..)| *other != key);
                self.reports.push((key.clone(), revision, reports.clone()));
                TableEvent::Reports {
                    revision,
                    key,
                    reports,
                }
            }
            Write::DeleteReport {
                source,
                interface,
                name,
            } => {
                let key = link(source, interface, name, 0).key();
                self.reports.retain(|(other, ..)| *other != key);
                TableEvent::NoReports { revision, key }
            }
            Write::Other => TableEvent::Other { revision },
            Write::Snapshot { recreated, keep } => self.snapshot(recreated, keep),
        }
    }

    fn snapshot(&mut self, recreated: bool, keep: u8) -> TableEvent {
        self.incarnation += u64::from(recreated);
        let mut n = 0_u8;
        let held = &mut self.held;
        self.links.retain(|(key, ..)| {
            n = n.wrapping_add(1);
            let kept = keep >> (n % 8) & 1 == 1;
            let was_held = held.contains(key);
            if recreated && !kept && !was_held {
                held.push(key.clone());
            }
            kept || recreated || was_held
        });
        let links = self
            .links
            .iter()
            .filter(|(key, ..)| !held.contains(key))
            .map(|(_, revision, link)| TableEvent::Link {
                revision: *revision,
                link: link.clone(),
            });
        let reports = self
            .reports
            .iter()
            .map(|(key, revision, reports)| TableEvent::Reports {
                revision: *revision,
                key: key.clone(),
                reports: reports.clone(),
            });
        TableEvent::Snapshot {
            incarnation: Incarnation(self.incarnation),
            revision: Revision(self.revision),
            records: reports.chain(links).collect(),
        }
    }

    fn find(&self, key: &LinkKey) -> Option<&(LinkKey, Revision, Arc<Link>)> {
        self.links.iter().find(|(other, ..)| other == key)
    }

    fn status(&self, key: &LinkKey, revision: Revision) -> LinkStatus {
        let reports = self.reports.iter().find(|(other, ..)| other == key);
        reports.map_or(LinkStatus::Pending, |(.., reports)| {
            reports.status(revision)
        })
    }

    fn assert_is(&self, table: &LinkTable) {
        assert_eq!(table.incarnation(), Incarnation(self.incarnation));
        assert_eq!(table.revision(), Revision(self.revision));
        assert_eq!(table.entries().count(), self.links.len());
        assert_eq!(table.held(), self.held.len());
        assert!(self.held.iter().all(|key| table.is_held(key)));
        for (key, revision, link) in &self.links {
            let interface = link.interface.compat();
            let found = table
                .resolve(&link.source, &interface, &link.name)
                .expect("there");
            assert_eq!((&found.link, found.revision), (link, *revision));
            assert_eq!(found.status, self.status(key, *revision));
            assert!(table.by_target(&link.target).any(|entry| entry == found));
        }
        for target in 0..3 {
            let id = ComponentId::new(&format!("t{target}")).expect("valid");
            let expected = self
                .links
                .iter()
                .filter(|(.., link)| link.target == id)
                .count();
            assert_eq!(table.by_target(&id).count(), expected);
        }
    }
}

fn link(source: u8, interface: u8, name: u8, target: u8) -> Link {
    Link::new(
        format!("s{source}"),
        INTERFACES[usize::from(interface)],
        format!("t{target}"),
    )
    .and_then(|link| link.named(format!("n{name}")))
    .expect("valid")
}

/// Sorts changes, because neither side promises an order.
fn ordered(mut changes: Vec<LinkChange>) -> Vec<LinkChange> {
    changes.sort_by(|a, b| a.entry().key.cmp(&b.entry().key));
    changes
}

proptest! {
    #[test]
    fn the_table_matches_the_model(writes in writes()) {
        let (mut model, mut table) = (Model::default(), LinkTable::default());
        let mut reported: BTreeMap<Arc<LinkKey>, Arc<LinkEntry>> = BTreeMap::new();
        for write in writes {
            let before = table.clone();
            let changes = table.apply(model.event(write));
            model.assert_is(&table);
            for change in &changes {
                let entry = change.entry();
                let known = match change {
                    LinkChange::Removed(_) => reported.remove(&entry.key),
                    _ => reported.insert(entry.key.clone(), entry.clone()),
                };
                prop_assert_eq!(known.is_none(), matches!(change, LinkChange::Added(_)));
            }
            prop_assert_eq!(ordered(changes), ordered(before.diff(&table)));
        }
        let mut without = table.clone();
        for change in without.let_go() {
            prop_assert!(matches!(&change, LinkChange::Removed(entry) if table.is_held(&entry.key)));
        }
        model.links.retain(|(key, ..)| !model.held.contains(key));
        model.held.clear();
        model.assert_is(&without);
        prop_assert_eq!(reported.len(), table.entries().count());
        for entry in table.entries() {
            prop_assert_eq!(reported.get(&entry.key), Some(entry));
        }
    }
}

#[test]
fn a_link_is_found_only_by_compatible_versions() {
    let mut table = LinkTable::default();
    let link = Arc::new(link(0, 0, 0, 0));
    table.apply(TableEvent::Link {
        revision: Revision(4),
        link: link.clone(),
    });
    let resolve = |interface: &str| {
        let interface = InterfaceName::new(interface).expect("valid").compat();
        table
            .resolve(&link.source, &interface, &link.name)
            .is_some()
    };
    assert!(resolve("a:b/c@0.2.0") && resolve("a:b/c@0.2.9"));
    assert!(!resolve("a:b/c@0.3.0") && !resolve("a:b/c"));
    assert!(
        table
            .resolve(&link.target, "a:b/c@0.2", &link.name)
            .is_none()
    );
    assert!(
        table
            .resolve(&link.source, "a:b/c@0.2", &LinkName::default())
            .is_none()
    );
}

#[test]
fn an_older_write_of_the_same_link_is_ignored() {
    let mut table = LinkTable::default();
    let (new, old) = (Arc::new(link(0, 0, 0, 1)), Arc::new(link(0, 0, 0, 0)));
    table.apply(TableEvent::Link {
        revision: Revision(4),
        link: new.clone(),
    });
    assert_eq!(
        table.apply(TableEvent::Link {
            revision: Revision(3),
            link: old
        }),
        []
    );
    assert_eq!(
        table.apply(TableEvent::NoLink {
            revision: Revision(3),
            key: new.key()
        }),
        []
    );
    assert_eq!(table.entry(&new.key()).expect("there").link, new);
    assert_eq!(table.revision(), Revision(4));
}

#[test]
fn an_equal_snapshot_changes_nothing_and_shares_all_entries() {
    let mut table = LinkTable::default();
    let link = Arc::new(link(0, 0, 0, 1));
    table.apply(TableEvent::Link {
        revision: Revision(4),
        link: link.clone(),
    });
    let before = table.clone();
    let changes = table.apply(TableEvent::Snapshot {
        incarnation: Incarnation::default(),
        revision: Revision(9),
        records: vec![TableEvent::Link {
            revision: Revision(4),
            link: Arc::new((*link).clone()),
        }],
    });
    assert_eq!(changes, []);
    assert_eq!(table.revision(), Revision(9));
    assert!(Arc::ptr_eq(
        &before.sources[&link.source],
        &table.sources[&link.source]
    ));
}

#[test]
fn both_indexes_hold_the_same_link_before_and_after_a_snapshot() {
    let mut table = LinkTable::default();
    let links: Vec<_> = (0..3).map(|name| Arc::new(link(0, 0, name, 1))).collect();
    let event = |n: usize, link: Arc<Link>| TableEvent::Link {
        revision: Revision(4 + n as u64),
        link,
    };
    for (n, link) in links.iter().enumerate().rev() {
        table.apply(event(n, link.clone()));
    }
    let copies = links.iter().enumerate();
    let records = copies
        .map(|(n, link)| event(n, Arc::new((**link).clone())))
        .collect();
    table.apply(TableEvent::Snapshot {
        incarnation: Incarnation::default(),
        revision: Revision(9),
        records,
    });
    for link in &links {
        let entry = table.entry(&link.key()).expect("still there");
        assert!(Arc::ptr_eq(&entry.link, link), "the one from before");
        let reported = table
            .by_target(&link.target)
            .find(|reported| reported.key == entry.key);
        assert!(reported.is_some_and(|reported| Arc::ptr_eq(&reported.link, link)));
    }
}
