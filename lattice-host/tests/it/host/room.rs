//! What guests share on a host: memory, slots, and the host's copies of what they pass.

use super::support::*;
use lattice_core::{
    Lattice,
    call::{CallError, Limit, Ran},
    link::LinkStatus,
    serve::{Answer, Request},
};
use lattice_host::{
    ActorError, ByteSize, Engine, EngineBuilder, Host, HostError, Instances, Limits,
};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const GATE_OF: &str = "test:room/gate@1.0.0";
const SINK: &str = "test:room/sink@1.0.0";
const IT: &str = "test:room/it@1.0.0";

/// Calls of `gate.wait` and `sink.put` stay here until the test lets them go.
#[derive(Clone)]
struct Gate {
    open: Arc<Semaphore>,
    entered: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self {
            open: Arc::new(Semaphore::new(0)),
            entered: Arc::new(Semaphore::new(0)),
        }
    }

    fn serve(&self) -> Native {
        let wait = |gate: &Self, result: bytes::Bytes| {
            let gate = gate.clone();
            move |request: Request| {
                let (gate, result) = (gate.clone(), result.clone());
                Answer::Later(Box::pin(async move {
                    gate.entered.add_permits(1);
                    let open = gate.open.acquire().await;
                    open.expect("it stays open").forget();
                    // The arguments are held until now.
                    drop(request);
                    Ok(result)
                }))
            }
        };
        let ok = encoded(&Ok::<(), String>(()));
        let put = "async func(body: list<u8>) -> result<_, string>";
        Native::default()
            .function(GATE_OF, "wait", "func()", wait(self, encoded(&())))
            .function(SINK, "put", put, wait(self, ok))
    }

    /// Waits until so many more calls are here.
    async fn entered(&self, calls: u32) {
        let entered = self.entered.acquire_many(calls);
        let entered = tokio::time::timeout(PATIENCE, entered).await;
        entered.expect("they come").expect("it stays open").forget();
    }

    fn let_go(&self, calls: usize) {
        self.open.add_permits(calls);
    }
}

/// `fill(pages)` takes up to so many pages more, one by one, writes to all of them, waits at the
/// gate and returns how many it got.
const FILL: &str = r#"(component
    (import "test:room/gate@1.0.0" (instance $gate (export "wait" (func))))
    (core func $wait (canon lower (func $gate "wait")))
    (core module $m
      (import "" "wait" (func $wait))
      (memory 1)
      (func (export "fill") (param $pages i32) (result i32) (local $got i32) (local $at i32)
        (block $done
          (loop $more
            (br_if $done (i32.ge_u (local.get $got) (local.get $pages)))
            (local.set $at (memory.grow (i32.const 1)))
            (br_if $done (i32.eq (local.get $at) (i32.const -1)))
            (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 65536))
            (local.set $got (i32.add (local.get $got) (i32.const 1)))
            (br $more)))
        (call $wait)
        (local.get $got)))
    (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait))))))
    (func $fill (param "pages" u32) (result u32) (canon lift (core func $i "fill")))
    (instance (export "test:room/it@1.0.0") (export "fill" (func $fill))))"#;

/// `add(one, other)`.
const ADD: &str = r#"(component
    (core module $m
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
    (instance (export "test:room/it@1.0.0") (export "add" (func $add))))"#;

fn engine() -> EngineBuilder {
    Engine::builder().without_cache()
}

fn slots(count: u32) -> EngineBuilder {
    engine().instances(NonZeroU32::new(count).expect("some"))
}

/// Starts a host with the gate and two actors: `fill`, and `add` as its neighbour.
async fn host_on(engine: &Engine, gate: &Gate, fill: Limits) -> (Lattice, Host) {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .engine(engine.clone())
        .actor("fill", wat(FILL).limits(fill))
        .actor("add", wat(ADD))
        .provider("gate", gate.serve().serve());
    let host = started(host).await;
    link(&lattice, "fill", GATE_OF, "gate").await;
    (lattice, host)
}

fn fill(lattice: &Lattice, pages: u32, within: Duration) -> tokio::task::JoinHandle<Filled> {
    let fill = lattice.operator().component("fill");
    tokio::spawn(async move { fill.call(IT, "fill", (pages,)).timeout(within).await })
}

type Filled = Result<u32, CallError>;

async fn add(lattice: &Lattice) -> u32 {
    let add = call(lattice, "add", IT, "add", (2_u32, 3_u32)).await;
    add.expect("a neighbour is served")
}

/// The most memory that this process has had, in bytes. Each test is a process.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0) * 1_024
}

fn overloaded(result: Filled) {
    let error = result.expect_err("there is no room");
    assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
    assert_eq!(error.ran(), Ran::No);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_fill_their_memory_stay_within_what_they_share() {
    const CALLS: u32 = 256;
    let engine = engine().guest_memory(ByteSize::mib(64)).build();
    let engine = engine.expect("an engine");
    let gate = Gate::new();
    let (lattice, _host) = host_on(&engine, &gate, Limits::default()).await;
    add(&lattice).await;
    let before = most_memory();
    // 4 MiB each, which would be 1 GiB. Seven have room at a time.
    let calls: Vec<_> = (0..CALLS).map(|_| fill(&lattice, 64, PATIENCE)).collect();
    gate.entered(7).await;
    let used = engine.guest_memory().used;
    assert!(
        used > ByteSize::mib(28) && used <= ByteSize::mib(32),
        "{used}"
    );
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        assert_eq!(add(&lattice).await, 5);
        assert!(begun.elapsed() < Duration::from_secs(1), "it waited");
    }
    gate.let_go(CALLS as usize);
    let mut pages = 0;
    for call in calls {
        pages += call.await.expect("no panic").expect("it ran");
    }
    assert!(pages > 7 * 64, "{pages} pages");
    let grown = most_memory().saturating_sub(before);
    assert!(grown < 128 << 20, "{} MiB more than before", grown >> 20);
    assert_eq!(engine.guest_memory().used, ByteSize::bytes(0));
}

#[tokio::test]
async fn a_guest_that_goes_over_what_its_actor_may_use_is_told_so() {
    let memory = ByteSize::mib(32);
    let engine = engine().guest_memory(memory).build().expect("an engine");
    assert_eq!(engine.guest_memory().limit, memory);
    let lattice = lattice().await;
    let host = Host::builder(&lattice).engine(engine);
    let _host = started(host.actor("mischief", actor("mischief"))).await;
    let error = act::<()>(&lattice, "hoard", ()).await.expect_err("over");
    let CallError::LimitExceeded { limit, .. } = &error else {
        panic!("failed in another way: {error:?}");
    };
    assert_eq!(*limit, Limit::ActorMemory(16 << 20));
    assert_eq!(error.ran(), Ran::Yes);
    let text = error.to_string();
    assert!(text.contains("16 MiB of memory for all of its"), "{text}");
    assert!(text.contains("--guest-memory"), "{text}");
}

#[tokio::test]
async fn a_call_waits_for_memory_and_did_not_run_if_there_is_none() {
    let engine = engine().guest_memory(ByteSize::kib(400)).build();
    let engine = engine.expect("an engine");
    let gate = Gate::new();
    let (lattice, host) = host_on(&engine, &gate, Limits::default()).await;
    let first = fill(&lattice, 0, PATIENCE);
    gate.entered(1).await;
    let late = fill(&lattice, 0, Duration::from_millis(300));
    overloaded(late.await.expect("no panic"));
    assert_eq!(gate.entered.available_permits(), 0, "it did not run");
    let second = fill(&lattice, 0, PATIENCE);
    assert_eq!(add(&lattice).await, 5, "a neighbour has its own share");
    gate.let_go(1);
    gate.entered(1).await;
    gate.let_go(1);
    assert_eq!(first.await.expect("no panic"), Ok(0));
    assert_eq!(second.await.expect("no panic"), Ok(0));

    let large = "(component (core module $m (memory 4)) (core instance (instantiate $m)))";
    let refused = host.start_actor("large", wat(large)).await;
    let Err(HostError::Actor { source, .. }) = refused else {
        panic!("no call of it could ever run: {refused:?}");
    };
    assert!(
        matches!(source, ActorError::OverGuestMemory { .. }),
        "{source}"
    );
}

#[tokio::test]
async fn calls_wait_for_a_slot_and_leave_some_to_neighbours() {
    let engine = slots(4).build().expect("an engine");
    let gate = Gate::new();
    let (lattice, _host) = host_on(&engine, &gate, Limits::default()).await;
    let calls: Vec<_> = (0..8).map(|_| fill(&lattice, 0, PATIENCE)).collect();
    gate.entered(2).await;
    assert_eq!(add(&lattice).await, 5, "half of the slots are free");
    assert_eq!(gate.entered.available_permits(), 0, "the others wait");
    let late = fill(&lattice, 0, Duration::from_millis(300));
    overloaded(late.await.expect("no panic"));
    gate.let_go(8);
    gate.entered(6).await;
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Ok(0));
    }
}

#[tokio::test]
async fn unused_warm_instances_make_room_for_calls_that_wait() {
    let engine = slots(2).build().expect("an engine");
    let lattice = lattice().await;
    let warm = |text: &str| wat(text).instances(Instances::warm());
    let host = Host::builder(&lattice)
        .engine(engine)
        .actor("one", warm(ADD))
        .actor("two", warm(ASYNC))
        .actor("add", wat(ADD));
    let _host = started(host).await;
    for _ in 0..3 {
        let args = (2_u32, 3_u32);
        let one = call::<u32>(&lattice, "one", IT, "add", args).await;
        assert_eq!(one, Ok(5));
        let two = call::<u32>(&lattice, "two", IT, "seven", ()).await;
        assert_eq!(two, Ok(7));
        // Both slots are taken by instances that serve no call now.
        assert_eq!(add(&lattice).await, 5);
    }
}

#[tokio::test]
async fn unused_warm_instances_make_room_for_guests_that_grow() {
    let engine = engine().guest_memory(ByteSize::mib(64)).build();
    let engine = engine.expect("an engine");
    let (gate, lattice) = (Gate::new(), lattice().await);
    let host = Host::builder(&lattice)
        .engine(engine)
        .actor("fill", wat(FILL).instances(Instances::warm()))
        .provider("gate", gate.serve().serve());
    let _host = started(host).await;
    link(&lattice, "fill", GATE_OF, "gate").await;
    // 10 MiB in each of two instances, of the 32 MiB that the actor may have.
    let both = [(); 2].map(|()| fill(&lattice, 160, PATIENCE));
    gate.entered(2).await;
    gate.let_go(2);
    for one in both {
        assert_eq!(one.await.expect("no panic"), Ok(160));
    }
    let more = fill(&lattice, 300, PATIENCE);
    gate.let_go(1);
    assert_eq!(more.await.expect("no panic"), Ok(300), "all that it wanted");
}

/// Calls `run` of [`STEPS`] on an engine with this many slots, and returns how often it reached the
/// gate.
async fn run_steps(count: u32, instances: Instances) -> (Result<u32, CallError>, usize) {
    let engine = slots(count).build().expect("an engine");
    let (gate, lattice) = (Gate::new(), lattice().await);
    let host = Host::builder(&lattice)
        .engine(engine)
        .actor("steps", wat(STEPS).instances(instances))
        .provider("gate", gate.serve().serve());
    let _host = started(host).await;
    link(&lattice, "steps", GATE_OF, "gate").await;
    gate.let_go(8);
    let called = call(&lattice, "steps", IT, "run", ()).await;
    (called, gate.entered.available_permits())
}

#[tokio::test]
async fn a_call_for_which_the_stacks_run_out_after_it_began_may_have_run() {
    for instances in [Instances::Fresh, Instances::warm()] {
        // A slot has two stacks.
        assert_eq!(run_steps(2, instances).await, (Ok(7), 2));
        let (called, entered) = run_steps(1, instances).await;
        let error = called.expect_err("two stacks are too few");
        let CallError::InstanceLost { reason } = &error else {
            panic!("failed in another way: {error:?}");
        };
        assert!(reason.contains("the engine is full"), "{reason}");
        assert_eq!(error.ran(), Ran::Maybe);
        assert_eq!(entered, 2, "both steps ran, once");
    }
}

/// `run()` waits at the gate and calls the next component, which does the same with the last one.
/// Each has its own stack until it returns, so that the call takes three.
const STEPS: &str = r#"(component
    (import "test:room/gate@1.0.0" (instance $gate (export "wait" (func))))
    (component $last
      (core func $return (canon task.return (result u32)))
      (core module $m
        (import "" "return" (func $return (param i32)))
        (func (export "run") (result i32) (call $return (i32.const 7)) (i32.const 0))
        (func (export "callback") (param i32 i32 i32) (result i32) (unreachable)))
      (core instance $i (instantiate $m (with "" (instance (export "return" (func $return))))))
      (func $run async (result u32)
        (canon lift (core func $i "run") async (callback (core func $i "callback"))))
      (export "run" (func $run)))
    (component $step
      (import "wait" (func $wait))
      (import "next" (func $next async (result u32)))
      (core func $wait (canon lower (func $wait)))
      (core func $next (canon lower (func $next)))
      (core func $return (canon task.return (result u32)))
      (core module $m
        (import "" "wait" (func $wait))
        (import "" "next" (func $next (result i32)))
        (import "" "return" (func $return (param i32)))
        (func (export "run") (result i32)
          (call $wait)
          (call $return (call $next))
          (i32.const 0))
        (func (export "callback") (param i32 i32 i32) (result i32) (unreachable)))
      (core instance $i (instantiate $m (with "" (instance
        (export "wait" (func $wait)) (export "next" (func $next)) (export "return" (func $return))))))
      (func $run async (result u32)
        (canon lift (core func $i "run") async (callback (core func $i "callback"))))
      (export "run" (func $run)))
    (alias export $gate "wait" (func $wait))
    (instance $third (instantiate $last))
    (alias export $third "run" (func $third))
    (instance $second (instantiate $step (with "wait" (func $wait)) (with "next" (func $third))))
    (alias export $second "run" (func $second))
    (instance $first (instantiate $step (with "wait" (func $wait)) (with "next" (func $second))))
    (alias export $first "run" (func $first))
    (instance (export "test:room/it@1.0.0") (export "run" (func $first))))"#;

#[tokio::test]
async fn a_call_for_whose_result_there_is_no_memory_ran() {
    let engine = engine().guest_memory(ByteSize::mib(32)).build();
    let lattice = lattice().await;
    let host = Host::builder(&lattice).engine(engine.expect("an engine"));
    let _host = started(host.actor("mischief", actor("mischief"))).await;
    // Its actor may use 16 MiB, for the guest's own 10 MiB and for the host's copy.
    let result = act::<bytes::Bytes>(&lattice, "huge", (10_u32 << 20,)).await;
    let error = result.expect_err("no memory for the copy");
    let CallError::LimitExceeded { limit, .. } = &error else {
        panic!("failed in another way: {error:?}");
    };
    assert_eq!(*limit, Limit::ActorMemory(16 << 20));
    assert_eq!(error.ran(), Ran::Yes);
}

/// `seven()`, an `async func`.
const ASYNC: &str = r#"(component
    (core func $return (canon task.return (result u32)))
    (core module $m
      (import "" "return" (func $return (param i32)))
      (func (export "seven") (result i32) (call $return (i32.const 7)) (i32.const 0))
      (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0)))
    (core instance $i (instantiate $m (with "" (instance (export "return" (func $return))))))
    (func $seven async (result u32)
      (canon lift (core func $i "seven") async (callback (core func $i "callback"))))
    (instance (export "test:room/it@1.0.0") (export "seven" (func $seven))))"#;

/// The guest makes 1,024 calls at once, all with the same 960 KiB of its memory.
#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_a_guest_passes_again_and_again_are_not_copied_without_end() {
    let engine = engine().build().expect("an engine");
    let (gate, lattice) = (Gate::new(), lattice().await);
    let limits = Limits::default().outgoing_bytes(ByteSize::mib(20));
    let host = Host::builder(&lattice)
        .engine(engine.clone())
        .actor("pour", wat(POUR).limits(limits))
        .provider("gate", gate.serve().serve());
    let _host = started(host).await;
    link(&lattice, "pour", GATE_OF, "gate").await;
    link(&lattice, "pour", SINK, "gate").await;
    // A call over a link that isn't open yet goes on only when the guest waits for it.
    let open = async {
        let links = lattice.links();
        while links
            .list()
            .iter()
            .any(|link| link.status != LinkStatus::Active)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, open)
        .await
        .expect("both links are accepted");
    let before = most_memory();
    let pour = lattice.operator().component("pour");
    let mut pour = tokio::spawn(async move {
        let poured = pour.call::<u32>(IT, "pour", (1_024_u32,));
        poured.timeout(PATIENCE).await
    });
    // 21 calls with 960 KiB and some bytes each, and the one that waits until they are made.
    tokio::select! {
        () = gate.entered(22) => {}
        early = &mut pour => panic!("it ended before it waited: {early:?}"),
    }
    assert_eq!(gate.entered.available_permits(), 0);
    let used = engine.guest_memory().used;
    assert!(used <= ByteSize::mib(4 + 21), "{used}");
    let grown = most_memory().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB more than before", grown >> 20);
    gate.let_go(22);
    let refused = pour.await.expect("no panic").expect("it returns");
    assert_eq!(refused, 1_024 - 21, "the others failed as a value");
    let freed = async {
        while engine.guest_memory().used > ByteSize::bytes(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed)
        .await
        .expect("everything is given back");
}

/// `pour(n)` makes so many calls of `put` at once, waits at the gate, and returns how many failed.
const POUR: &str = r#"(component
    (import "test:room/gate@1.0.0" (instance $gate (export "wait" (func))))
    (import "test:room/sink@1.0.0" (instance $sink
      (export "put" (func async (param "body" (list u8)) (result (result (error string)))))))
    (core module $memory
      (memory (export "memory") 64)
      (global $top (mut i32) (i32.const 0x200000))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $top)
        (global.set $top (i32.and
          (i32.add (i32.add (global.get $top) (local.get 3)) (i32.const 7)) (i32.const -8)))))
    (core instance $memory (instantiate $memory))
    (core func $wait (canon lower (func $gate "wait")))
    (core func $put (canon lower (func $sink "put") async
      (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core module $m
      (import "" "wait" (func $wait))
      (import "" "put" (func $put (param i32 i32 i32) (result i32)))
      (import "" "memory" (memory 64))
      (func (export "pour") (param $calls i32) (result i32)
        (local $made i32) (local $failed i32) (local $at i32)
        (loop $more
          (local.set $at (i32.add (i32.const 0x100000) (i32.mul (local.get $made) (i32.const 16))))
          ;; 2 is a call that has returned, 1 as its first byte a failure.
          (if (i32.eq (i32.const 2) (i32.and (i32.const 15)
                (call $put (i32.const 0) (i32.const 0xf0000) (local.get $at))))
            (then (local.set $failed
              (i32.add (local.get $failed) (i32.load8_u (local.get $at))))))
          (local.set $made (i32.add (local.get $made) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $made) (local.get $calls))))
        (call $wait)
        (local.get $failed)))
    (core instance $i (instantiate $m (with "" (instance
      (export "wait" (func $wait)) (export "put" (func $put))
      (export "memory" (memory $memory "memory"))))))
    (func $pour (param "calls" u32) (result u32) (canon lift (core func $i "pour")))
    (instance (export "test:room/it@1.0.0") (export "pour" (func $pour))))"#;
