//! The value of a call with the handles in it, and how these change hands.

use super::{Handle, Handles, Holder, ResourceRef, Stale};
use crate::call::CallError;
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc};

/// The arguments or the result of a call: an encoded value, and the handles in it.
#[derive(Debug, Default)]
pub struct Body {
    /// The encoded value.
    pub bytes: Bytes,
    /// Its handles, in order.
    pub handles: Handles,
}

impl Body {
    /// Returns the bytes of a value that must not have handles.
    ///
    /// # Errors
    /// [`CallError::BadResult`] when it has. They are dropped.
    pub(crate) fn plain(self) -> Result<Bytes, CallError> {
        if self.handles.is_empty() {
            return Ok(self.bytes);
        }
        Err(CallError::BadResult {
            reason: "it has streams or handles, and the caller takes only plain values".to_owned(),
        })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            handles: Handles::new(),
        }
    }
}

/// The handles that are lent to a callee. Dropping this ends it.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    resources: Vec<ResourceRef>,
    to: Option<Holder>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(to) = &self.to {
            for resource in &self.resources {
                resource.owner().give_back(resource.id(), to);
            }
        }
    }
}

/// Hands the handles of arguments over to the callee. What is lent comes back when the result of
/// this is dropped.
///
/// # Errors
/// Fails when the caller doesn't hold one of them, or uses one twice that it gives away.
pub(crate) fn pass(handles: &mut [Handle], from: &Holder, to: &Holder) -> Result<Lent, CallError> {
    if handles.is_empty() {
        return Ok(Lent::default());
    }
    once(handles)?;
    let mut lent = Lent {
        resources: Vec::new(),
        to: Some(to.clone()),
    };
    for handle in handles {
        match handle {
            Handle::Own(owned) => {
                let resource = owned.resource().clone();
                let moved = resource.owner().hand_over(resource.id(), from, to);
                if let Err(stale) = moved {
                    // It isn't the caller's to drop.
                    owned.forget();
                    return Err(resource.stale(&stale));
                }
            }
            Handle::Borrow(resource) => {
                let owner = resource.owner();
                owner
                    .lend(resource.id(), from, to)
                    .map_err(|stale| resource.stale(&stale))?;
                lent.resources.push(resource.clone());
            }
            Handle::Stream(_) | Handle::Future(_) => {}
        }
    }
    Ok(lent)
}

/// Hands the handles of a result over to the caller.
pub(crate) fn pass_back(mut body: Body, from: &Holder, to: &Holder) -> Result<Body, CallError> {
    // Nothing can be lent by a result.
    match pass(&mut body.handles, from, to) {
        Ok(_) => Ok(body),
        Err(error) => Err(CallError::BadResult {
            reason: error.to_string(),
        }),
    }
}

/// Drops handles that `by` may not pass. What it doesn't hold isn't its to drop.
pub(crate) fn discard(mut handles: Handles, by: &Holder) {
    // What is given away twice is forgotten by this.
    let _ = once(&mut handles);
    for handle in &mut handles {
        if let Handle::Own(owned) = handle {
            let resource = owned.resource();
            let is_held = resource.owner().hand_over(resource.id(), by, by).is_ok();
            if !is_held {
                owned.forget();
            }
        }
    }
}

/// The error of a call whose arguments have handles, to a function that takes none.
pub(crate) fn unplaced_arguments() -> CallError {
    CallError::BadArguments {
        reason: "they have streams or handles, and its type has no place for any; pass plain values, or build the caller against the WIT of the function".to_owned(),
    }
}

/// The error of a call whose result has handles, of a function that returns none.
pub(crate) fn unplaced_result() -> CallError {
    CallError::BadResult {
        reason: "it has streams or handles, and the function's type has no place for any"
            .to_owned(),
    }
}

/// Checks that nothing that is given away is used a second time. A handle that is, isn't its
/// sender's to drop, and is forgotten.
pub(super) fn once(handles: &mut [Handle]) -> Result<(), CallError> {
    let Some(twice) = used_twice(handles) else {
        return Ok(());
    };
    for handle in handles {
        if let Handle::Own(owned) = handle
            && owned.resource().is(&twice)
        {
            owned.forget();
        }
    }
    Err(twice.stale(&Stale::UsedTwice))
}

/// Checks the same of handles that have arrived from another host, which stay what they are: their
/// sender has given them away, so that they are dropped with the others.
pub(super) fn is_once(handles: &[Handle]) -> Result<(), CallError> {
    match used_twice(handles) {
        Some(twice) => Err(twice.stale(&Stale::UsedTwice)),
        None => Ok(()),
    }
}

fn used_twice(handles: &[Handle]) -> Option<ResourceRef> {
    // Most values with handles have one: the resource of a method.
    if handles.len() < 2 {
        return None;
    }
    // With std's hash: another host chooses the numbers of up to 65,536 handles.
    let mut seen = HashMap::new();
    handles.iter().find_map(|handle| {
        let resource = handle.resource()?;
        let is_given = matches!(handle, Handle::Own(_));
        // Those whose owner is gone have no numbers, and each has a proxy of its own.
        let unnumbered = (resource.id() == 0).then(|| Arc::as_ptr(resource.owner()).addr());
        let before = seen.insert((resource.at(), resource.id(), unnumbered), is_given);
        let twice = before.is_some_and(|was_given| was_given || is_given);
        twice.then(|| resource.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Chunk, InstanceRef, NotSent, Owned, Owner, channel};
    use super::*;
    use crate::{
        id::{Origin, Source},
        name::{ComponentId, HostId},
        sync::Mutex,
    };
    use std::{collections::HashSet, sync::Arc};

    /// An owner with one resource, whose holder is known.
    struct One {
        at: InstanceRef,
        holder: Mutex<Holder>,
        lent: Mutex<HashSet<String>>,
        is_dropped: Mutex<bool>,
    }

    impl Owner for One {
        fn at(&self) -> &InstanceRef {
            &self.at
        }

        fn hand_over(&self, _: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
            let mut holder = self.holder.lock();
            if *holder != *from {
                return Err(Stale::NotHeld("another".to_owned()));
            }
            *holder = to.clone();
            Ok(())
        }

        fn lend(&self, _: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
            if *self.holder.lock() != *from {
                return Err(Stale::NotHeld(from.to_string()));
            }
            self.lent.lock().insert(to.to_string());
            Ok(())
        }

        fn give_back(&self, _: u64, by: &Holder) {
            self.lent.lock().remove(&by.to_string());
        }

        fn dropped(&self, _: u64) {
            *self.is_dropped.lock() = true;
        }
    }

    fn component(id: &str) -> Holder {
        Holder::Local(Source::Component(ComponentId::new(id).expect("an id")))
    }

    fn held_by(holder: &Holder) -> (Arc<One>, ResourceRef) {
        let owner = Arc::new(One {
            at: InstanceRef {
                origin: Origin::new(HostId::new("host").expect("an id"), 1),
                component: ComponentId::new("owner").expect("an id"),
                instance: 1,
            },
            holder: Mutex::new(holder.clone()),
            lent: Mutex::default(),
            is_dropped: Mutex::default(),
        });
        let resource = ResourceRef::new(owner.clone(), 7, "a:b/c/r".into());
        (owner, resource)
    }

    #[test]
    fn what_is_given_moves_and_what_is_lent_comes_back() {
        let (a, b) = (component("a"), component("b"));
        let (owner, resource) = held_by(&a);
        let mut handles = vec![Handle::Borrow(resource.clone()), Handle::Borrow(resource)];
        let lent = pass(&mut handles, &a, &b).expect("it is held");
        assert!(owner.lent.lock().contains(&b.to_string()));
        drop(lent);
        assert!(owner.lent.lock().is_empty());

        let (owner, resource) = held_by(&a);
        let mut handles = vec![Handle::Own(Owned::new(resource))];
        pass(&mut handles, &a, &b).expect("it is held");
        assert_eq!(*owner.holder.lock(), b);
        assert!(!*owner.is_dropped.lock());
        drop(handles);
        assert!(*owner.is_dropped.lock());
    }

    #[test]
    fn what_another_component_holds_is_neither_given_nor_lent_nor_dropped() {
        let (a, b) = (component("a"), component("b"));
        for is_given in [true, false] {
            let (owner, resource) = held_by(&a);
            let mut handles = vec![Handle::Stream(channel().1)];
            handles.push(if is_given {
                Handle::Own(Owned::new(resource))
            } else {
                Handle::Borrow(resource)
            });
            let refused = pass(&mut handles, &b, &a).expect_err("b doesn't hold it");
            assert!(
                matches!(refused, CallError::StaleHandle { .. }),
                "{refused:?}"
            );
            drop(handles);
            assert_eq!(*owner.holder.lock(), a);
            assert!(!*owner.is_dropped.lock());
        }
    }

    #[test]
    fn what_is_given_is_not_used_twice() {
        let (a, b) = (component("a"), component("b"));
        for second in [true, false] {
            let (owner, resource) = held_by(&a);
            let handle = |is_given| {
                if is_given {
                    Handle::Own(Owned::new(resource.clone()))
                } else {
                    Handle::Borrow(resource.clone())
                }
            };
            let mut handles = vec![handle(second), handle(true)];
            let refused = pass(&mut handles, &a, &b).expect_err("it is used twice");
            assert!(refused.to_string().contains("used again"), "{refused}");
            drop(handles);
            assert_eq!(*owner.holder.lock(), a);
            assert!(!*owner.is_dropped.lock());
        }
    }

    #[test]
    fn handles_without_numbers_are_told_apart_by_what_stands_for_their_owners() {
        let (a, b) = (component("a"), component("b"));
        let lost = || {
            let (owner, _) = held_by(&a);
            let resource = ResourceRef::new(owner.clone(), 0, "a:b/c/r".into());
            (owner, resource)
        };
        for is_given in [true, false] {
            let ((one, first), (other, second)) = (lost(), lost());
            assert!(first.is(&second), "their names are the same");
            let second = if is_given {
                Handle::Own(Owned::new(second))
            } else {
                Handle::Borrow(second)
            };
            let mut handles = vec![Handle::Own(Owned::new(first)), second];
            is_once(&handles).expect("two resources");
            let lent = pass(&mut handles, &a, &b).expect("two resources");
            assert_eq!(*one.holder.lock(), b);
            let has_second = *other.holder.lock() == b || !other.lent.lock().is_empty();
            assert!(has_second);
            drop(lent);
        }
        let (owner, resource) = lost();
        let twice = [resource.clone(), resource].map(|it| Handle::Own(Owned::new(it)));
        let refused = pass(&mut Vec::from(twice), &a, &b).expect_err("it is used twice");
        assert!(refused.to_string().contains("used again"), "{refused}");
        assert_eq!(*owner.holder.lock(), a);
    }

    #[test]
    fn only_what_is_held_is_dropped_when_it_is_refused() {
        let (a, b) = (component("a"), component("b"));
        for (by, is_dropped) in [(&a, true), (&b, false)] {
            let (owner, resource) = held_by(&a);
            let (mut writer, reader) = channel();
            let owned = Handle::Own(Owned::new(resource));
            discard(vec![owned, Handle::Stream(reader)], by);
            assert_eq!(*owner.is_dropped.lock(), is_dropped);
            assert_eq!(*owner.holder.lock(), a);
            assert_eq!(writer.send(Chunk::default()), Err(NotSent::NotRead));
        }
        let (owner, resource) = held_by(&a);
        let twice = [resource.clone(), resource].map(|it| Handle::Own(Owned::new(it)));
        discard(twice.into(), &a);
        assert!(!*owner.is_dropped.lock(), "it is used twice");
    }

    #[test]
    fn a_plain_caller_is_given_no_handles() {
        let (owner, resource) = held_by(&component("a"));
        let body = Body {
            bytes: Bytes::from_static(&[0]),
            handles: vec![Handle::Own(Owned::new(resource))],
        };
        assert!(matches!(body.plain(), Err(CallError::BadResult { .. })));
        assert!(*owner.is_dropped.lock());
        let plain = Body::from(Bytes::from_static(b"x"));
        assert_eq!(plain.plain(), Ok(Bytes::from_static(b"x")));
    }
}
