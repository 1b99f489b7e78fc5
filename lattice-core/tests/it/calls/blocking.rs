//! Components that block their thread, and calls that wait behind them.

use super::*;
use crate::log::Log;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context},
    serve::{Answer, Request, Service},
    sync::Mutex,
    types::ComponentTypes,
};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{task, time::Instant};

/// Blocks its thread with a sleep, before its first await or after it.
struct Blocks {
    time: Duration,
    is_late: bool,
    calls: Arc<AtomicUsize>,
}

impl Service for Blocks {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, request: Request) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (time, args) = (self.time, request.args);
        if !self.is_late {
            thread::sleep(time);
            return Answer::Ready(Ok(args));
        }
        Answer::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            thread::sleep(time);
            Ok(args)
        }))
    }
}

/// Behind a component that blocks, a call takes about as long as that blocks. A busy machine delays
/// calls too, but not for so long.
fn assert_none_waited(times: &[Duration], blocks: Duration) {
    let slowest = times.iter().max().copied().unwrap_or_default();
    assert!(slowest < blocks * 4 / 5, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_blocking_component_delays_no_other_call_and_its_host_is_not_lost() {
    for is_late in [false, true] {
        let two = two().await;
        let blocks = Blocks {
            time: Duration::from_millis(1_500),
            is_late,
            calls: Arc::default(),
        };
        let _blocks = serve_as(&two.b, "blocks", blocks).await;
        link(&two.lattice, "blocked", "blocks").await;
        let running = begin_wait(&two.caller, Context::new(Duration::from_secs(20)));
        two.api.started.notified().await;
        let blocked = two.a.caller("blocked").expect("valid");
        // More calls than there are threads, one after the other, that block before their first
        // await.
        let mut calls = Vec::new();
        for _ in 0..if is_late { 2 } else { 6 } {
            let caller = blocked.clone();
            let context = Context::new(Duration::from_secs(20));
            calls.push(tokio::spawn(async move {
                call(&caller, &echo(), text("slow"), context).await
            }));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_millis(1_200) {
            let before = Instant::now();
            two.say().await.expect("another component is served");
            times.push(before.elapsed());
        }
        assert_none_waited(&times, Duration::from_millis(1_500));
        assert!(!running.is_finished(), "its host is not lost");
        for call in calls {
            assert_eq!(call.await.expect("joined"), Ok(text("slow")));
        }
        two.api.release.notify_one();
        assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    }
}

#[tokio::test]
async fn a_call_that_waited_past_its_deadline_behind_a_blocking_component_does_not_run() {
    let two = two().await;
    let blocks = Blocks {
        time: Duration::from_millis(300),
        is_late: false,
        calls: Arc::default(),
    };
    let _blocks = serve_as(&two.b, "blocks", blocks).await;
    link(&two.lattice, "blocked", "blocks").await;
    let blocked = two.a.caller("blocked").expect("valid");
    // A call from another host, in a frame of its own.
    let third = host(&two.lattice, "c").await;
    let other = third.caller("caller").expect("valid");
    // Neither call needs discovery.
    eventually("both are known", async || {
        let peers = two.lattice.peers();
        let is_known = |component| !peers.serving(&id(component)).is_empty();
        is_known("blocks") && is_known("callee")
    })
    .await;
    two.say().await.expect("a result");
    call(&other, &echo(), text("x"), Context::default())
        .await
        .expect("a result");
    let before = two.api.calls.load(Ordering::SeqCst);
    let echo = echo();
    let slow = call(&blocked, &echo, text("slow"), Context::default());
    let context = Context::new(Duration::from_millis(100));
    // Both calls are sent before the only thread runs either of them.
    let (slow, late) = tokio::join!(slow, call(&other, &echo, text("x"), context));
    slow.expect("answered");
    let late = late.expect_err("it was too late");
    assert!(matches!(late, CallError::DeadlineExceeded { .. }), "{late}");
    two.say().await.expect("a result");
    let calls = two.api.calls.load(Ordering::SeqCst) - before;
    assert_eq!(calls, 1, "only the last one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_is_known_to_block_takes_no_thread_from_others() {
    let two = two().await;
    let blocks = Blocks {
        time: Duration::from_millis(1_000),
        is_late: false,
        calls: Arc::default(),
    };
    let _blocks = serve_as(&two.b, "blocks", blocks).await;
    link(&two.lattice, "blocked", "blocks").await;
    let blocked = two.a.caller("blocked").expect("valid");
    let slow = || {
        let caller = blocked.clone();
        let context = Context::new(Duration::from_secs(20));
        tokio::spawn(async move { call(&caller, &echo(), text("slow"), context).await })
    };
    slow().await.expect("joined").expect("answered");
    // More than there are threads.
    let calls: Vec<_> = (0..6).map(|_| slow()).collect();
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_millis(700) {
        let before = Instant::now();
        two.say().await.expect("a neighbour is served");
        times.push(before.elapsed());
    }
    assert_none_waited(&times, Duration::from_millis(1_000));
    for call in calls {
        assert_eq!(call.await.expect("joined"), Ok(text("slow")));
    }
}

/// Takes some time without awaiting anything, and notes who has called, and in which task.
struct Notes {
    time: Duration,
    calls: Arc<Mutex<Vec<(Bytes, task::Id)>>>,
}

impl Service for Notes {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, request: Request) -> Answer {
        self.calls.lock().push((request.args.clone(), task::id()));
        thread::sleep(self.time);
        Answer::Ready(Ok(request.args))
    }
}

/// On the runner, they would use one thread of many.
#[tokio::test]
async fn calls_whose_code_takes_long_begin_in_tasks_of_their_own() {
    let two = two().await;
    let (time, calls) = (Duration::from_millis(1), Arc::default());
    let notes = Notes { time, calls };
    let noted = notes.calls.clone();
    let _notes = serve_as(&two.b, "notes", notes).await;
    link(&two.lattice, "noted", "notes").await;
    let caller = two.a.caller("noted").expect("valid");
    for _ in 0..100 {
        let result = call(&caller, &echo(), text("a"), Context::default()).await;
        assert_eq!(result, Ok(text("a")));
    }
    let noted = noted.lock();
    let tasks: HashSet<_> = noted.iter().map(|(_, task)| *task).collect();
    assert!(noted.len() == 100 && tasks.len() > 90, "{noted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_of_two_hosts_begin_on_two_runners() {
    let two = two().await;
    let other = host(&two.lattice, "c").await;
    let (time, calls) = (Duration::ZERO, Arc::default());
    let notes = Notes { time, calls };
    let noted = notes.calls.clone();
    let _notes = serve_as(&two.b, "notes", notes).await;
    link(&two.lattice, "noted", "notes").await;
    let callers = [(&two.a, "a"), (&other, "c")];
    let callers = callers.map(|(node, name)| (node.caller("noted").expect("valid"), name));
    for _ in 0..50 {
        for (caller, name) in &callers {
            let result = call(caller, &echo(), text(name), Context::default()).await;
            assert_eq!(result, Ok(text(name)));
        }
    }
    let noted = noted.lock();
    let tasks_of = |name| -> HashSet<task::Id> {
        let calls = noted.iter().filter(|(caller, _)| *caller == text(name));
        calls.map(|(_, task)| *task).collect()
    };
    assert_eq!(noted.len(), 100);
    assert!(tasks_of("a").is_disjoint(&tasks_of("c")), "{noted:?}");
}

/// Returns its first result at once, so that its link is known, and then blocks.
struct BlocksLater(Blocks);

impl Service for BlocksLater {
    fn types(&self) -> Arc<ComponentTypes> {
        self.0.types()
    }

    fn call(&self, request: Request) -> Answer {
        if self.0.calls.load(Ordering::SeqCst) > 0 {
            return self.0.call(request);
        }
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        Answer::Ready(Ok(request.args))
    }
}

/// Nothing watches over a host that has had nothing to do, until a call wakes what does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_blocks_an_idle_host_delays_no_other_call() {
    let two = two().await;
    let blocks = BlocksLater(Blocks {
        time: Duration::from_millis(1_500),
        is_late: false,
        calls: Arc::default(),
    });
    let calls = blocks.0.calls.clone();
    let _blocks = serve_as(&two.b, "blocks", blocks).await;
    link(&two.lattice, "blocked", "blocks").await;
    let blocked = two.a.caller("blocked").expect("valid");
    let context = || Context::new(Duration::from_secs(20));
    let known = call(&blocked, &echo(), text("at once"), context()).await;
    known.expect("a result");
    two.say().await.expect("a result");
    // The watch ends some looks after the last call.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let slow = tokio::spawn(async move { call(&blocked, &echo(), text("slow"), context()).await });
    // Not a task, so that nothing else wakes the threads of the runtime.
    while calls.load(Ordering::SeqCst) < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_millis(700) {
        let before = Instant::now();
        two.say().await.expect("a neighbour is served");
        times.push(before.elapsed());
    }
    assert_none_waited(&times, Duration::from_millis(1_500));
    assert_eq!(slow.await.expect("joined"), Ok(text("slow")));
}

#[tokio::test]
async fn a_component_that_blocks_is_named_in_the_log() {
    let log = Log::default();
    // All tasks of this test run on this thread.
    let _captured = log.capture();
    for (name, is_late) in [("blocks-first", false), ("blocks-later", true)] {
        let two = two().await;
        let blocks = Blocks {
            // Blocking is logged from 100 ms on.
            time: Duration::from_millis(150),
            is_late,
            calls: Arc::default(),
        };
        let _blocks = serve_as(&two.b, name, blocks).await;
        link(&two.lattice, "blocked", name).await;
        let blocked = two.a.caller("blocked").expect("valid");
        let context = Context::new(Duration::from_secs(20));
        let answer = call(&blocked, &echo(), text("slow"), context).await;
        assert_eq!(answer, Ok(text("slow")));
        let text = log.text();
        let mut lines = text.lines();
        let line = lines.find(|line| line.contains(&format!("component={name} ")));
        let line = line.unwrap_or_else(|| panic!("{name} isn't named: {text}"));
        for says in ["WARN", "blocked its thread", "spawn_blocking", "count=1 "] {
            assert!(line.contains(says), "{says}: {line}");
        }
    }
}
