//! Resources, used directly.

use crate::lattice_test::values::things::{self, Boxed, Choice, Pair, Thing};
use crate::were_dropped;
use futures::join;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

pub fn handles() {
    let thing = Thing::new("a");
    assert_eq!(thing.name(), "a");
    assert_eq!(thing.rename("b"), "a");
    assert_eq!(things::look(&thing), "b");
    assert_eq!(thing.name(), "b", "it is still there when it was lent");
    let named = Thing::named("c").expect("a name");
    assert_eq!(named.name(), "c");
    let none = Thing::named("").expect_err("no name");
    assert_eq!(none, "a thing needs a name");
    assert_eq!(things::consume(thing), "b");
    assert_eq!(named.dropped(), ["b"], "in the same instance");
}

pub fn in_values() {
    let boxed = things::wrap(Thing::new("a"), "label");
    assert_eq!(
        (&*boxed.label, boxed.size, &*boxed.it.name()),
        ("label", 7, "a")
    );
    let thing = things::unwrap(boxed);
    let thing = things::maybe(Some(thing)).expect("some");
    assert!(things::maybe(None).is_none());
    let thing = things::tried(Ok(thing)).expect("ok");
    let error = things::tried(Err("no".to_owned())).expect_err("an error");
    assert_eq!(error, "no");
    let Choice::One(thing) = things::choose(Choice::One(thing)) else {
        panic!("another case");
    };
    let boxed = Boxed {
        label: "b".to_owned(),
        it: thing,
        size: 1,
    };
    let Choice::Box(boxed) = things::choose(Choice::Box(boxed)) else {
        panic!("another case");
    };
    assert!(matches!(things::choose(Choice::None), Choice::None));

    let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let all = things::all(&names);
    let lent: Vec<_> = all.iter().collect();
    assert_eq!(things::names(&lent), names);
    let pair = Pair {
        first: &all[1],
        second: &all[2],
    };
    assert_eq!(things::joined(&pair, Some(&boxed.it)), "12a");
    assert_eq!(things::joined(&pair, None), "12");
    assert!(
        boxed.it.dropped().is_empty(),
        "nothing was dropped on the way"
    );
}

/// Drops take effect in the order in which they are made, and only once.
pub async fn drops() {
    let anchor = Thing::new("anchor");
    let [a, b, c] = ["a", "b", "c"].map(Thing::new);
    drop(b);
    drop(a);
    assert_eq!(things::consume(c), "c");
    let all = things::all(&["d".to_owned(), "e".to_owned()]);
    drop(all);
    were_dropped(&anchor, &["b", "a", "c", "d", "e"]).await;
}

/// Other resources are used and dropped while a call with one of them runs.
pub async fn drop_during_a_call() {
    let (anchor, other) = (Thing::new("anchor"), Thing::new("other"));
    {
        let mut waits = pin!(anchor.wait_for("go".to_owned()));
        assert!(
            waits
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        drop(other);
        let go = async {
            were_dropped(&anchor, &["other"]).await;
            anchor.rename("go");
        };
        join!(waits, go);
    }
    assert_eq!(anchor.name(), "go");
}

/// Traps: the instance in which the thing lives has ended.
pub fn stale() {
    let thing = Thing::new("a");
    let error = thing.trap().expect_err("it traps");
    assert!(error.contains("on purpose"), "{error}");
    thing.name();
}
