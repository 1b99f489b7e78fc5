//! Handles between the ledgers of several hosts, without a bus.

mod drops;
mod leases;
mod lent;
mod portable;
mod streams;

use super::{
    super::{Handle, InstanceRef, Owned, Owner},
    arrived::Arrived,
    *,
};
use crate::{
    auth::LatticeKey,
    call::Ran,
    id::Source,
    name::{ComponentId, HostId, LatticeName},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use std::{collections::HashMap, time::Duration};

const TYPE: &str = "a:b/c/r";

/// An owner whose records can be looked at.
#[derive(Debug)]
struct Shelf {
    at: InstanceRef,
    held: Mutex<HashMap<u64, (Holder, Vec<Holder>)>>,
    /// If it is portable.
    token: Mutex<Option<Bytes>>,
}

/// One host.
struct Side {
    ledger: Arc<Ledger>,
    node: Origin,
    claims: Arc<Direct>,
}

/// Claims at the ledgers of other hosts, without a bus.
struct Direct {
    node: Origin,
    hosts: Mutex<Vec<(Origin, Arc<Ledger>)>>,
}

impl Requests for Direct {
    fn claim(
        self: Arc<Self>,
        owner: Origin,
        claim: Claim,
        _: Instant,
    ) -> BoxFuture<'static, Result<u64, Stale>> {
        let hosts = self.hosts.lock();
        let host = hosts.iter().find(|(node, _)| *node == owner);
        let claimed = match host {
            Some((node, ledger)) => ledger.claim(node, &self.node, &claim),
            None => Err(Stale::OwnerUnreachable("it is away".into())),
        };
        async move { claimed }.boxed()
    }

    fn send_drops(self: Arc<Self>, _: Origin) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

impl Owner for Shelf {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut held = self.held.lock();
        let (holder, _) = held.get_mut(&id).ok_or(Stale::Dropped)?;
        if holder != from {
            return Err(Stale::NotHeld(from.to_string()));
        }
        *holder = to.clone();
        Ok(())
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut held = self.held.lock();
        let (holder, lent) = held.get_mut(&id).ok_or(Stale::Dropped)?;
        if holder != from && !lent.contains(from) {
            return Err(Stale::NotHeld(from.to_string()));
        }
        lent.push(to.clone());
        Ok(())
    }

    fn give_back(&self, id: u64, by: &Holder) {
        if let Some((_, lent)) = self.held.lock().get_mut(&id)
            && let Some(at) = lent.iter().position(|holder| holder == by)
        {
            lent.swap_remove(at);
        }
    }

    fn dropped(&self, id: u64) {
        self.held.lock().remove(&id);
    }

    fn token(&self, _: u64) -> Option<Bytes> {
        self.token.lock().clone()
    }
}

impl Shelf {
    /// An owner with one resource, 7, which `holder` has.
    fn new(side: &Side, holder: &Holder) -> (Arc<Self>, ResourceRef) {
        let shelf = Arc::new(Self {
            at: InstanceRef {
                origin: side.node.clone(),
                component: ComponentId::new("owner").expect("an id"),
                instance: 3,
            },
            held: Mutex::new(HashMap::from([(7, (holder.clone(), Vec::new()))])),
            token: Mutex::default(),
        });
        let resource = ResourceRef::new(shelf.clone(), 7, TYPE.into());
        (shelf, resource)
    }

    fn holder(&self) -> Option<Holder> {
        self.held.lock().get(&7).map(|(holder, _)| holder.clone())
    }

    fn lent(&self) -> Vec<Holder> {
        let held = self.held.lock();
        held.get(&7).map_or(Vec::new(), |(_, lent)| lent.clone())
    }
}

impl Side {
    fn way(&self, to: &Self) -> Way {
        Way {
            via: self.node.clone(),
            to: to.node.clone(),
            holder: None,
            by: Some(Instant::now() + Duration::from_secs(2)),
        }
    }

    fn send(&self, handle: Handle, from: &Holder, to: &Self) -> Result<Departed, CallError> {
        let mut left = depart(&self.ledger, vec![handle], from, &self.way(to))?;
        match left.pop() {
            Some(Leaving::Resource(departed)) => Ok(departed),
            other => panic!("not a resource: {other:?}"),
        }
    }

    async fn receive(
        &self,
        sent: &ResourceName,
        is_owned: bool,
        from: &Self,
        to: &Holder,
    ) -> Result<Arrived, Stale> {
        let (from, by) = ((&from.node, &self.node), Instant::now());
        self.ledger.arrive(sent, is_owned, from, (to, by)).await
    }

    /// Sends a handle from a component here to one there, which gets it.
    async fn give(&self, handle: Handle, from: &Holder, there: &Self, to: &Holder) -> Owned {
        let sent = self.send(handle, from, there).expect("it is held");
        let arrived = there.receive(sent.name(), true, self, to).await;
        sent.arrived();
        match arrived.expect("it arrives") {
            (Handle::Own(owned), None) => owned,
            other => panic!("not owned: {other:?}"),
        }
    }

    /// Sends the drops that are due to their owners.
    fn flush(&self, owner: &Self) -> usize {
        let work = self.ledger.work(&self.node, |_| Life::Live);
        let mut sent = 0;
        for at in work.drops {
            assert_eq!(at, owner.node);
            for Batch { request, ids } in self.ledger.unsent(&self.node, &at, 1) {
                sent += ids.len();
                owner.ledger.dropped_by(&owner.node, &self.node, &ids);
                self.ledger.acknowledged(&self.node, &at, request, true);
            }
        }
        sent
    }
}

fn auth() -> Auth {
    let key = LatticeKey::from_hex(&"07".repeat(32)).expect("a key");
    Auth::keyed(&LatticeName::new("test").expect("a name"), &key)
}

fn sides<const N: usize>() -> [Side; N] {
    let names: [Origin; N] =
        std::array::from_fn(|n| Origin::new(HostId::new(&format!("host-{n}")).expect("an id"), 1));
    let ledgers: [Arc<Ledger>; N] = std::array::from_fn(|_| Ledger::new(auth()));
    let hosts = names.iter().cloned().zip(ledgers.iter().cloned());
    let hosts: Vec<(Origin, Arc<Ledger>)> = hosts.collect();
    std::array::from_fn(|n| {
        let (node, ledger) = hosts[n].clone();
        let claims = Arc::new(Direct {
            node: node.clone(),
            hosts: Mutex::new(hosts.clone()),
        });
        let weak: Weak<Direct> = Arc::downgrade(&claims);
        ledger.join(&node, weak);
        Side {
            ledger,
            node,
            claims,
        }
    })
}

fn component(id: &str) -> Holder {
    Holder::Local(Source::Component(ComponentId::new(id).expect("an id")))
}

fn host(side: &Side) -> Holder {
    Holder::Host(side.node.clone())
}

fn own(resource: &ResourceRef) -> Handle {
    Handle::Own(Owned::new(resource.clone()))
}

#[tokio::test(start_paused = true)]
async fn a_handle_is_given_used_and_dropped() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;
    assert_eq!(shelf.holder(), Some(host(&b)));
    assert_eq!(owned.resource().at(), shelf.at());
    assert_eq!(b.ledger.counts(&b.node), (0, 1));

    // It is used at its owner, for the length of a call.
    let borrow = || Handle::Borrow(owned.resource().clone());
    let sent = b.send(borrow(), &user, &x).expect("it is held");
    let target = component("owner");
    let (handle, loan) = x
        .receive(sent.name(), false, &b, &target)
        .await
        .expect("it is known");
    assert!(handle.resource().is_some_and(|found| found.is(&resource)));
    assert_eq!(shelf.lent(), [target]);
    drop(loan);
    assert_eq!(shelf.lent(), []);
    sent.arrived();
    // Another component of that host doesn't hold it.
    let stolen = b.send(borrow(), &component("thief"), &x);
    let text = stolen.expect_err("it isn't held").to_string();
    assert!(text.contains("`thief` doesn't hold it"), "{text}");

    drop(owned);
    assert_eq!(b.flush(&x), 1);
    assert_eq!(shelf.holder(), None);
    assert_eq!(x.ledger.counts(&x.node), (0, 0));
    assert_eq!(b.ledger.counts(&b.node), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handle_comes_back_and_is_given_again() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    for _ in 0..3 {
        let owned = x.give(own(&resource), &a, &b, &user).await;
        let back = b.give(Handle::Own(owned), &user, &x, &a).await;
        assert!(back.resource().is(&resource));
        assert_eq!(shelf.holder(), Some(a.clone()));
        back.into_resource();
    }
    // Nothing that was sent before drops it now.
    x.ledger.dropped_by(&x.node, &b.node, &[1, 2, 3, 4]);
    assert_eq!(shelf.holder(), Some(a));
}

#[tokio::test(start_paused = true)]
async fn a_third_host_claims_what_it_is_given_or_lent() {
    let ([x, b, c], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;

    let lent = Handle::Borrow(owned.resource().clone());
    let sent = b.send(lent, &user, &c).expect("it is held");
    let lent = c.receive(sent.name(), false, &b, &user).await;
    let (handle, loan) = lent.expect("it is lent");
    assert_eq!(shelf.lent(), [host(&c)]);
    let again = c.send(handle, &user, &x).expect("it has been lent");
    let (_, second) = x
        .receive(again.name(), false, &c, &component("owner"))
        .await
        .expect("it is known");
    drop((second, again, loan, sent));
    assert_eq!(c.flush(&x), 1);
    assert_eq!(shelf.lent(), []);

    let owned = b.give(Handle::Own(owned), &user, &c, &user).await;
    assert_eq!(shelf.holder(), Some(host(&c)));
    assert_eq!(b.ledger.counts(&b.node), (0, 0));
    drop(owned);
    c.flush(&x);
    assert_eq!(shelf.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_arrived_is_found_out() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    for has_arrived in [true, false] {
        let (shelf, resource) = Shelf::new(&x, &a);
        let sent = x.send(own(&resource), &a, &b).expect("it is held");
        let name = sent.name().clone();
        // The reply is lost.
        sent.failed(Ran::Maybe);
        let held = if has_arrived {
            Some(b.receive(&name, true, &x, &user).await.expect("it arrives"))
        } else {
            None
        };
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let work = x.ledger.work(&x.node, |_| Life::Live);
            for (of, ids) in work.questions {
                let held = b.ledger.holds(&b.node, &x.node, &ids);
                x.ledger.answered(&x.node, &of, &ids, Some(&held));
            }
        }
        assert_eq!(shelf.holder().is_some(), has_arrived);
        drop(held);
        b.flush(&x);
        assert_eq!(shelf.holder(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_did_not_arrive_is_dropped_on_its_way_back_too() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    for ran in [Ran::No, Ran::Maybe] {
        let (shelf, resource) = Shelf::new(&x, &a);
        let owned = x.give(own(&resource), &a, &b, &user).await;
        let sent = b.send(Handle::Own(owned), &user, &x).expect("it is held");
        sent.failed(ran);
        if ran == Ran::Maybe {
            assert_eq!(b.flush(&x), 0, "it may still arrive");
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        assert_eq!(b.flush(&x), 1);
        assert_eq!(shelf.holder(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn forged_names_are_refused_and_nothing_is_dropped() {
    let ([x, b, c], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;
    let sent = b.send(Handle::Own(owned), &user, &x).expect("it is held");
    let good = sent.name().clone();
    let forged = |change: fn(&mut ResourceName)| {
        let mut name = good.clone();
        change(&mut name);
        name
    };
    let other = ComponentId::new("other").expect("an id");
    let names = [
        forged(|name| name.id += 1),
        forged(|name| name.id = 0),
        forged(|name| name.ty = "a:b/c/other".to_owned()),
        forged(|name| name.instance += 1),
        forged(|name| name.origin.epoch += 1),
        ResourceName {
            component: other,
            ..good.clone()
        },
    ];
    for name in names {
        let arrived = x.receive(&name, true, &b, &a).await;
        assert!(arrived.is_err(), "{name:?}");
    }
    // Another host has its number.
    for is_owned in [true, false] {
        let arrived = x.receive(&good, is_owned, &c, &a).await;
        assert!(matches!(arrived, Err(Stale::NotHeld(_))), "{arrived:?}");
    }
    x.ledger.dropped_by(&x.node, &c.node, &[good.id]);
    let claim = Claim {
        id: good.id,
        is_owned: true,
        from: c.node.clone(),
    };
    assert!(x.ledger.claim(&x.node, &c.node, &claim).is_err());
    assert_eq!(shelf.holder(), Some(host(&b)));
    let arrived = x.receive(&good, true, &b, &a).await;
    let (handle, _) = arrived.expect("it is what was given");
    let twice = x.receive(&good, true, &b, &a).await;
    assert!(matches!(twice, Err(Stale::Dropped)), "{twice:?}");
    drop((sent, handle));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_lent_a_handle_does_not_own_it() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let sent = x
        .send(Handle::Borrow(resource), &a, &b)
        .expect("it is held");
    let lent = b.receive(sent.name(), false, &x, &user).await;
    let (handle, loan) = lent.expect("it is lent");
    assert_eq!(shelf.lent(), [host(&b)]);
    let taken = x.receive(sent.name(), true, &b, &a).await;
    assert!(matches!(taken, Err(Stale::NotHeld(_))), "{taken:?}");
    let lent = handle.resource().cloned().expect("a resource");
    // The call is over at its caller.
    drop(sent);
    assert_eq!(shelf.lent(), []);
    let late = b.send(Handle::Borrow(lent.clone()), &user, &x);
    let late = late.expect("the call still runs here");
    let arrived = x.receive(late.name(), false, &b, &a).await;
    assert!(matches!(arrived, Err(Stale::Dropped)), "{arrived:?}");
    drop(loan);
    let after = b.send(Handle::Borrow(lent), &user, &x);
    assert!(after.is_err(), "the call is over");
    assert_eq!(shelf.holder(), Some(a));
}

#[tokio::test(start_paused = true)]
async fn another_node_of_the_process_passes_handles_on() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    // A node that only calls, in the process of `b`, and one in that of `x`.
    let caller = Origin::new(HostId::new("caller").expect("an id"), 1);
    let joined = |side: &Side| {
        let claims: Weak<Direct> = Arc::downgrade(&side.claims);
        side.ledger.join(&caller, claims);
    };
    joined(&b);
    let (shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;
    let way = Way {
        via: caller.clone(),
        ..b.way(&x)
    };
    let left = depart(&b.ledger, vec![Handle::Own(owned)], &user, &way).expect("it is held");
    let [Leaving::Resource(sent)] = &left[..] else {
        panic!("one resource");
    };
    let (from, by) = ((&caller, &x.node), Instant::now());
    let arrived = x.ledger.arrive(sent.name(), true, from, (&a, by)).await;
    drop(arrived.expect("it is held by that process"));
    assert_eq!(shelf.holder(), None);
}
