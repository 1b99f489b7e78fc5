//! The tokens of portable resources, and what stands in for those that were lost.

use super::*;
use crate::call::Limit;

const LONGEST: usize = 1_024;

fn source(id: &str) -> Source {
    Source::Component(ComponentId::new(id).expect("an id"))
}

impl Side {
    /// Sends a handle from a component here for one there, or in a stream.
    fn send_for(
        &self,
        handle: Handle,
        from: &Holder,
        to: &Self,
        holder: Option<Source>,
    ) -> Result<Departed, CallError> {
        let way = Way {
            holder,
            ..self.way(to)
        };
        match depart(&self.ledger, vec![handle], from, &way)?.pop() {
            Some(Leaving::Resource(departed)) => Ok(departed),
            other => panic!("not a resource: {other:?}"),
        }
    }
}

/// `user` on host `b` holds a portable resource of host `x`.
async fn given(x: &Side, b: &Side, user: &Holder) -> (Arc<Shelf>, Owned) {
    let a = component("a");
    let (shelf, resource) = Shelf::new(x, &a);
    *shelf.token.lock() = Some(Bytes::from_static(b"photos"));
    let holder = bound_to(user).cloned();
    let sent = x.send_for(own(&resource), &a, b, holder);
    let sent = sent.expect("it is held");
    let arrived = b.receive(sent.name(), true, x, user).await;
    sent.arrived();
    match arrived.expect("it arrives") {
        (Handle::Own(owned), None) => (shelf, owned),
        other => panic!("not owned: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_for_the_one_who_gets_the_handle() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    *shelf.token.lock() = Some(Bytes::from_static(b"photos"));
    let sent = x.send_for(own(&resource), &a, &b, Some(source("user")));
    let sent = sent.expect("it is held");
    for other in [component("thief"), Holder::OnTheWay] {
        let arrived = b.receive(sent.name(), true, &x, &other).await;
        assert!(matches!(arrived, Err(Stale::InvalidToken)), "{arrived:?}");
    }
    let mut forged = sent.name().clone();
    forged.ty = "a:b/c/other".to_owned();
    let arrived = b.receive(&forged, true, &x, &user).await;
    assert!(matches!(arrived, Err(Stale::InvalidToken)), "{arrived:?}");
    let arrived = b.receive(sent.name(), true, &x, &user).await;
    let (handle, _) = arrived.expect("it is for this component");
    sent.arrived();
    // Its owner needs none.
    let back = b.send_for(handle, &user, &x, Some(source("a")));
    let back = back.expect("it is held");
    assert_eq!(back.name().token, None);
    let arrived = x.receive(back.name(), true, &b, &a).await;
    arrived.expect("it is back");
}

#[tokio::test(start_paused = true)]
async fn a_token_in_a_stream_is_sealed_again_for_the_one_who_takes_the_handle() {
    let ([x, b, c], user) = (sides(), component("user"));
    let (_shelf, owned) = given(&x, &b, &Holder::OnTheWay).await;
    let resource = owned.resource().clone();
    let taken = resource
        .owner()
        .hand_over(resource.id(), &Holder::OnTheWay, &user);
    taken.expect("it was on its way");
    let sent = b.send_for(Handle::Own(owned), &user, &c, Some(source("other")));
    let sent = sent.expect("it is held");
    let arrived = c.receive(sent.name(), true, &b, &component("other")).await;
    let (handle, _) = arrived.expect("its owner is there");
    let portable = handle.resource().and_then(Portable::of);
    assert!(portable.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_handle_whose_owner_is_away_arrives_with_its_token_alone() {
    for is_portable in [true, false] {
        let ([x, b, c], user) = (sides(), component("user"));
        let (shelf, owned) = given(&x, &b, &user).await;
        let sent = b.send_for(Handle::Own(owned), &user, &c, Some(source("user")));
        let sent = sent.expect("it is held");
        c.claims.hosts.lock().clear();
        let mut name = sent.name().clone();
        name.token = name.token.filter(|_| is_portable);
        let arrived = c.receive(&name, true, &b, &user).await;
        if !is_portable {
            let unreachable = matches!(arrived, Err(Stale::OwnerUnreachable(_)));
            assert!(unreachable, "{arrived:?}");
            continue;
        }
        let (handle, _) = arrived.expect("its token is enough");
        let old = handle.resource().expect("a resource").clone();
        let portable = Portable::of(&old).expect("it has a token");
        assert!(portable.current(&old, &user).is_none(), "it is lost");
        assert!(portable.may_be_used_by(&user));
        assert!(!portable.may_be_used_by(&component("thief")));
        // The one who has sent it gives up its own.
        sent.arrived();
        assert_eq!(b.flush(&x), 1);
        assert_eq!(shelf.holder(), None);
        // It can be given on, and says that its owner is gone.
        let on = c.send_for(handle, &user, &b, Some(source("user")));
        let on = on.expect("it is held");
        assert_eq!(on.name().id, 0);
        let arrived = b.receive(on.name(), true, &c, &user).await;
        arrived.expect("its token is enough");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_made_anew_stands_in_for_what_was_lost() {
    let ([x, b], user) = (sides(), component("user"));
    let (shelf, owned) = given(&x, &b, &user).await;
    let old = owned.resource().clone();
    let portable = Portable::of(&old).expect("it has a token");
    assert!(
        portable
            .current(&old, &user)
            .is_some_and(|now| now.is(&old))
    );
    portable.lost(&old, &user);
    assert!(portable.current(&old, &user).is_none());
    assert_eq!(
        (b.flush(&x), shelf.holder()),
        (1, None),
        "its owner is told"
    );

    let (first, resource) = Shelf::new(&b, &user);
    portable.made_anew(&user, Owned::new(resource.clone()));
    let is_first = |now: ResourceRef| now.is(&resource);
    assert!(portable.current(&old, &user).is_some_and(is_first));
    // The error of an earlier call is about what it has used.
    portable.lost(&old, &user);
    assert_eq!(first.holder(), Some(user.clone()));
    let mut lent = vec![Handle::Borrow(old.clone())];
    stand_in(&mut lent, &component("thief"));
    assert!(lent[0].resource().is_some_and(|same| same.is(&old)));
    stand_in(&mut lent, &user);
    assert!(lent[0].resource().is_some_and(|new| new.is(&resource)));

    portable.lost(&resource, &user);
    assert_eq!(first.holder(), None, "its owner is told, too");
    let (second, resource) = Shelf::new(&b, &user);
    portable.made_anew(&user, Owned::new(resource));
    let mut given = vec![Handle::Own(owned)];
    stand_in(&mut given, &user);
    assert!(given[0].resource().is_some_and(|new| !new.is(&old)));
    assert!(!portable.may_be_used_by(&user), "the old one is gone");
    assert_eq!(second.holder(), Some(user));
}

#[tokio::test(start_paused = true)]
async fn what_was_made_anew_is_its_holders_and_goes_with_its_right() {
    let ([x, b], user) = (sides(), component("user"));
    let (_shelf, owned) = given(&x, &b, &user).await;
    let old = owned.resource().clone();
    let portable = Portable::of(&old).expect("it has a token");
    portable.lost(&old, &user);
    let (anew, resource) = Shelf::new(&b, &user);
    portable.made_anew(&user, Owned::new(resource));
    // A component that it is lent to has one of its own, until the loan is over.
    let guest = component("guest");
    let lent = old.owner().lend(old.id(), &user, &guest);
    lent.expect("it is held");
    let (of_guest, resource) = Shelf::new(&b, &guest);
    portable.made_anew(&guest, Owned::new(resource));
    assert_eq!(of_guest.holder(), Some(guest.clone()));
    old.owner().give_back(old.id(), &guest);
    assert_eq!(of_guest.holder(), None);
    assert_eq!(anew.holder(), Some(user.clone()));
    let moved = old.owner().hand_over(old.id(), &user, &guest);
    moved.expect("it is held");
    assert_eq!(anew.holder(), None);
    let (late, resource) = Shelf::new(&b, &user);
    portable.made_anew(&user, Owned::new(resource));
    assert_eq!(late.holder(), None, "it isn't that component's any more");
    let (last, resource) = Shelf::new(&b, &guest);
    portable.made_anew(&guest, Owned::new(resource));
    drop(owned);
    assert_eq!(last.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_with_a_token_over_the_limit_does_not_leave() {
    let ([x, b], a) = (sides(), component("a"));
    for (size, fits) in [(LONGEST, true), (LONGEST + 1, false)] {
        for is_given in [true, false] {
            let (shelf, resource) = Shelf::new(&x, &a);
            *shelf.token.lock() = Some(vec![1; size].into());
            let handle = if is_given {
                own(&resource)
            } else {
                Handle::Borrow(resource)
            };
            let sent = x.send_for(handle, &a, &b, Some(source("user")));
            match sent {
                Ok(_) => assert!(fits),
                Err(error) => {
                    let expected = Limit::Token(LONGEST as u64);
                    let is_expected = matches!(&error, CallError::LimitExceeded { limit, .. } if *limit == expected);
                    assert!(is_expected && !fits, "{error}");
                    // What was given is dropped, and what was lent is back.
                    assert_eq!(shelf.holder(), (!is_given).then(|| a.clone()));
                    assert_eq!(shelf.lent(), []);
                }
            }
        }
    }
}

/// Its number is 0, which no owner knows: a drop of it would be repeated until the owner is lost.
#[tokio::test(start_paused = true)]
async fn a_refused_handle_of_which_only_the_token_is_left_is_owed_to_no_one() {
    let ([x, b, c], user) = (sides(), component("user"));
    let (_shelf, owned) = given(&x, &b, &user).await;
    let sent = b.send_for(Handle::Own(owned), &user, &c, Some(source("user")));
    let sent = sent.expect("it is held");
    let numbered = sent.name().clone();
    let lost = ResourceName {
        id: 0,
        ..numbered.clone()
    };
    let of_receiver = ResourceName {
        holder: Some(c.node.clone()),
        ..lost.clone()
    };
    for (name, from) in [(&lost, &x), (&of_receiver, &b)] {
        c.ledger.refuse(name, (&from.node, &c.node));
        let work = c.ledger.work(&c.node, |_| Life::Live);
        assert!(work.drops.is_empty() && !work.is_busy, "{work:?}");
        assert!(c.ledger.owners(&c.node).is_empty());
        assert!(c.ledger.send_drops(&c.node, &x.node).is_none());
    }
    // One with a number is dropped at its owner.
    c.ledger.refuse(&numbered, (&x.node, &c.node));
    assert_eq!(c.flush(&x), 1);
}
