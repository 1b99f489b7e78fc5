//! Handles against the places of a value: each of the kind and type of its place, in order, and
//! none left over.

use std::sync::Arc;

use lattice_core::id::Origin;
use lattice_core::name::{ComponentId, HostId};
use lattice_core::stream::{
    Handle, Holder, InstanceRef, Owned, Owner, ResourceRef, Stale, channel,
};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::super::validate::{measure, validate_chunk};
use super::super::{FunctionPlan, Resources, ValueError};
use super::ENGINE;

struct Anyone(InstanceRef);

impl Owner for Anyone {
    fn at(&self) -> &InstanceRef {
        &self.0
    }

    fn hand_over(&self, _: u64, _: &Holder, _: &Holder) -> Result<(), Stale> {
        Ok(())
    }

    fn lend(&self, _: u64, _: &Holder, _: &Holder) -> Result<(), Stale> {
        Ok(())
    }

    fn give_back(&self, _: u64, _: &Holder) {}

    fn dropped(&self, _: u64) {}
}

fn resource(ty: &str) -> ResourceRef {
    let owner = Anyone(InstanceRef {
        origin: Origin::new(HostId::new("host").unwrap(), 1),
        component: ComponentId::new("owner").unwrap(),
        instance: 1,
    });
    ResourceRef::new(Arc::new(owner), 7, ty.into())
}

fn own(ty: &str) -> Handle {
    Handle::Own(Owned::new(resource(ty)))
}

fn borrow(ty: &str) -> Handle {
    Handle::Borrow(resource(ty))
}

fn stream() -> Handle {
    Handle::Stream(channel().1)
}

fn future() -> Handle {
    Handle::Future(channel().1)
}

/// Returns the plan of a function of an interface with the resources `r` and `s`.
fn plan(ty: &str) -> FunctionPlan {
    let text = format!(
        r#"(component (import "a:b/c@1.0.0" (instance
            (export "r" (type $r (sub resource))) (export "s" (type $s (sub resource)))
            (type $bytes (stream u8)) (type $owned (stream (own $r))) (type $late (future string))
            (type $numbers (stream u32)) (type $pairs (stream (tuple string (option (own $r)))))
            (export "f" {ty}))))"#
    );
    let component = Component::new(&ENGINE, wat::parse_str(text).unwrap()).unwrap();
    let types = component.component_type();
    let import = types.get_import(&ENGINE, "a:b/c@1.0.0");
    let Some(ComponentItem::ComponentInstance(instance)) = import.map(|import| import.ty) else {
        panic!("not an instance")
    };
    let mut resources = Resources::default();
    for (name, item) in instance.exports(&ENGINE) {
        if let ComponentItem::Resource(ty) = item.ty {
            resources.add(ty, "a:b/c@1.0.0", name, false);
        }
    }
    let Some(ComponentItem::ComponentFunc(function)) =
        instance.get_export(&ENGINE, "f").map(|export| export.ty)
    else {
        panic!("not a function")
    };
    FunctionPlan::new(("a:b/c@1.0.0", "f"), &function, &Arc::new(resources)).unwrap()
}

#[test]
fn each_handle_has_its_place() {
    let plan = plan(
        r#"(func async (param "a" (own $r)) (param "n" u8) (param "b" (list (borrow $s)))
            (param "c" (option $bytes)) (param "d" $late))"#,
    );
    let check = |wire: &'static [u8], handles: &[Handle]| {
        let checked = plan.arguments_with(wire.into(), handles);
        checked.map(|(_, places)| places.len())
    };
    let (r, s) = ("a:b/c/r", "a:b/c/s");
    let all = || vec![own(r), borrow(s), borrow(s), stream(), future()];
    assert_eq!(check(&[0, 9, 2, 0, 0, 1, 0, 0], &all()), Ok(5));
    let few = [own(r), future()];
    assert_eq!(check(&[0, 9, 0, 0, 0], &few), Ok(2), "no list, no stream");
    // A place says nothing but that it is one.
    let moved = check(&[0, 9, 2, 0, 1, 1, 0, 0], &all());
    assert_eq!(moved, Err(ValueError::HandlePlace { at: 5, byte: 1 }));
    let missing = check(&[0, 9, 2, 0, 0, 1, 0, 0], &few);
    assert!(matches!(
        missing,
        Err(ValueError::HandleType { index: 1, .. })
    ));
    let missing = check(&[0, 9, 2, 0, 0, 1, 0, 0], &all()[..4]);
    assert_eq!(missing, Err(ValueError::HandleMissing { at: 8 }));
    let left = check(&[0, 9, 0, 0, 0], &[own(r), future(), stream()]);
    let expected = ValueError::HandlesLeft {
        handles: 3,
        places: 2,
    };
    assert_eq!(left, Err(expected));
    for wrong in [own(s), borrow(r), stream(), future()] {
        let refused = check(&[0, 9, 0, 0, 0], &[wrong, future()]);
        assert!(
            matches!(refused, Err(ValueError::HandleType { index: 0, .. })),
            "{refused:?}"
        );
    }
    let refused = check(&[0, 9, 0, 0, 0], &[own(r), stream()]);
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("is a stream") && text.contains("takes a future"),
        "{text}"
    );
    // The length of a list is bounded by its bytes, so that few bytes never take many handles.
    let long = check(&[0, 9, 0xff, 0xff, 3, 0, 0, 0], &all());
    assert!(matches!(long, Err(ValueError::Length { .. })), "{long:?}");
}

#[test]
fn chunks_are_checked_and_split_by_their_elements() {
    let plan = plan(r#"(func async (param "a" $numbers) (param "b" $pairs))"#);
    let element = |index: usize| match plan.tree.node(plan.params[index]).shape {
        super::super::shape::Shape::Stream(Some(element)) => element,
        ref other => panic!("{other:?}"),
    };
    let tree = &plan.tree;
    // Numbers are as in memory.
    let numbers = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    let check = |count, bytes: &[u8]| validate_chunk(tree, element(0), count, (bytes, &[]));
    assert_eq!(check(2, &numbers), Ok(Vec::new()));
    assert!(check(1, &numbers).is_err() && check(3, &numbers).is_err());
    assert_eq!(measure(tree, element(0), 1, (&numbers, &[])), Ok((4, 0)));
    // Others are encoded one after the other, with their handles beside them.
    let pairs = [1, b'x', 1, 0, 0, 0, 1, b'y', 1, 0];
    let handles = [own("a:b/c/r"), own("a:b/c/r")];
    let check = |count, handles: &[Handle]| {
        let checked = validate_chunk(tree, element(1), count, (&pairs, handles));
        checked.map(|places| places.len())
    };
    assert_eq!(check(3, &handles), Ok(2));
    assert!(check(2, &handles).is_err() && check(4, &handles).is_err());
    assert!(check(3, &handles[..1]).is_err() && check(3, &[stream(), stream()]).is_err());
    let first = |count| measure(tree, element(1), count, (&pairs, &handles));
    assert_eq!((first(1), first(2)), (Ok((4, 1)), Ok((6, 1))));
}
