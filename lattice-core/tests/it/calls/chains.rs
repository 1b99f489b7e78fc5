//! Nested calls: the deadline shrinks from hop to hop, and the length of a chain is bounded.

use super::*;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef, MAX_HOPS, Ran},
    client::Caller,
    node::Node,
    serve::{Answer, Request, Service},
    server::ServeHandle,
    types::ComponentTypes,
    value::from_bytes,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a relay holds a call before it forwards it.
const KEPT: Duration = Duration::from_millis(100);

fn left() -> FunctionRef {
    function("left", "func() -> u64")
}

/// Forwards calls through its own link, and records their results.
struct Relay {
    caller: Caller,
    record: Arc<Record>,
}

#[derive(Default)]
struct Record {
    running: AtomicUsize,
    answers: Mutex<Vec<Outcome>>,
}

impl Service for Relay {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("left", "func() -> u64"), ("wait", "func()")]))
    }

    fn call(&self, request: Request) -> Answer {
        let (caller, record) = (self.caller.clone(), self.record.clone());
        let function = if request.function == left().key() {
            left()
        } else {
            wait()
        };
        Answer::Later(Box::pin(async move {
            let _running = Running::enter(&record.running);
            sleep(KEPT).await;
            let answer = call(&caller, &function, request.args, request.context.nested()).await;
            let mut answers = record.answers.lock().expect("not poisoned");
            answers.push(answer.clone());
            answer
        }))
    }
}

async fn serve_relay(node: &Node, name: &str) -> (Arc<Record>, ServeHandle) {
    let record = Arc::<Record>::default();
    let relay = Relay {
        caller: node.caller(name).expect("valid"),
        record: record.clone(),
    };
    (record, serve_as(node, name, relay).await)
}

/// `caller` calls `relay`, which calls `callee`. Each is on its own host, or all are on the same.
struct Chain {
    nodes: [Node; 3],
    caller: Caller,
    relay: Arc<Record>,
    api: Arc<Api>,
    serving: [ServeHandle; 2],
}

impl Chain {
    async fn over(hosts: [&str; 3]) -> Self {
        let lattice = lattice().await;
        let a = host(&lattice, hosts[0]).await;
        let mut nodes = [a.clone(), a.clone(), a];
        for n in 1..3 {
            if hosts[n] != hosts[n - 1] {
                nodes[n] = host(&lattice, hosts[n]).await;
            }
        }
        let (relay, relaying) = serve_relay(&nodes[1], "relay").await;
        let (api, serving) = serve(&nodes[2], "callee").await;
        link(&lattice, "caller", "relay").await;
        link(&lattice, "relay", "callee").await;
        Self {
            caller: nodes[0].caller("caller").expect("valid"),
            nodes,
            relay,
            api,
            serving: [relaying, serving],
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_has_the_remaining_time_of_its_caller() {
    for hosts in [["a", "a", "a"], ["a", "b", "c"]] {
        let chain = Chain::over(hosts).await;
        let context = Context::new(Duration::from_millis(700));
        let answer = call(&chain.caller, &left(), Bytes::new(), context).await;
        let left: u64 = from_bytes(&answer.expect("a result")).expect("a number");
        // Deadlines are sent in whole milliseconds, so each hop may lose one.
        assert!((597..=600).contains(&left), "{hosts:?}: {left}");
        assert!(context.left() <= Duration::from_millis(600));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_during_a_nested_call_ends_the_whole_chain() {
    for hosts in [["a", "a", "a"], ["a", "b", "c"]] {
        let chain = Chain::over(hosts).await;
        let start = Instant::now();
        let running = begin_wait(&chain.caller, Context::new(Duration::from_millis(400)));
        chain.api.started.notified().await;
        assert_eq!(
            running.await.expect("joined"),
            Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
            "{hosts:?}"
        );
        let took = start.elapsed().as_millis();
        assert!((398..=450).contains(&took), "{hosts:?}: {took} ms");
        eventually("no callee works on it any more", async || {
            let running = &[&chain.api.running, &chain.relay.running];
            running.iter().all(|one| one.load(Ordering::SeqCst) == 0)
                && chain.serving.iter().all(|one| one.in_flight() == 0)
                && chain.nodes.iter().all(|node| node.in_flight() == 0)
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_links_ends_at_the_hop_limit() {
    for hosts in [["a", "a"], ["b", "c"]] {
        let lattice = lattice().await;
        let one = host(&lattice, hosts[0]).await;
        let other = if hosts[0] == hosts[1] {
            one.clone()
        } else {
            host(&lattice, hosts[1]).await
        };
        let (ping, _ping) = serve_relay(&one, "ping").await;
        let (pong, _pong) = serve_relay(&other, "pong").await;
        for (source, target) in [("caller", "ping"), ("ping", "pong"), ("pong", "ping")] {
            link(&lattice, source, target).await;
        }
        let context = Context::new(Duration::from_secs(30));
        let caller = one.caller("caller").expect("valid");
        let error = call(&caller, &left(), Bytes::new(), context)
            .await
            .expect_err("endless");
        assert!(error.to_string().contains("longer than 32 hops"), "{error}");
        assert_eq!(
            error.ran(),
            Ran::Yes,
            "the first callee of the chain did run"
        );
        let answers = [ping, pong].map(|record| {
            let answers = record.answers.lock().expect("not poisoned");
            answers.clone()
        });
        let answers = answers.concat();
        assert_eq!(answers.len(), usize::from(MAX_HOPS) + 1, "{hosts:?}");
        let too_many = Err(CallError::TooManyHops { limit: MAX_HOPS });
        let refused = answers.iter().filter(|answer| **answer == too_many);
        assert_eq!(refused.count(), 1, "only the last caller receives it");
    }
}
