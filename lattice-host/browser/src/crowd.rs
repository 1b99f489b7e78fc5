//! A lattice as large as the page has to be fast with.

use crate::paint::Marks;
use lattice_core::{
    Lattice,
    app::App,
    constellation::{ComponentStatus, Phase},
    link::Link,
    name::ComponentId,
    node::{Node, NodeOptions},
};
use std::{error::Error, fmt::Write as _, time::Duration};
use tokio::time::{Instant, sleep};

/// Components in all.
pub const COMPONENTS: usize = 2_000;
/// Hosts in all.
pub const HOSTS: usize = 300;
/// Apps, each with as many components.
const APPS: usize = 40;
/// The deadline of each wait.
const PATIENCE: Duration = Duration::from_mins(1);
const INTERFACE: &str = "crowd:test/api@0.1.0";

/// Why there is no such lattice.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A lattice in memory with [`COMPONENTS`] and [`HOSTS`]. Each component has a replica that is
/// starting, and a link to the next one of its app.
pub struct Crowd {
    /// The lattice.
    pub lattice: Lattice,
    _hosts: Vec<Node>,
}

impl Crowd {
    /// Makes one, and waits until all of it is in the view.
    ///
    /// # Errors
    /// Fails when it isn't there within a minute.
    pub async fn new() -> Result<Self, Failure> {
        let lattice = Lattice::in_memory("crowd").await?;
        for number in 0..APPS {
            let app = App::from_toml("app.toml", &manifest(number))?;
            lattice.apply(&app).await?;
        }
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let options = NodeOptions::default().host(format!("host-{number}"))?;
            let zone = ["eu", "us", "ap"][number % 3];
            hosts.push(lattice.node(options.label("zone", zone)).await?);
        }
        for number in 0..COMPONENTS {
            let status = ComponentStatus::new(Phase::Starting);
            let component = ComponentId::new(&component(number))?;
            hosts[number % HOSTS].set_status(&component, status);
        }
        let crowd = Self {
            lattice,
            _hosts: hosts,
        };
        crowd.seen().await?;
        Ok(crowd)
    }

    /// Makes changes at this rate per second: each adds a link that carries the next mark.
    ///
    /// # Errors
    /// Fails when a link can't be put.
    pub async fn change(&self, marks: &mut Marks, count: usize, rate: u32) -> Result<(), Failure> {
        let begun = Instant::now();
        for number in 0..count {
            let due = Duration::from_secs(1) / rate * u32::try_from(number)?;
            sleep(due.saturating_sub(begun.elapsed())).await;
            let (source, target) = (number * 7 % COMPONENTS, (number * 7 + 50) % COMPONENTS);
            let link = Link::new(component(source), INTERFACE, component(target))?;
            self.lattice.links().put(link.named(marks.mark())?).await?;
        }
        Ok(())
    }

    async fn seen(&self) -> Result<(), Failure> {
        let constellation = self.lattice.constellation();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = constellation.snapshot();
            let counts = (view.components.len(), view.hosts.len(), view.replicas.len());
            if counts == (COMPONENTS, HOSTS, COMPONENTS) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the view has {counts:?} components, hosts, replicas").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Returns the id of a component.
pub fn component(number: usize) -> String {
    format!("component-{number}")
}

/// Returns the manifest of an app.
fn manifest(app: usize) -> String {
    let size = COMPONENTS / APPS;
    let mut text = format!("name = \"app-{app}\"\n");
    let members = app * size..(app + 1) * size;
    let last = members.end - 1;
    // Writing to a text doesn't fail.
    for number in members.clone() {
        let _ = writeln!(
            text,
            "[actors.{}]\nimage = \"registry.example/crowd/{number}:1\"",
            component(number)
        );
    }
    for number in members.start..last {
        let (from, to) = (component(number), component(number + 1));
        let _ = writeln!(
            text,
            "[[links]]\nfrom = \"{from}\"\nto = \"{to}\"\ninterface = \"{INTERFACE}\""
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apps_have_all_components() {
        let mut actors = 0;
        for app in 0..APPS {
            let text = manifest(app);
            App::from_toml("app.toml", &text).expect("a manifest");
            actors += text.matches("[actors.").count();
        }
        assert_eq!(actors, COMPONENTS);
    }
}
