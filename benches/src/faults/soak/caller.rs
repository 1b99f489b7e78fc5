//! The calling process: it makes mixed calls until its input is closed, and counts their outcomes.

use crate::faults::{
    host::{READY, TASKS, connect, questions},
    way::{Echo, Failed, Hold, Way},
};
use crate::{Failure, program::START};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Requests the tally of the process.
pub(crate) const REPORT: &str = "report";

const CALLERS: u64 = 32;
/// Longest pause between two calls of one caller, in microseconds. The test is about the mix, not
/// about saturating the processor.
const PAUSE: u64 = 6_000;
/// One call in this many goes to a component that never replies.
const ONE_IN: u64 = 10;
const UNANSWERED: Duration = Duration::from_millis(20);
const ANSWERED: Duration = Duration::from_secs(2);
/// How long after its deadline a call may end.
const GRACE: Duration = Duration::from_millis(50);
/// A call that exceeds its deadline by this much counts as hung.
const HUNG: Duration = Duration::from_secs(1);
/// Sizes of calls: small ones are common, large ones are rare.
const SIZES: [usize; 8] = [16, 16, 16, 16, 1 << 10, 1 << 10, 16 << 10, 64 << 10];

/// The outcomes of the calls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) hung: u64,
    /// Calls that ended later than the deadline plus [`GRACE`].
    late: u64,
    /// The longest that a call took beyond its deadline.
    worst_ms: u64,
    ends: BTreeMap<String, u64>,
}

pub(crate) async fn run() -> Result<(), Failure> {
    let lattice = connect().await?;
    for component in ["callee", "actor", "silent"] {
        timeout(START, lattice.served(component)).await??;
    }
    let mut echo = Vec::new();
    for link in ["callee-once", "callee-again", "actor-once", "actor-again"] {
        echo.push(Echo::new(&lattice, link)?);
    }
    let mix = Arc::new(Mix {
        echo,
        hold: Hold::new(&lattice, "silent")?,
        tally: Mutex::default(),
    });
    let mut callers = JoinSet::new();
    for seed in 0..CALLERS {
        callers.spawn(mix.clone().call_on(seed));
    }
    let mut questions = questions();
    println!("{READY}");
    while let Some(question) = questions.recv().await {
        match question.as_str() {
            TASKS => println!("{}", Handle::current().metrics().num_alive_tasks()),
            REPORT => println!("{}", serde_json::to_string(&mix.tally())?),
            other => return Err(format!("a caller got an unknown request `{other}`").into()),
        }
    }
    Ok(())
}

struct Mix {
    echo: Vec<Echo>,
    hold: Hold,
    tally: Mutex<Tally>,
}

impl Mix {
    async fn call_on(self: Arc<Self>, seed: u64) {
        let mut dice = Dice(seed);
        loop {
            let body = Bytes::from(vec![dice.below(256) as u8; SIZES[dice.below(8) as usize]]);
            if dice.below(ONE_IN) == 0 {
                self.watch(&self.hold, &body, UNANSWERED).await;
            } else {
                let way = dice.below(self.echo.len() as u64) as usize;
                self.watch(&self.echo[way], &body, ANSWERED).await;
            }
            sleep(Duration::from_micros(dice.below(PAUSE))).await;
        }
    }

    async fn watch<W: Way>(&self, way: &W, body: &Bytes, deadline: Duration) {
        let began = Instant::now();
        let outcome = timeout(deadline + HUNG, way.call(body, deadline)).await;
        let over = began.elapsed().saturating_sub(deadline);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.calls += 1;
        tally.hung += u64::from(outcome.is_err());
        tally.late += u64::from(over > GRACE);
        tally.worst_ms = tally.worst_ms.max(over.as_millis() as u64);
        let end = match outcome {
            Ok(Ok(())) => "answered".to_owned(),
            Ok(Err(Failed(kind))) => kind,
            Err(_) => "hung".to_owned(),
        };
        *tally.ends.entry(end).or_default() += 1;
    }

    fn tally(&self) -> Tally {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} calls: {} hung; {} ended over {} ms after their deadline, the latest {} ms",
            self.calls,
            self.hung,
            self.late,
            GRACE.as_millis(),
            self.worst_ms
        )?;
        let ends: Vec<_> = self
            .ends
            .iter()
            .map(|(end, count)| format!("{count} {end}"))
            .collect();
        f.write_str(&ends.join("; "))
    }
}

/// Splitmix64, so that every run has the same mix.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
