//! How often a call is polled, as what, and how it ends.

use super::*;
use crate::{
    auth::Auth,
    budget::Budget,
    link::Link,
    name::ComponentId,
    serve::{CallerInstance, Service},
    server::ServeLimits,
    stream::Handles,
    types::ComponentTypes,
    wire::Source,
};
use futures_util::task::noop_waker;
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// Serves each call with a future that is ready at a given poll, and counts what happens to it.
struct Slow {
    /// `usize::MAX` for a call that nothing wakes.
    ready_at: usize,
    blocks: Duration,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    /// Polls and drops as a part of the call.
    in_call: AtomicUsize,
}

/// Counts when it is dropped within the call.
struct InCall(Arc<Counts>);

impl InCall {
    fn count(&self) {
        if Context::current().is_some() {
            self.0.in_call.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        self.count();
    }
}

impl Service for Slow {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::default()
    }

    fn call(&self, _: Request) -> Answer {
        let (ready_at, blocks, guard) = (self.ready_at, self.blocks, InCall(self.counts.clone()));
        let work = poll_fn(move |cx| {
            guard.count();
            std::thread::sleep(blocks);
            if guard.0.polls.fetch_add(1, Ordering::Relaxed) + 1 < ready_at {
                if ready_at < usize::MAX {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Poll::Ready(Ok(Bytes::from_static(b"done")))
        });
        Answer::Later(work.boxed())
    }
}

fn serve(ready_at: usize, blocks: Duration) -> (RunningComponent, Arc<Counts>) {
    let counts = Arc::<Counts>::default();
    let slow = Slow {
        ready_at,
        blocks,
        counts: counts.clone(),
    };
    (component(Arc::new(slow)), counts)
}

fn component(service: Arc<dyn Service>) -> RunningComponent {
    let id = ComponentId::new("slow").expect("an id");
    let limits = ServeLimits::default().concurrent(NonZeroUsize::MIN);
    let shared = (&Budget::new(1_000), &Auth::trusting());
    RunningComponent::new(id, service, limits, None, shared)
}

fn request() -> Request {
    Request {
        component: ComponentId::new("slow").expect("an id"),
        function: FunctionKey(7),
        source: Source::Operator,
        link: None,
        wormhole_link: None,
        args: Bytes::new(),
        handles: Handles::new(),
        caller: CallerInstance::Here,
        context: Context::new(SECOND),
    }
}

async fn advanced(component: &RunningComponent) -> Progress {
    let now = Instant::now();
    let mut progress = component.begin(request(), now);
    component.advance(&mut progress, now).await;
    progress
}

fn counts(counts: &Counts) -> (usize, usize) {
    let polls = counts.polls.load(Ordering::Relaxed);
    (polls, counts.in_call.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_call_that_is_ready_at_once_is_done_without_waiting() {
    let (component, seen) = serve(1, Duration::ZERO);
    for calls in 1..=10 {
        let Progress::Done(result) = advanced(&component).await else {
            panic!("it waits");
        };
        assert_eq!(result.map(|body| body.bytes), Ok("done".into()));
        assert_eq!(counts(&seen), (calls, calls * 2), "polled and dropped");
        assert_eq!(component.meter.counts(), (calls as u64, 0));
    }
    let mut context = Context::default();
    let turn = component.queue().try_turn(&mut context);
    assert!(turn.is_some(), "the only turn is free again");
}

#[tokio::test]
async fn a_call_that_waits_is_polled_again_when_it_is_woken() {
    let (component, seen) = serve(3, Duration::ZERO);
    let progress = advanced(&component).await;
    assert!(matches!(progress, Progress::Running(_)));
    assert_eq!(counts(&seen).0, 1);
    let mut finish = Box::pin(component.finish(progress));
    let waker = noop_waker();
    let mut cx = task::Context::from_waker(&waker);
    assert!(finish.poll_unpin(&mut cx).is_pending());
    assert_eq!(counts(&seen).0, 1, "it was polled just before");
    assert!(finish.poll_unpin(&mut cx).is_pending());
    let result = finish.await;
    assert_eq!(result.map(|body| body.bytes), Ok("done".into()));
    assert_eq!(counts(&seen), (3, 4), "polled and dropped within the call");
    let (component, seen) = serve(3, Duration::ZERO);
    assert!(component.run(request(), Instant::now()).await.is_ok());
    assert_eq!(counts(&seen), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_ends_at_its_deadline_and_when_its_component_is_cut_off() {
    let (component, seen) = serve(usize::MAX, Duration::ZERO);
    let late = component.run(request(), Instant::now()).await.err();
    let expected = CallError::DeadlineExceeded { ran: Ran::Maybe };
    assert_eq!(late, Some(expected));
    let (polls, in_call) = counts(&seen);
    assert_eq!(in_call, polls + 1, "dropped within the call");
    let progress = advanced(&component).await;
    component.cut_off();
    let lost = component.finish(progress).await.err();
    assert!(
        matches!(lost, Some(CallError::InstanceLost { .. })),
        "{lost:?}"
    );
    assert_eq!(component.meter.counts(), (2, 2));
}

#[tokio::test]
async fn a_component_that_blocks_before_it_waits_runs_apart() {
    let (component, _) = serve(1, super::super::blocking::LOGGED);
    assert!(matches!(advanced(&component).await, Progress::Done(_)));
    assert!(component.blocking.runs_apart());
    let (component, _) = serve(2, super::super::blocking::LOGGED);
    assert!(matches!(advanced(&component).await, Progress::Running(_)));
    assert!(component.blocking.runs_apart());
}

#[tokio::test]
async fn a_call_that_is_given_up_before_its_link_is_accepted_is_counted_over_it() {
    let (component, seen) = serve(1, Duration::ZERO);
    let link = Link::new("front", "test:calls/api@0.1.0", "slow").expect("a link");
    let link = Arc::new(link);
    let request = Request {
        link: Some(link.clone()),
        ..request()
    };
    let mut call = Box::pin(component.run(request, Instant::now()));
    let waker = noop_waker();
    let mut cx = task::Context::from_waker(&waker);
    assert!(call.poll_unpin(&mut cx).is_pending(), "it is unknown");
    let _decides = component
        .links
        .offer(component.service(), link.clone(), SECOND);
    let calls = component.links.calls_over(&link).expect("it is known");
    assert!(call.poll_unpin(&mut cx).is_pending(), "it is undecided");
    drop(call);
    assert_eq!((calls.counts(), component.meter.counts()), ((1, 0), (1, 0)));
    assert_eq!(counts(&seen).0, 0, "it did not run");
}

/// Blocks when it is called, before there is a future.
struct Abrupt;

impl Service for Abrupt {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::default()
    }

    fn call(&self, _: Request) -> Answer {
        std::thread::sleep(super::super::blocking::LOGGED);
        Answer::Ready(Ok(Bytes::new()))
    }
}

#[tokio::test]
async fn a_component_that_blocks_once_its_link_is_accepted_runs_apart() {
    let component = component(Arc::new(Abrupt));
    let link = Link::new("front", "test:calls/api@0.1.0", "slow").expect("a link");
    let link = Arc::new(link);
    let request = Request {
        link: Some(link.clone()),
        ..request()
    };
    let accept = async {
        let offered = component.links.offer(component.service(), link, SECOND);
        component.links.settle(offered.await)
    };
    let (result, _) = tokio::join!(component.run(request, Instant::now()), accept);
    assert!(result.is_ok());
    assert!(component.blocking.runs_apart());
}
