//! What a host writes to the standard input of a process, line by line in JSON.
//!
//! The first line is the order. Only a provider that runs once gets more lines: each renewal of its
//! lease, and the request to stop, for which the standard input stays open so that the lease can be
//! renewed meanwhile.

use crate::{access::Access, provider::Refusal};
use lattice_core::{
    Invitation,
    id::Fence,
    name::{ComponentId, HostId},
    serve::{LeaseDeadline, LeaseLeft},
    server::ServeLimits,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    time::{Duration, SystemTime},
};
use zeroize::{Zeroize as _, Zeroizing};

/// The newest version of the first line. A process refuses later ones.
const VERSION: u32 = 2;
/// The version of an order without a lease, which older programs read.
const WITHOUT_LEASE: u32 = 1;

/// What a host tells the process of a provider that it starts.
#[doc(hidden)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Order {
    version: u32,
    /// The component to serve.
    pub(super) component: ComponentId,
    /// The id of the process as a node.
    pub(super) node: HostId,
    /// The text of an [`Invitation`].
    pub(super) invitation: String,
    pub(super) settings: BTreeMap<String, String>,
    /// What the settings may name.
    #[serde(default)]
    pub(super) access: Access,
    concurrent: NonZeroUsize,
    queued: usize,
    result: u64,
    /// The lease under which the process serves, if the provider runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<OrderLease>,
    /// How often the process says that it is alive, in milliseconds. An older host doesn't ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alive_ms: Option<NonZeroU64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct OrderLease {
    fence: NonZeroU64,
    until: Until,
}

/// A line after the first one.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The lease was renewed, or has ended.
    Lease(Until),
    /// The process should stop.
    Stop,
}

/// The end of a lease, by clocks that all processes of a machine share, in milliseconds.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Until {
    /// By the clock that starts with the machine, and keeps running while it sleeps.
    boot_ms: u64,
    /// By the wall clock, since 1970.
    wall_ms: u64,
}

impl Order {
    /// Has a process serve this component as this node.
    pub fn new(component: ComponentId, node: HostId, invitation: &Invitation) -> Self {
        let limits = ServeLimits::default();
        Self {
            version: WITHOUT_LEASE,
            component,
            node,
            invitation: invitation.expose_text().to_string(),
            settings: BTreeMap::new(),
            access: Access::none(),
            concurrent: limits.concurrent,
            queued: limits.queued,
            result: limits.result.as_u64(),
            lease: None,
            alive_ms: None,
        }
    }

    /// Sets the provider's settings.
    pub fn settings(mut self, settings: BTreeMap<String, String>) -> Self {
        self.settings = settings;
        self
    }

    /// Sets what of the machine the settings may name. Nothing by default.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets the limits on its calls.
    pub fn limits(mut self, limits: &ServeLimits) -> Self {
        self.concurrent = limits.concurrent;
        self.queued = limits.queued;
        self.result = limits.result.as_u64();
        self
    }

    /// Has the process say that it is alive, once in this time. Older programs don't.
    pub fn alive_every(mut self, time: Duration) -> Self {
        self.alive_ms = NonZeroU64::new(millis(time));
        self
    }

    /// Sets the lease under which the process serves, as it is now.
    pub fn under(&mut self, fence: Fence, until: &LeaseDeadline) {
        let number = NonZeroU64::new(Fence::number(Some(fence)));
        self.lease = number.map(|fence| OrderLease {
            fence,
            until: Until::of(until),
        });
        self.version = VERSION;
    }

    /// Returns the line for the process. It has the secrets of the lattice in it.
    pub fn line(&self) -> Zeroizing<String> {
        // A struct of texts and numbers always encodes.
        let mut line = Zeroizing::new(serde_json::to_string(self).unwrap_or_default());
        line.push('\n');
        line
    }

    pub(super) fn read(line: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // No error repeats the line, which has secrets in it.
        let unreadable = || {
            Refusal::new(
                "the first line of the standard input isn't a host's order: this program is a provider, which a host starts; name it as the `image` of a provider in a manifest",
            )
        };
        let Version { version } = serde_json::from_str(line).map_err(|_| unreadable())?;
        if !(WITHOUT_LEASE..=VERSION).contains(&version) {
            return Err(Refusal::new(format!(
                "the host's order has version {version} and this program knows {VERSION}; build both with the same version of Lattice"
            )));
        }
        serde_json::from_str(line).map_err(|_| unreadable())
    }

    pub(super) fn serve_limits(&self) -> ServeLimits {
        ServeLimits::default()
            .concurrent(self.concurrent)
            .queued(self.queued)
            .result(lattice_core::quantity::ByteSize::bytes(self.result))
    }

    /// Returns how often the process says that it is alive, if its host asks for that.
    pub(super) fn says_alive_every(&self) -> Option<Duration> {
        let millis = self.alive_ms?;
        Some(Duration::from_millis(millis.get()))
    }

    /// Returns the fence of the lease, and until when it is held, if the provider runs once.
    pub(super) fn lease(&self) -> Option<(Fence, Until)> {
        let OrderLease { fence, until } = self.lease?;
        Some((Fence::new(fence.get())?, until))
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        self.invitation.zeroize();
    }
}

impl Notice {
    /// Returns the notice of a lease as it is now.
    pub fn lease(until: &LeaseDeadline) -> Self {
        Self::Lease(Until::of(until))
    }

    /// Returns the line for the process.
    pub fn line(self) -> String {
        // An enum of numbers always encodes.
        let mut line = serde_json::to_string(&self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Reads a line. Returns `None` for one that this version doesn't know.
    pub(super) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl Until {
    fn of(until: &LeaseDeadline) -> Self {
        let left = until.left();
        Self {
            boot_ms: boot_ms().saturating_add(millis(left.asleep_too)),
            wall_ms: wall_ms().saturating_add(millis(left.wall)),
        }
    }

    /// Returns how long that is from now on.
    pub(super) fn left(self) -> LeaseLeft {
        let left = |end: u64, now: u64| Duration::from_millis(end.saturating_sub(now));
        LeaseLeft {
            asleep_too: left(self.boot_ms, boot_ms()),
            wall: left(self.wall_ms, wall_ms()),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, millis)
}

#[cfg(unix)]
fn boot_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds
        .saturating_mul(1_000)
        .saturating_add(nanos / 1_000_000)
}

/// Where processes share no other clock.
#[cfg(not(unix))]
fn boot_ms() -> u64 {
    wall_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_an_order_is_refused_without_being_repeated() {
        for (line, expected) in [
            ("", "isn't a host's order"),
            ("hunter2\n", "isn't a host's order"),
            (
                r#"{"version":1,"invitation":"hunter2"}"#,
                "isn't a host's order",
            ),
            (r#"{"version":3,"invitation":"hunter2"}"#, "has version 3"),
            (r#"{"version":0,"invitation":"hunter2"}"#, "has version 0"),
        ] {
            let refusal = Order::read(line).err().expect("refused");
            assert!(refusal.reason().contains(expected), "{refusal}");
            assert!(!refusal.reason().contains("hunter2"), "{refusal}");
        }
    }

    fn held_for(time: Duration) -> LeaseDeadline {
        let until = LeaseDeadline::expired();
        until.hold_for(LeaseLeft {
            asleep_too: time,
            wall: time,
        });
        until
    }

    #[test]
    fn the_end_of_a_lease_is_the_same_for_all_processes_of_a_machine() {
        let here = held_for(Duration::from_secs(60));
        let Some(Notice::Lease(read)) = Notice::read(&Notice::lease(&here).line()) else {
            panic!("it is a lease");
        };
        let left = read.left();
        for left in [left.asleep_too, left.wall] {
            let expected = Duration::from_secs(50)..=Duration::from_secs(60);
            assert!(expected.contains(&left), "{left:?}");
        }
        here.hold_for(LeaseLeft {
            asleep_too: Duration::ZERO,
            wall: Duration::ZERO,
        });
        assert_eq!(Until::of(&here).left().asleep_too, Duration::ZERO);
    }

    #[test]
    fn a_process_says_that_it_is_alive_only_if_the_order_asks_for_that() {
        let (component, node) = (ComponentId::new("kv"), HostId::new("a"));
        let order = Order {
            version: WITHOUT_LEASE,
            component: component.expect("an id"),
            node: node.expect("an id"),
            invitation: String::new(),
            settings: BTreeMap::new(),
            access: Access::none(),
            concurrent: NonZeroUsize::MIN,
            queued: 0,
            result: 1,
            lease: None,
            alive_ms: None,
        };
        let every = |line: &str| {
            let read = Order::read(line).expect("an order");
            read.says_alive_every()
        };
        let line = order.line();
        assert!(!line.contains("alive"), "as older hosts write it");
        assert_eq!(every(&line), None);
        let line = order.alive_every(Duration::from_secs(3)).line();
        assert!(line.contains("\"alive-ms\":3000"), "as it is documented");
        assert_eq!(every(&line), Some(Duration::from_secs(3)));
    }

    #[test]
    fn notices_are_golden_and_other_lines_are_none() {
        let until = Until {
            boot_ms: 7,
            wall_ms: 8,
        };
        let line = "{\"lease\":{\"boot-ms\":7,\"wall-ms\":8}}\n";
        assert_eq!(Notice::Lease(until).line(), line);
        assert_eq!(Notice::read(line), Some(Notice::Lease(until)));
        assert_eq!(Notice::Stop.line(), "\"stop\"\n");
        assert_eq!(Notice::read("\"stop\"\n"), Some(Notice::Stop));
        for other in ["", "\n", "\"later\"\n", "{}\n", "{\"lease\":7}\n"] {
            assert_eq!(Notice::read(other), None, "{other}");
        }
    }
}
