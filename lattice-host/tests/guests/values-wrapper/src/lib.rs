//! Exports the interface that it imports: each of its things stands for one of another component.
//! See `values.wit`.

wit_bindgen::generate!({ path: "../values", world: "wrapper" });

use exports::lattice_test::values::things::{
    Boxed, Choice, Guest, GuestThing, Pair, Thing, ThingBorrow,
};
use lattice_test::values::things as inner;

struct Wrapper;
export!(Wrapper);

struct Wrapped(inner::Thing);

impl GuestThing for Wrapped {
    fn new(name: String) -> Self {
        Self(inner::Thing::new(&name))
    }

    fn named(name: String) -> Result<Thing, String> {
        inner::Thing::named(&name).map(wrapped)
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn rename(&self, to: String) -> String {
        self.0.rename(&to)
    }

    async fn wait_for(&self, name: String) {
        self.0.wait_for(name).await;
    }

    fn dropped(&self) -> Vec<String> {
        self.0.dropped()
    }

    fn trap(&self) -> Result<(), String> {
        self.0.trap()
    }
}

fn wrapped(it: inner::Thing) -> Thing {
    Thing::new(Wrapped(it))
}

fn unwrapped(it: Thing) -> inner::Thing {
    it.into_inner::<Wrapped>().0
}

fn wrapped_box(it: inner::Boxed) -> Boxed {
    Boxed {
        label: it.label,
        it: wrapped(it.it),
        size: it.size,
    }
}

fn unwrapped_box(it: Boxed) -> inner::Boxed {
    inner::Boxed {
        label: it.label,
        it: unwrapped(it.it),
        size: it.size,
    }
}

impl Guest for Wrapper {
    type Thing = Wrapped;

    fn consume(it: Thing) -> String {
        inner::consume(unwrapped(it))
    }

    fn look(it: ThingBorrow<'_>) -> String {
        inner::look(&it.get::<Wrapped>().0)
    }

    fn wrap(it: Thing, label: String) -> Boxed {
        wrapped_box(inner::wrap(unwrapped(it), &label))
    }

    fn unwrap(it: Boxed) -> Thing {
        wrapped(inner::unwrap(unwrapped_box(it)))
    }

    fn maybe(it: Option<Thing>) -> Option<Thing> {
        inner::maybe(it.map(unwrapped)).map(wrapped)
    }

    fn choose(it: Choice) -> Choice {
        let chosen = inner::choose(match it {
            Choice::One(it) => inner::Choice::One(unwrapped(it)),
            Choice::Box(it) => inner::Choice::Box(unwrapped_box(it)),
            Choice::None => inner::Choice::None,
        });
        match chosen {
            inner::Choice::One(it) => Choice::One(wrapped(it)),
            inner::Choice::Box(it) => Choice::Box(wrapped_box(it)),
            inner::Choice::None => Choice::None,
        }
    }

    fn tried(it: Result<Thing, String>) -> Result<Thing, String> {
        inner::tried(it.map(unwrapped)).map(wrapped)
    }

    fn all(names: Vec<String>) -> Vec<Thing> {
        inner::all(&names).into_iter().map(wrapped).collect()
    }

    fn names(all: Vec<ThingBorrow<'_>>) -> Vec<String> {
        let lent: Vec<_> = all.iter().map(|it| &it.get::<Wrapped>().0).collect();
        inner::names(&lent)
    }

    fn joined(both: Pair<'_>, more: Option<ThingBorrow<'_>>) -> String {
        let pair = inner::Pair {
            first: &both.first.get::<Wrapped>().0,
            second: &both.second.get::<Wrapped>().0,
        };
        let more = more.as_ref().map(|it| &it.get::<Wrapped>().0);
        inner::joined(&pair, more)
    }
}
