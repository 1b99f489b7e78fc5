//! The desired state of a [`Scenario`](super::Scenario), and its edits.

use super::{
    bug::InjectedBug,
    history::History,
    host::RunningHost,
    schedule::HostIndex,
    work::{EVERYWHERE, GREETER, LEDGER, guest, id, links, undeclared},
    world::Sim,
};
use lattice_core::{
    app::{App, ApplyError},
    desired::{Desired, Replicas},
    link::Link,
    links::DeleteError,
    sync::Mutex,
};
use std::sync::{Arc, MutexGuard};
use tokio::task::JoinHandle;

/// The version that is applied in the end.
const LAST: Version = Version {
    image: Image::Last,
    greeters: 2,
};

/// The image of the greeter, and its number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    image: Image,
    greeters: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    Good(u8),
    Broken(u8),
    Last,
}

/// The outcome of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Nothing,
    Unsure,
}

/// Makes edits, one after the other.
pub(super) struct Edits {
    history: History,
    /// The versions that may be applied now: the last one known to be written, and those since.
    possible: Arc<Mutex<Possible>>,
    under_way: Option<(HostIndex, JoinHandle<()>)>,
}

#[derive(Default)]
struct Possible {
    versions: Vec<Version>,
    has_begun: bool,
    why: String,
}

impl Version {
    fn image(self) -> String {
        let tag = match self.image {
            Image::Good(number) => format!("good-{number}"),
            Image::Broken(number) => format!("broken-{number}"),
            Image::Last => "last".to_owned(),
        };
        format!("reg.example/greeter:{tag}")
    }

    fn app(self) -> App {
        let (image, greeters) = (self.image(), self.greeters);
        let text = format!(
            "name = \"sim\"\n\
             [actors.{GREETER}]\nimage = \"{image}\"\nreplicas = {greeters}\n\
             [actors.{EVERYWHERE}]\nimage = \"reg.example/everywhere:1\"\nreplicas = \"per-host\"\n\
             [providers.{LEDGER}]\nbuiltin = \"ledger\"\nrun = \"once\"\n"
        );
        App::from_toml("sim.toml", &text).expect("a manifest of this file")
    }

    fn is_in(self, desired: &Desired) -> bool {
        let actor = |name| desired.actors.get(&id(name)).map(|actor| &actor.spec);
        let greeter = actor(GREETER);
        let same = greeter.is_some_and(|greeter| {
            greeter.image.to_string().ends_with(&self.image())
                && greeter.placement.replicas == Replicas::Exactly(self.greeters)
        });
        same && actor(EVERYWHERE).is_some() && desired.providers.contains_key(&id(LEDGER))
    }
}

impl Edits {
    pub(super) fn new(history: History) -> Self {
        Self {
            history,
            possible: Arc::default(),
            under_way: None,
        }
    }

    /// Applies the first version, and puts all links, and some `more`.
    pub(super) fn begin(
        &mut self,
        sim: &mut Sim,
        host: HostIndex,
        bug: Option<InjectedBug>,
        more: Vec<Link>,
    ) {
        let version = Version {
            image: Image::Good(0),
            greeters: 2,
        };
        let possible = self.possible.clone();
        self.start(sim, host, async move |up| {
            let mut all = links();
            all.push(guest());
            all.extend(more);
            if bug == Some(InjectedBug::UndeclaredLink) {
                all.push(undeclared());
            }
            for link in all {
                if let Err(error) = up.lattice.links().put(link).await {
                    lock(&possible).why = error.to_string();
                    return;
                }
            }
            apply(&up, version, &possible).await;
            let mut possible = lock(&possible);
            possible.has_begun = possible.versions == [version];
        });
    }

    /// Returns whether everything is declared, or why not.
    pub(super) fn has_begun(&self) -> Result<(), String> {
        let possible = lock(&self.possible);
        if possible.has_begun {
            Ok(())
        } else {
            Err(possible.why.clone())
        }
    }

    /// Returns how many greeters should run.
    pub(super) fn greeters(&self) -> u32 {
        let possible = lock(&self.possible);
        possible.versions.last().map_or(0, |last| last.greeters)
    }

    /// Makes the edit of this number, unless one is in progress.
    pub(super) fn edit(&mut self, sim: &mut Sim, number: u8) {
        let up = |host: &HostIndex| sim.up(*host).is_some() && !sim.is_paused(*host);
        let hosts: Vec<HostIndex> = sim.hosts().filter(up).collect();
        if hosts.is_empty() || self.pending(sim).is_some() {
            return;
        }
        let host = hosts[usize::from(number / 8) % hosts.len()];
        let (image, greeters) = match number % 8 {
            0..3 => (Image::Good(number), 2),
            3 => (Image::Good(number), 1 + u32::from(number) % 4),
            4 | 5 => (Image::Broken(number), 2),
            _ => return self.link(sim, host, number.is_multiple_of(2)),
        };
        self.apply(sim, host, Version { image, greeters });
    }

    /// Applies the last version.
    pub(super) fn last(&mut self, sim: &mut Sim) {
        self.apply(sim, HostIndex(0), LAST);
    }

    pub(super) fn is_last_applied(&self) -> bool {
        lock(&self.possible).versions == [LAST]
    }

    pub(super) fn why(&self) -> String {
        lock(&self.possible).why.clone()
    }

    /// Returns the edit in progress, if any. An edit that a crash has ended isn't in progress.
    pub(super) fn pending(&self, sim: &Sim) -> Option<String> {
        let (host, task) = self.under_way.as_ref()?;
        let is_over = task.is_finished() || sim.running(*host).is_none();
        (!is_over).then(|| format!("an edit from {host} has not ended"))
    }

    /// Returns the first missing part of desired state, if there is one.
    pub(super) fn lost(&self, found: Option<&Desired>) -> Option<String> {
        let possible = lock(&self.possible);
        let Some(found) = found else {
            return Some("host h0 is not up".to_owned());
        };
        if let Some((key, refused)) = found.unreadable.first_key_value() {
            return Some(format!("`{key}` is refused: {}", refused.reason));
        }
        let versions = &possible.versions;
        let is_there = versions.iter().any(|version| version.is_in(found));
        (!is_there).then(|| {
            let greeter = found.actors.get(&id(GREETER)).map(|actor| &actor.spec);
            format!("the greeter should be one of {versions:?}, and is {greeter:?}")
        })
    }

    fn apply(&mut self, sim: &mut Sim, host: HostIndex, version: Version) {
        let possible = self.possible.clone();
        // Possible until the result of the write arrives, and permanently if it never does.
        lock(&possible).versions.push(version);
        self.start(sim, host, async move |up| {
            apply(&up, version, &possible).await;
        });
    }

    /// Puts or deletes the link of the guest.
    fn link(&mut self, sim: &mut Sim, host: HostIndex, is_wanted: bool) {
        let history = self.history.clone();
        if is_wanted {
            history.granted();
        }
        self.start(sim, host, async move |up| {
            let links = up.lattice.links();
            if is_wanted {
                if let Err(error) = links.put(guest()).await {
                    history.note(error);
                }
                return;
            }
            match links.delete(&guest().key()).await {
                Ok(()) => history.revoked(),
                // It may exist and not be visible on this host yet.
                Err(DeleteError::NotFound { .. }) => {}
                Err(error) => history.note(error),
            }
        });
    }

    fn start<F>(&mut self, sim: &mut Sim, host: HostIndex, work: impl FnOnce(RunningHost) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Ok(task) = sim.spawn(host, work) {
            self.under_way = Some((host, task));
        }
    }
}

/// Applies a version, and records what may be applied then.
async fn apply(up: &RunningHost, version: Version, possible: &Mutex<Possible>) {
    let applied = up.lattice.apply(&version.app()).await;
    let outcome = match &applied {
        Ok(_) | Err(ApplyError::NotSeen { .. }) => Outcome::Done,
        Err(ApplyError::Unknown { .. } | ApplyError::Outdated { .. }) => Outcome::Unsure,
        Err(_) => Outcome::Nothing,
    };
    let mut possible = lock(possible);
    if let Err(error) = applied {
        possible.why = error.to_string();
    }
    match outcome {
        Outcome::Done => possible.versions = vec![version],
        Outcome::Nothing => {
            if possible.versions.last() == Some(&version) {
                possible.versions.pop();
            }
        }
        Outcome::Unsure => {}
    }
}

fn lock(possible: &Mutex<Possible>) -> MutexGuard<'_, Possible> {
    possible.lock()
}
