//! A host whose whole process is paused for longer than the lease of its handles. It runs in a
//! process of its own, over a real nats-server.

use super::*;
use crate::nats::{self, NatsConfig, NatsServer};
use lattice_core::auth::LatticeKey;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};
use tokio::{sync::mpsc, time::timeout};

/// The variable that contains the child's server.
const URL: &str = "LATTICE_TEST_URL_OF_HOLDER";
/// Much longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(90);
/// What each line of the child begins with.
const MARK: &str = "holder: ";
const LEASE_IS_OVER: &str = "the lease of its holder is over";

/// A child's report of a call that uses its handle.
#[derive(Debug)]
enum Report {
    Begins(u64),
    Ends(u64, Result<(), String>),
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        let (_, report) = line.split_once(MARK)?;
        let mut words = report.splitn(3, ' ');
        match (words.next()?, words.next()?.parse().ok()?, words.next()) {
            ("begins", number, _) => Some(Self::Begins(number)),
            ("ends", number, None) => Some(Self::Ends(number, Ok(()))),
            ("ends", number, Some(error)) => Some(Self::Ends(number, Err(error.to_owned()))),
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
    fn start(server: &NatsServer) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "calls::handles::paused::holder_process",
                "--nocapture",
                "--ignored",
            ])
            .env(URL, server.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (sender, reports) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            for report in lines.filter_map(|line| Report::parse(&line)) {
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        Self { child, reports }
    }

    async fn next(&mut self) -> Report {
        let report = timeout(LONG, self.reports.recv()).await;
        report.expect("it prints a line").expect("it lives")
    }

    /// Waits until a call has used the handle.
    async fn has_used(&mut self) {
        while !matches!(self.next().await, Report::Ends(_, Ok(()))) {}
    }

    /// Returns the number of the last call that has begun, of what was printed until now.
    fn last_begun(&mut self) -> u64 {
        let mut last = 0;
        while let Ok(report) = self.reports.try_recv() {
            let (Report::Begins(number) | Report::Ends(number, _)) = report;
            last = number;
        }
        last
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn join(url: &str) -> Lattice {
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let lattice = Lattice::connect(url, "prod").key(key).await;
    lattice.expect("it connects")
}

/// The child process. It uses its handle continuously, and gets another one when that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test, in its own process"]
async fn holder_process() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let lattice = join(&url).await;
    let node = host(&lattice, "holder").await;
    let caller = node.caller("caller").expect("valid");
    let mut owned = make(&caller).await;
    for number in 0_u64.. {
        println!("{MARK}begins {number}");
        match pass(&caller, "use", lent(&owned)).await {
            Ok(_) => println!("{MARK}ends {number}"),
            Err(error) => {
                println!("{MARK}ends {number} {error}");
                if matches!(error, CallError::StaleHandle { .. }) {
                    owned = make(&caller).await;
                }
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handles_of_a_paused_process_are_reclaimed_and_it_learns_why() {
    let server = NatsConfig::default().jetstream().start().await;
    let lattice = join(&server.url()).await;
    let x = host(&lattice, "x").await;
    let shelf = Shelf::on(&x);
    let _serving = serve_as(&x, "owner", owner(&shelf)).await;
    link(&lattice, "caller", "owner").await;
    let mut holder = Process::start(&server);
    holder.has_used().await;
    assert_eq!(shelf.held(), 1);
    nats::signal(holder.child.id(), "STOP");
    let limit = LEASE + Duration::from_secs(10);
    let after = within(limit, "it is reclaimed", || shelf.held() == 0).await;
    assert!(after > LEASE * 9 / 10, "it might have come back: {after:?}");
    let begun = holder.last_begun();
    nats::signal(holder.child.id(), "CONT");
    loop {
        match holder.next().await {
            Report::Ends(number, Ok(())) => {
                assert!(number <= begun, "call {number} has used what was reclaimed");
            }
            Report::Ends(_, Err(error)) if error.contains(LEASE_IS_OVER) => break,
            // It may find its connection lost first.
            Report::Ends(..) | Report::Begins(_) => {}
        }
    }
    holder.has_used().await;
    assert_eq!(shelf.held(), 1, "it has another one");
}
