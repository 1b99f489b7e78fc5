//! `lattice watch`.

use crate::{
    failure::Failure,
    options::{LatticeOptions, duration},
    output::{Colour, Paint, in_one_line, print, print_json, reader_left},
};
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use lattice_core::constellation::{
    ComponentKind, Delta, HostView, ItemChange, LinkState, Phase, StoreState, View,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

const EXAMPLES: &str = "Examples:
  lattice watch
  lattice watch -o json | jq 'select(.link)'
  lattice apply shop.toml && lattice watch --until settled --for 2m

Lines start with `+` for new things, `~` for changed ones and `-` for removed ones. As JSON, the first
object is a snapshot of everything, and each later one is a change.";

/// Longest interval between two checks of whether the lattice has settled. Views change with each
/// report.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Watch {
    /// How long to watch, such as `10s`, by default until ctrl-c. With --until, the longest time to
    /// wait
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Ends when this is the case. Fails if it isn't within the time
    #[arg(long, value_enum)]
    until: Option<Until>,
    /// How to print changes
    #[arg(short, long, value_enum, default_value_t)]
    output: ChangeFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Until {
    /// Every component serves where it should, as last declared, and nowhere else
    Settled,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ChangeFormat {
    /// A line for each change, for people
    #[default]
    Lines,
    /// One JSON object for each change, on a line of its own, including load
    Json,
}

impl Watch {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let end = self.time.map(|time| Instant::now() + time);
        let lattice = options.open().await?;
        let constellation = lattice.constellation();
        let mut changes = constellation.watch();
        let mut printer = Printer::new(self.output);
        let settled = async {
            let Some(Until::Settled) = self.until else {
                return std::future::pending().await;
            };
            constellation.settled().await;
            while unsettled(&constellation.snapshot()).is_some() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let mut settled = std::pin::pin!(settled);
        let time_is_up = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        let mut time_is_up = std::pin::pin!(time_is_up);
        let mut reader_left = std::pin::pin!(reader_left());
        loop {
            tokio::select! {
                // Known changes are printed before the command ends.
                biased;
                change = changes.next() => match change {
                    Some(change) => printer.print(change)?,
                    None => return Err(Failure::Unreachable("the connection was closed".to_owned())),
                },
                () = &mut settled => return Ok(()),
                () = &mut reader_left => return Ok(()),
                () = &mut time_is_up => break,
                heard = tokio::signal::ctrl_c() => {
                    return heard.map_err(|error| Failure::failed("can't listen for ctrl-c", &error));
                }
            }
        }
        match (self.until, unsettled(&constellation.snapshot())) {
            (Some(Until::Settled), Some(why)) => Err(Failure::Failed(format!(
                "the lattice has not settled in time: {why}; `lattice explain component` explains why"
            ))),
            _ => Ok(()),
        }
    }
}

/// Returns why the lattice has not settled, or `None` if it has.
fn unsettled(view: &View) -> Option<String> {
    if view.store.state != StoreState::Following {
        return Some("the store can't be reached".to_owned());
    }
    if let Some(record) = view.unreadable.values().next() {
        return Some(format!("`{}` can't be read", record.key));
    }
    let assignment = view.assignment();
    for component in view.components.values() {
        let id = &component.id;
        if component.kind == ComponentKind::ByHand {
            continue;
        }
        if component.is_rolled_back {
            let why = component.rollback_reason.as_deref();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("the new version of `{id}` failed to start{why}"));
        }
        if assignment.unplaced(id).is_some() {
            return Some(format!("no host may run `{id}`"));
        }
        let mut assigned = 0;
        for (host, _) in assignment.hosts(id) {
            assigned += 1;
            let mut there = view.replicas_of(id).filter(|replica| replica.host == *host);
            if there
                .next()
                .is_none_or(|replica| replica.phase != Phase::Serving)
            {
                return Some(format!("`{id}` does not serve on `{host}`"));
            }
            let load = view.hosts.get(host).and_then(|host| host.load.as_ref());
            let seen = load.map(|load| (load.incarnation, load.revision));
            let declared = component
                .revision
                .map(|revision| (view.store.incarnation, revision));
            if seen < declared {
                return Some(format!(
                    "`{host}` has not seen the last declaration of `{id}`"
                ));
            }
        }
        if view.replicas_of(id).count() > assigned {
            return Some(format!("`{id}` is on more hosts than it should be"));
        }
    }
    None
}

/// Prints changes.
struct Printer {
    format: ChangeFormat,
    paint: Paint,
    /// The current view, to find what a new snapshot changes.
    view: View,
    /// The last line for each thing. Lines don't contain load, because it changes constantly.
    lines: HashMap<String, String>,
}

impl Printer {
    fn new(format: ChangeFormat) -> Self {
        Self {
            format,
            paint: Paint::for_stdout(),
            view: View::default(),
            lines: HashMap::new(),
        }
    }

    fn print(&mut self, delta: Delta) -> Result<(), Failure> {
        match self.format {
            ChangeFormat::Json => {
                let text = serde_json::to_string(&delta)
                    .map_err(|error| Failure::failed("a change can't be printed", &error))?;
                print_json(&text)
            }
            ChangeFormat::Lines => print(&self.lines(delta)),
        }
    }

    fn lines(&mut self, delta: Delta) -> String {
        let deltas = match &delta {
            Delta::Snapshot(newer) => self.view.diff(newer),
            other => vec![other.clone()],
        };
        self.view.apply(delta);
        deltas.iter().map(|delta| self.line(delta)).collect()
    }

    fn line(&mut self, delta: &Delta) -> String {
        let (thing, is_there, detail) = describe(delta);
        let (sign, colour) = match (self.lines.get(&thing), is_there) {
            (None, true) => ("+", Colour::Green),
            (Some(before), true) if *before != detail => ("~", Colour::Yellow),
            (Some(_), false) => ("-", Colour::Red),
            _ => return String::new(),
        };
        let line = in_one_line(&format!("{sign} {thing} {detail}"));
        if is_there {
            self.lines.insert(thing, detail);
        } else {
            self.lines.remove(&thing);
        }
        format!("{}\n", self.paint.paint(colour, line.trim_end()))
    }
}

/// Returns which thing changed, whether it exists, and the details that are shown.
fn describe(delta: &Delta) -> (String, bool, String) {
    match delta {
        Delta::Store(store) => (
            "store".to_owned(),
            true,
            store_state(store.state).to_owned(),
        ),
        Delta::Component(change) => about(change, "component", |it| {
            let kind = match it.kind {
                ComponentKind::Actor => "actor",
                ComponentKind::Provider => "provider",
                ComponentKind::ByHand => "by hand",
                _ => "of a newer kind",
            };
            let rolled_back = if it.is_rolled_back {
                ", rolled back"
            } else {
                ""
            };
            let image = it.image.as_deref().unwrap_or_default();
            (it.id.to_string(), format!("{kind}{rolled_back} {image}"))
        }),
        Delta::Link(change) => about(change, "link", |it| {
            let reason = it.reason.as_deref().unwrap_or_default();
            let state = match it.state {
                LinkState::Rejected => format!("rejected: {reason}"),
                state => state.to_string(),
            };
            (it.key.to_string(), format!("to {} {state}", it.target))
        }),
        Delta::Wormhole(change) => about(change, "wormhole", |it| {
            let host = it.host.as_deref().unwrap_or("*");
            (
                it.id.to_string(),
                format!("{host}{} to {}, {:?}", it.path, it.actor, it.state).to_lowercase(),
            )
        }),
        Delta::App(change) => about(change, "app", |it| {
            let version = it.version.as_deref().unwrap_or_default();
            (
                it.name.to_string(),
                format!("{version} owns {}", it.owns.len())
                    .trim()
                    .to_owned(),
            )
        }),
        Delta::Unreadable(change) => about(change, "unreadable", |it| {
            (it.key.to_string(), it.reason.clone())
        }),
        Delta::Host(change) => about(change, "host", |it| (it.id.to_string(), host(it))),
        Delta::LostHost(change) => about(change, "lost host", |it| {
            let detail = "fell silent without a goodbye";
            (it.host.id.to_string(), detail.to_owned())
        }),
        Delta::Replica(change) => about(change, "replica", |it| {
            let reason = it.reason.iter().map(|reason| format!(": {reason}"));
            (
                format!("{} on {}", it.component, it.host),
                format!("{}{}", it.phase, reason.collect::<String>()),
            )
        }),
        // A kind of a newer version. The JSON output shows it.
        _ => ("something".to_owned(), true, "changed".to_owned()),
    }
}

fn store_state(state: StoreState) -> &'static str {
    match state {
        StoreState::Following => "is followed",
        StoreState::Lost => "can't be reached",
        StoreState::Snapshot => "is known from an earlier process",
        StoreState::Replaced => "came back as another one",
        StoreState::WentBack => "came back as an older one",
        StoreState::OtherKey => "was written with another key",
        _ => "is closed",
    }
}

fn host(host: &HostView) -> String {
    let labels = host
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let mut detail: Vec<String> = labels.collect();
    if host.is_leaving {
        detail.push("leaving".to_owned());
    }
    if host.is_apart {
        detail.push("apart".to_owned());
    }
    if host.rival.is_some() {
        detail.push("another host has its id".to_owned());
    }
    detail.join(" ")
}

fn about<V>(
    change: &ItemChange<V>,
    kind: &str,
    describe: impl Fn(&V) -> (String, String),
) -> (String, bool, String) {
    let thing: &Arc<V> = change.thing();
    let (name, detail) = describe(thing);
    let is_there = matches!(change, ItemChange::Is(_));
    (format!("{kind} {name}"), is_there, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::{Lattice, app::App, link::Link};

    fn printer() -> Printer {
        Printer {
            paint: Paint::Plain,
            ..Printer::new(ChangeFormat::Lines)
        }
    }

    #[tokio::test]
    async fn lines_show_added_changed_and_removed_things_without_load() {
        let lattice = Lattice::in_memory("dev").await.expect("in memory");
        let constellation = lattice.constellation();
        let mut changes = constellation.watch();
        let mut printer = printer();
        let link = Link::new("desk", "a:b/c@1.0.0", "greeter").expect("a link");
        let key = lattice
            .links()
            .put(link.clone())
            .await
            .expect("links")
            .key
            .clone();
        let mut text = String::new();
        while !text.contains("+ link ") {
            text += &printer.lines(changes.next().await.expect("a change"));
        }
        let there = constellation.snapshot();
        assert_eq!(printer.lines(Delta::Snapshot(there)), "", "nothing is new");
        lattice.links().delete(&key).await.expect("deletes");
        let mut text = String::new();
        while !text.contains("- link ") {
            text += &printer.lines(changes.next().await.expect("a change"));
        }
        assert!(text.contains("to greeter pending"), "{text}");
    }

    #[tokio::test]
    async fn a_component_that_no_host_may_run_is_not_settled() {
        let lattice = Lattice::in_memory("dev").await.expect("in memory");
        let view = lattice.constellation().settled().await;
        assert_eq!(unsettled(&view), None, "nothing is declared");
        let manifest = "name = \"shop\"\n[actors.greeter]\nimage = \"oci:ghcr.io/shop/greeter@sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n";
        let app = App::from_toml("shop.toml", manifest).expect("a manifest");
        lattice.apply(&app).await.expect("applies");
        let constellation = lattice.constellation();
        let mut changes = constellation.watch();
        while constellation.snapshot().components.is_empty() {
            changes.next().await;
        }
        let why = unsettled(&constellation.snapshot()).expect("is not");
        assert_eq!(why, "no host may run `greeter`");
    }
}
