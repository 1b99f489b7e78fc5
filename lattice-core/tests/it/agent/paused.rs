//! A holder whose whole process is paused: hosts in processes of their own, over a real nats-server.

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
/// Tells a child its server and its host id.
const URL: &str = "LATTICE_TEST_URL";
const HOST: &str = "LATTICE_TEST_HOST";
/// How long a call takes: enough to be paused in the middle of one.
const WORK: Duration = Duration::from_millis(400);
/// Far more than anything here takes, also on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// What a child says of a call that it made: when it ended, and how.
#[derive(Debug, Clone)]
enum Said {
    Begins(u64),
    Ends(u64, SystemTime, Result<String, String>),
}

impl Said {
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

/// A host in a process of its own. Killed when dropped.
struct Process {
    child: Child,
    said: mpsc::UnboundedReceiver<Said>,
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
        let (sender, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for said in lines
                .map_while(Result::ok)
                .filter_map(|line| Said::parse(&line))
            {
                if sender.send(said).is_err() {
                    return;
                }
            }
        });
        Self { child, said }
    }

    async fn next(&mut self) -> Said {
        let said = timeout(SOON, self.said.recv()).await;
        said.expect("it says something").expect("it lives")
    }

    /// The number of a call that has just begun, when the one before was answered so.
    async fn begins_after(&mut self, answer: &str) -> u64 {
        // What it said until now is long over.
        while self.said.try_recv().is_ok() {}
        loop {
            if let Said::Ends(_, _, Ok(last)) = self.next().await
                && last == answer
                && let Said::Begins(number) = self.next().await
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
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each start of it is told apart from the next.
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

async fn ask(lattice: &Lattice) -> Result<String, CallError> {
    lattice
        .operator()
        .component("ledger")
        .call(WHO, "who", ())
        .await
}

/// A process: keeps its share, and calls what runs once, all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test, in a process of its own"]
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
        let outcome = ask(&lattice).await;
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = at.expect("after 1970").as_micros();
        match outcome {
            Ok(answer) => println!("ends {number} {at} ok {answer}"),
            Err(error) => println!("ends {number} {at} failed {error:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Calls from outside until `is_it` likes the answer; answers when that was.
async fn ask_until(lattice: &Lattice, is_it: impl Fn(&str) -> bool) -> (SystemTime, String) {
    let deadline = Instant::now() + SOON;
    loop {
        let begun = Instant::now();
        let outcome = ask(lattice).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{outcome:?}");
        match outcome {
            Ok(answer) if is_it(&answer) => return (SystemTime::now(), answer),
            last => assert!(Instant::now() < deadline, "in vain: {last:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whoever answers ten times in a row: while hosts join, it may still move.
async fn settled(lattice: &Lattice) -> String {
    let (_, mut holder) = ask_until(lattice, |_| true).await;
    let mut streak = 0;
    while streak < 10 {
        let (_, answer) = ask_until(lattice, |_| true).await;
        streak = if answer == holder { streak + 1 } else { 0 };
        holder = answer;
    }
    holder
}

/// Pauses whoever holds the lease in the middle of a call until another one holds it. How that call ended; none when it was over
/// before.
async fn pause(lattice: &Lattice, processes: &mut [Process; 2]) -> Option<Result<String, String>> {
    let holder = settled(lattice).await;
    let paused = &mut processes[usize::from(holder.starts_with('b'))];
    let number = timeout(SOON, paused.begins_after(&holder)).await;
    let number = number.expect("its own calls run too");
    paused.signal("STOP");
    let stopped = SystemTime::now();
    let (taken_over, successor) = ask_until(lattice, |answer| answer != holder).await;
    assert_ne!(successor[..1], holder[..1], "another host");
    paused.signal("CONT");

    let (mut ended, mut in_flight) = (0, None);
    while ended < 20 {
        let Said::Ends(call, at, outcome) = paused.next().await else {
            continue;
        };
        ended += 1;
        let late = at > taken_over && outcome.as_ref() == Ok(&holder);
        assert!(!late, "call {call} was answered by the one that was paused");
        if call == number && at > stopped {
            in_flight = Some(outcome);
        }
        // From outside as well.
        let answer = ask(lattice).await;
        assert!(answer.as_ref() != Ok(&holder), "{answer:?}");
    }
    in_flight
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_was_paused_is_not_heard_after_its_successor() {
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
        let error = in_flight.expect_err("it was answered without the lease");
        assert!(
            error.starts_with("InstanceLost") || error.starts_with("DeadlineExceeded"),
            "{error}"
        );
        return;
    }
    panic!("it was never paused in the middle of a call");
}
