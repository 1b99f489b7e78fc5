use super::*;
use crate::{
    auth::Auth,
    call::{CallError, Context, FunctionRef},
    name::{FunctionName, HostId, InterfaceName},
    serve::{Answer, CallerInstance, Request},
    store::MemoryStore,
    types::ComponentTypes,
    wire::Source,
};
use bytes::Bytes;
use tokio::sync::Notify;

/// Returns its result when it is notified.
struct Later(Arc<Notify>);

impl Service for Later {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::default()
    }
    fn call(&self, _: Request) -> Answer {
        let release = self.0.clone();
        Answer::Later(Box::pin(async move {
            release.notified().await;
            Ok(Bytes::new())
        }))
    }
}

fn once() -> ComponentId {
    ComponentId::new("once").expect("an id")
}

fn request() -> Request {
    let interface = InterfaceName::new("test:once/api@0.1.0").expect("an interface");
    let function = FunctionName::new("go").expect("a function");
    Request {
        component: once(),
        function: FunctionRef::new(interface, function, "func()").key(),
        source: Source::Operator,
        link: None,
        wormhole_link: None,
        args: Bytes::new(),
        handles: Vec::new(),
        caller: CallerInstance::Here,
        context: Context::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_the_lease_does_not_return_a_result() {
    let records = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
    let origin = Origin::new(HostId::new("holder").expect("a host"), 1);
    let (sender, mut events) = mpsc::channel(8);
    let replica = Replica::follow(records.clone()).await.expect("in reach");
    let mut leases = Leases::new(records, replica, origin, sender);
    leases.acquire(&once());
    let held = events.recv().await;
    assert!(matches!(held, Some(Event::LeaseHeld { .. })), "{held:?}");
    let lease = &leases.held[&once()];
    let release = Arc::new(Notify::new());
    let guard = leases.guard(&once(), 1).expect("it is held");
    let service = guard.around(Arc::new(Later(release.clone())));
    let begin = || match service.call(request()) {
        Answer::Later(work) => work,
        Answer::Ready(answer) => panic!("{answer:?}"),
        Answer::Passing(_) => panic!("it passes no handles"),
    };
    let (early, late) = (begin(), begin());
    release.notify_one();
    assert_eq!(early.await, Ok(Bytes::new()));
    lease.until.expire();
    release.notify_one();
    let answer = late.await;
    assert!(
        matches!(answer, Err(CallError::InstanceLost { .. })),
        "{answer:?}"
    );
}
