//! A lease holder whose whole process is paused. Each host runs in its own process, over a real
//! nats-server.

use super::{
    nats::{NatsConfig, NatsServer},
    *,
};
use futures_util::future::BoxFuture;
use lattice_core::{
    agent::{Prepared, Runtime, RuntimeError, WorkItem},
    auth::LatticeKey,
    call::CallError,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::ComponentTypes,
    value::to_bytes,
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::SystemTime,
};
use tokio::{sync::mpsc, time::Instant};

const APP: &str = "name = \"shop\"\n[providers.ledger]\nbuiltin = \"ledger\"\nrun = \"once\"\n";
/// The variables that contain a child's server and host id.
const URL: &str = "LATTICE_TEST_URL";
const HOST: &str = "LATTICE_TEST_HOST";
/// How long a call takes: long enough to pause the process during one.
const WORK: Duration = Duration::from_millis(400);
/// Much longer than anything here takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// A child's report of a call that it made: when and how the call ended.
#[derive(Debug, Clone)]
enum Report {
    Begins(u64),
    Ends(u64, SystemTime, Result<String, String>),
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        match (words.next()?, words.next()?.parse().ok()?) {
            ("begins", number) => Some(Self::Begins(number)),
            ("ends", number) => {
                let at = Duration::from_micros(words.next()?.parse().ok()?);
                let is_ok = words.next()? == "ok";
                let text = words.next()?.to_owned();
                let outcome = if is_ok { Ok(text) } else { Err(text) };
                Some(Self::Ends(number, SystemTime::UNIX_EPOCH + at, outcome))
            }
            _ => None,
        }
    }
}

/// A host in its own process, which is killed on drop.
struct Process {
    child: Child,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Process {
    fn start(host: &str, server: &NatsServer) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "agent::paused::host_process",
                "--nocapture",
                "--ignored",
            ])
            .env(URL, server.url())
            .env(HOST, host)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (sender, reports) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for report in lines
                .map_while(Result::ok)
                .filter_map(|line| Report::parse(&line))
            {
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        Self { child, reports }
    }

    async fn next(&mut self) -> Report {
        let report = timeout(SOON, self.reports.recv()).await;
        report.expect("it prints a line").expect("it lives")
    }

    /// Returns the number of a call that has just begun, once the one before it ended as expected.
    async fn begins_after(&mut self, answer: &str) -> u64 {
        // The lines printed until now are outdated.
        while self.reports.try_recv().is_ok() {}
        loop {
            if let Report::Ends(_, _, Ok(last)) = self.next().await
                && last == answer
                && let Report::Begins(number) = self.next().await
            {
                return number;
            }
        }
    }

    fn signal(&self, name: &str) {
        nats::signal(self.child.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Distinguishes each start from the next.
struct Numbered {
    host: String,
    starts: AtomicUsize,
}

impl Runtime for Numbered {
    fn prepare(&self, _: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        let start = self.starts.fetch_add(1, Ordering::SeqCst) + 1;
        let service = Arc::new(Slow(format!("{}#{start}", self.host)));
        let limits = ServeLimits::default();
        Box::pin(async move { Ok(Prepared { service, limits }) })
    }
}

struct Slow(String);

impl Service for Slow {
    fn types(&self) -> Arc<ComponentTypes> {
        who::types()
    }

    fn call(&self, _: Request) -> Answer {
        let answer = self.0.clone();
        Answer::Later(Box::pin(async move {
            sleep(WORK).await;
            Ok(to_bytes(&answer).expect("it encodes"))
        }))
    }
}

async fn join(url: &str) -> Lattice {
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let lattice = Lattice::connect(url, "prod").key(key).await;
    lattice.expect("it connects")
}

async fn call_singleton(lattice: &Lattice) -> Result<String, CallError> {
    lattice
        .operator()
        .component("ledger")
        .call(WHO, "who", ())
        .await
}

/// The child process. It keeps its share running, and calls the singleton continuously.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test, in its own process"]
async fn host_process() {
    let (Ok(url), Ok(host)) = (std::env::var(URL), std::env::var(HOST)) else {
        return;
    };
    let lattice = join(&url).await;
    let options = NodeOptions::default().host(&host).expect("valid");
    let node = lattice.node(options).await.expect("it joins");
    let runtime = Numbered {
        host,
        starts: AtomicUsize::new(0),
    };
    let _agent = Agent::start(&node, Arc::new(runtime), AgentOptions::default());
    for number in 0_u64.. {
        println!("begins {number}");
        let outcome = call_singleton(&lattice).await;
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = at.expect("after 1970").as_micros();
        match outcome {
            Ok(answer) => println!("ends {number} {at} ok {answer}"),
            Err(error) => println!("ends {number} {at} failed {error:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Calls from outside until `is_it` accepts the reply, and returns the time of that reply.
async fn call_until(lattice: &Lattice, is_it: impl Fn(&str) -> bool) -> (SystemTime, String) {
    let deadline = Instant::now() + SOON;
    loop {
        let begun = Instant::now();
        let outcome = call_singleton(lattice).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{outcome:?}");
        match outcome {
            Ok(answer) if is_it(&answer) => return (SystemTime::now(), answer),
            last => assert!(Instant::now() < deadline, "timed out: {last:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the host that replies ten times in a row. While hosts join, the singleton may still
/// move.
async fn settled(lattice: &Lattice) -> String {
    let (_, mut holder) = call_until(lattice, |_| true).await;
    let mut streak = 0;
    while streak < 10 {
        let (_, answer) = call_until(lattice, |_| true).await;
        streak = if answer == holder { streak + 1 } else { 0 };
        holder = answer;
    }
    holder
}

/// Pauses the lease holder during a call until another host holds the lease. Returns how that call
/// ended, or `None` if it had ended before the pause.
async fn pause(lattice: &Lattice, processes: &mut [Process; 2]) -> Option<Result<String, String>> {
    let holder = settled(lattice).await;
    let paused = &mut processes[usize::from(holder.starts_with('b'))];
    let number = timeout(SOON, paused.begins_after(&holder)).await;
    let number = number.expect("its own calls run as well");
    paused.signal("STOP");
    let stopped = SystemTime::now();
    let (taken_over, successor) = call_until(lattice, |answer| answer != holder).await;
    assert_ne!(successor[..1], holder[..1], "another host");
    paused.signal("CONT");

    let (mut ended, mut in_flight) = (0, None);
    while ended < 20 {
        let Report::Ends(call, at, outcome) = paused.next().await else {
            continue;
        };
        ended += 1;
        let late = at > taken_over && outcome.as_ref() == Ok(&holder);
        assert!(!late, "call {call} got its result from the paused host");
        if call == number && at > stopped {
            in_flight = Some(outcome);
        }
        // Calls from outside see the same.
        let answer = call_singleton(lattice).await;
        assert!(answer.as_ref() != Ok(&holder), "{answer:?}");
    }
    in_flight
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_a_paused_lease_holder_are_ignored_after_its_successor_replied() {
    let server = NatsConfig::default().jetstream().start().await;
    let lattice = join(&server.url()).await;
    let mut processes = [Process::start("a", &server), Process::start("b", &server)];
    let app = App::from_toml("app.toml", APP).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    // On a busy machine a call may be over before its host is paused.
    for _ in 0..5 {
        let Some(in_flight) = pause(&lattice, &mut processes).await else {
            continue;
        };
        let error = in_flight.expect_err("it succeeded without the lease");
        assert!(
            error.starts_with("InstanceLost") || error.starts_with("DeadlineExceeded"),
            "{error}"
        );
        return;
    }
    panic!("it was never paused in the middle of a call");
}
