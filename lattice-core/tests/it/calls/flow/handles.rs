//! Handles of resources.

use super::*;
use lattice_core::{
    id::{Origin, Source},
    stream::{Holder, InstanceRef, Owned, Owner, ResourceRef, Stale},
};
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// The instance in which the resources of `callee` live.
struct Instance {
    at: InstanceRef,
    holders: Mutex<HashMap<u64, Holder>>,
    lent: Mutex<Vec<(u64, Holder)>>,
    last: AtomicU64,
}

impl Instance {
    fn on(origin: &Origin) -> Arc<Self> {
        Arc::new(Self {
            at: InstanceRef {
                origin: origin.clone(),
                component: id("callee"),
                instance: 1,
            },
            holders: Mutex::default(),
            lent: Mutex::default(),
            last: AtomicU64::new(0),
        })
    }

    /// Creates a resource.
    fn create(self: &Arc<Self>, holder: Holder) -> Owned {
        let id = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let mut holders = self.holders.lock().expect("not poisoned");
        holders.insert(id, holder);
        Owned::new(ResourceRef::new(
            self.clone(),
            id,
            "test:calls/api/r".into(),
        ))
    }

    fn held(&self) -> usize {
        self.holders.lock().expect("not poisoned").len()
    }

    fn lent(&self) -> usize {
        self.lent.lock().expect("not poisoned").len()
    }
}

impl Owner for Instance {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        match self.holders.lock().expect("not poisoned").get_mut(&id) {
            None => Err(Stale::Dropped),
            Some(holder) if holder == from => {
                holder.clone_from(to);
                Ok(())
            }
            Some(holder) => Err(Stale::NotHeld(format!("{from} of {holder}"))),
        }
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let holders = self.holders.lock().expect("not poisoned");
        let mut lent = self.lent.lock().expect("not poisoned");
        let is_lent = lent.iter().any(|(one, to)| *one == id && to == from);
        if holders.get(&id) != Some(from) && !is_lent {
            return Err(Stale::NotHeld(from.to_string()));
        }
        lent.push((id, to.clone()));
        Ok(())
    }

    fn give_back(&self, id: u64, by: &Holder) {
        let mut lent = self.lent.lock().expect("not poisoned");
        if let Some(at) = lent.iter().position(|one| *one == (id, by.clone())) {
            lent.remove(at);
        }
    }

    fn dropped(&self, id: u64) {
        self.holders.lock().expect("not poisoned").remove(&id);
    }
}

type Slot = Arc<Mutex<Option<Arc<Instance>>>>;

/// The callee returns new resources without arguments, and else what it is given; what is lent is
/// counted.
async fn resources() -> (Hosts, Arc<Instance>) {
    let slot = Slot::default();
    let filled = slot.clone();
    let callee = || Holder::Local(Source::Component(id("callee")));
    let hosts = hosts(move |request: Request| {
        let instance = filled.lock().expect("not poisoned").clone();
        let instance = instance.expect("filled");
        async move {
            let Some(handle) = request.handles.into_iter().next() else {
                return Ok(body(Handle::Own(instance.create(callee()))));
            };
            match handle {
                Handle::Borrow(resource) => {
                    assert_eq!(resource.at(), instance.at());
                    let lent = instance.lent() as u8;
                    Ok(Bytes::from(vec![lent]).into())
                }
                Handle::Stream(mut elements) => {
                    elements.ask(1);
                    let element = next(&mut elements).await.expect("whole");
                    let Some(Handle::Own(owned)) =
                        element.and_then(|one| one.handles.into_iter().next())
                    else {
                        panic!("no resource");
                    };
                    let resource = owned.resource();
                    let to = callee();
                    let received =
                        resource
                            .owner()
                            .hand_over(resource.id(), &Holder::OnTheWay, &to);
                    received.expect("it came in a stream");
                    Ok(body(Handle::Own(owned)))
                }
                other => Ok(body(other)),
            }
        }
    })
    .await;
    let instance = Instance::on(hosts.b.origin());
    *slot.lock().expect("not poisoned") = Some(instance.clone());
    (hosts, instance)
}

fn owned(handle: Handle) -> Owned {
    match handle {
        Handle::Own(owned) => owned,
        other => panic!("{other:?} isn't owned"),
    }
}

#[tokio::test]
async fn a_resource_is_created_lent_given_back_and_dropped() {
    let (hosts, instance) = resources().await;
    let made = hosts.pass(Vec::new()).await.expect("a result");
    let made = owned(only(made.handles));
    assert_eq!(made.resource().at(), instance.at());
    assert_eq!(instance.held(), 1);
    let lent = Handle::Borrow(made.resource().clone());
    let result = hosts.pass(vec![lent]).await.expect("a result");
    assert!(result.bytes[0] > 0, "lent while the call ran");
    eventually("it has come back", async || instance.lent() == 0).await;
    let back = hosts.pass(vec![Handle::Own(made)]).await.expect("a result");
    let back = owned(only(back.handles));
    assert_eq!(instance.held(), 1);
    drop(back);
    eventually("it is dropped", async || instance.held() == 0).await;
    hosts.nothing_is_left().await;
}

#[tokio::test]
async fn a_resource_travels_in_a_stream() {
    let (hosts, instance) = resources().await;
    let made = hosts.pass(Vec::new()).await.expect("a result");
    let made = owned(only(made.handles));
    let (mut writer, reader) = channel();
    let sending = async move {
        writer.room().await.expect("a reader");
        let resource = made.resource();
        let from = Holder::Local(Source::Component(id("caller")));
        let left = resource
            .owner()
            .hand_over(resource.id(), &from, &Holder::OnTheWay);
        left.expect("it is held");
        let chunk = Chunk {
            handles: vec![Handle::Own(made)],
            ..element(&b"\0"[..])
        };
        writer.send(chunk).expect("room");
        writer.end();
    };
    let (result, ()) = tokio::join!(hosts.pass(vec![Handle::Stream(reader)]), sending);
    let back = owned(only(result.expect("a result").handles));
    assert_eq!(instance.held(), 1);
    drop(back);
    eventually("it is dropped", async || instance.held() == 0).await;
    hosts.nothing_is_left().await;
}

/// The callee gets a stream, asks for one element, and drops the stream when two have arrived.
async fn not_read() -> Hosts {
    hosts(|request: Request| async move {
        let mut elements = stream(only(request.handles));
        elements.ask(1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(elements);
        Ok(nothing())
    })
    .await
}

/// Passes a stream with these elements, which isn't ended before the call is over.
async fn pass_elements(hosts: &Hosts, handles: Handles) {
    let (mut writer, reader) = channel();
    let sending = async move {
        for handle in handles {
            writer.room().await.expect("a reader");
            let chunk = Chunk {
                handles: vec![handle],
                ..element(&b"\0"[..])
            };
            writer.send(chunk).expect("room");
        }
        writer
    };
    let call = hosts.pass(vec![Handle::Stream(reader)]);
    let (result, mut writer) = tokio::join!(call, sending);
    result.expect("a result");
    unread(&mut writer).await;
}

#[tokio::test(start_paused = true)]
async fn resources_in_elements_that_are_not_read_are_dropped_with_their_stream() {
    let hosts = not_read().await;
    let instance = Instance::on(hosts.a.origin());
    let create = || Handle::Own(instance.create(Holder::OnTheWay));
    pass_elements(&hosts, vec![create(), create()]).await;
    eventually("both are dropped", async || instance.held() == 0).await;
    let nothing = async || hosts.a.handles() == (0, 0) && hosts.b.handles() == (0, 0);
    eventually("nothing is recorded", nothing).await;
    hosts.nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn streams_in_elements_that_are_not_read_are_cancelled_with_their_stream() {
    let hosts = not_read().await;
    let (mut first, one) = channel();
    let (mut second, other) = channel();
    pass_elements(&hosts, vec![Handle::Stream(one), Handle::Stream(other)]).await;
    let start = tokio::time::Instant::now();
    unread(&mut first).await;
    unread(&mut second).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    hosts.nothing_is_left().await;
}
