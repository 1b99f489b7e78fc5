//! Schedules: `lattice:schedule@0.1.0`. Actors are called at times.
//!
//! A link from the provider to an actor, through `lattice:schedule/handler`, says when in its
//! config, which is [`Ticks`]: `{"cron": "*/5 * * * *"}`, or `{"every": "30s", "jitter": "5s"}`.
//!
//! ```
//! use lattice_provider_sdk::{Call, Lattice, Link, Stateless, serve};
//! use lattice_providers::schedule::Schedule;
//! use tokio::sync::mpsc;
//!
//! // An actor that is called. Here it is native; guests export the same interface.
//! mod cleaner {
//!     lattice_provider_sdk::provider!({ inline: "
//!         package example:cleaner;
//!         world cleaner { export lattice:schedule/handler@0.1.0; }
//!     " });
//! }
//! use cleaner::lattice::schedule::handler::{Handler, Tick};
//!
//! struct Cleaner(mpsc::Sender<u64>);
//! impl Stateless for Cleaner { type World = cleaner::World; }
//! impl Handler for Cleaner {
//!     async fn on_tick(&self, _: &Call<Self>, tick: Tick) -> Result<(), String> {
//!         self.0.send(tick.due).await.map_err(|error| error.to_string())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lattice = Lattice::in_memory("dev").await?;
//! let (sender, mut ticks) = mpsc::channel(8);
//! let _schedule = serve(&lattice, "schedule", Schedule::new()).await?;
//! let _cleaner = serve(&lattice, "cleaner", Cleaner(sender)).await?;
//! let link = Link::new("schedule", "lattice:schedule/handler@0.1.0", "cleaner")?;
//! lattice.links().put(link.config(&serde_json::json!({ "every": "1s" }))?).await?;
//! assert!(ticks.recv().await.is_some_and(|due| due % 1_000 == 0));
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//! * Each tick is run once in the lattice, by one of the replicas of the provider. Which one is
//!   decided by the store, tick by tick (a [series](lattice_core::series)). There is no leader, so
//!   a replica that is killed, paused or cut off takes no later tick from the others.
//! * A tick is lost when the host of the replica that has taken it is killed before the actor was
//!   called, or while it was. It isn't run again, because nothing shows whether the actor has run.
//!   The next tick is run by another replica. The same holds for a call that may have run.
//! * A handler that returns an error, or traps, is called again if `attempts` says so, until the
//!   next tick is due. While no host can take the call, it waits, as long.
//! * A tick that can't begin within 30 s is skipped; with `catch-up` `once`, the latest one of
//!   those that were missed begins as soon as it can. The first tick of a link is the first one
//!   after the provider has seen it.
//! * Replicas of the provider may run ticks of a link at the same time, if a handler takes longer
//!   than the time between two of them.
//! * The hosts' clocks decide when a tick is due. A host whose clock is fast runs ticks early, for
//!   all of them. When a clock was set back, ticks whose time comes again aren't run a second time;
//!   the provider's health says how long that lasts.
//! * A trace starts with each tick. Its span has the calls of the actor in it, and failures after
//!   which there is another call as events.
//! * Not fenced: a replica that is paused after it has taken a tick calls the actor late.

mod plan;
mod runner;
mod utc;

use crate::{Builtin, outgoing::Outgoing, period::Period};
use lattice_core::name::InterfaceName;
use lattice_provider_sdk::{Instance, Refusal, Stateless};
use runner::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

pub(crate) mod bindings {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:schedule-provider;
        world schedule { import lattice:schedule/handler@0.1.0; }
    " });
}

/// The interface of those who are called.
pub const HANDLER: &str = "lattice:schedule/handler@0.1.0";

/// Returns the providers of this module that manifests can name.
pub(crate) fn builtins() -> Vec<Builtin> {
    vec![Builtin::new("schedule", |(): ()| Schedule::new())]
}

/// The config of a link from `schedule` to an actor: when it is called, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ticks {
    /// A cron expression of five fields, or of six with seconds first. In UTC.
    #[serde(default)]
    pub cron: Option<String>,
    /// In place of `cron`: the time between two ticks, from `1s`. They are multiples of it since
    /// 1970-01-01T00:00:00Z.
    #[serde(default)]
    pub every: Option<Period>,
    /// The time zone of `cron`: `UTC`, which is the default and the only one.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Delays each tick by a random part of this time, at most an hour. None by default.
    #[serde(default)]
    pub jitter: Option<Period>,
    /// What becomes of ticks that could not begin in time. `skip` by default.
    #[serde(default)]
    #[schemars(with = "String", extend("enum" = ["skip", "once"]))]
    pub catch_up: CatchUp,
    /// How often the handler is called for one tick while it fails. 1 by default.
    #[serde(default = "one")]
    pub attempts: u32,
    /// How long the handler may take. `30s` by default.
    #[serde(default = "half_a_minute")]
    pub timeout: Period,
}

/// What becomes of ticks that could not begin in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// They are skipped.
    #[default]
    Skip,
    /// The latest one is run.
    Once,
}

fn one() -> u32 {
    1
}

fn half_a_minute() -> Period {
    Period::seconds(30)
}

/// The provider; see the [module](self).
#[derive(Debug, Default)]
pub struct Schedule {
    clock: Clock,
    running: Mutex<Option<Arc<Running>>>,
}

#[derive(Debug)]
struct Running {
    instance: Instance,
    outgoing: Outgoing,
}

impl Schedule {
    /// Creates the provider, with the clock of the system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses another clock, for tests and simulations.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(now);
        self
    }

    fn running(&self) -> Option<Arc<Running>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.clone()
    }
}

impl Stateless for Schedule {
    type World = bindings::World;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*running {
            return Err(Refusal::new(format!(
                "this provider is served as `{}` already; make another one",
                before.instance.id()
            )));
        }
        let interface = InterfaceName::new(HANDLER)?;
        let (clock, own) = (self.clock.clone(), instance.clone());
        let run = move |link, ticks: Ticks| runner::run(own.clone(), clock.clone(), link, ticks);
        *running = Some(Arc::new(Running {
            instance: instance.clone(),
            outgoing: Outgoing::follow(instance, interface, run),
        }));
        Ok(())
    }

    async fn stop(&self) {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.take()
        };
        if let Some(running) = running {
            running.outgoing.stop().await;
        }
    }

    async fn health(&self) -> Result<(), Refusal> {
        self.running()
            .map_or(Ok(()), |running| running.outgoing.health())
    }

    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        let handler = InterfaceName::new(HANDLER).ok()?;
        let is_handler = interface.compat() == handler.compat();
        is_handler.then(|| serde_json::to_string(&schemars::schema_for!(Ticks)).ok())?
    }
}
