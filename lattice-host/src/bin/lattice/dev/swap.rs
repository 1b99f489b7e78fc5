//! Puts an app into service: the new version of a component serves before the old one goes.

use crate::failure::Failure;
use futures_util::StreamExt as _;
use lattice_core::{
    Lattice,
    agent::{Agent, AgentState},
    app::{App, Applied, ApplyError, LinkManifest, Plan, PlanError, ProblemKind, Problems},
    desired::{Desired, Replicas},
    name::ComponentId,
    place::plan::Phase,
    store::Revision,
};
use lattice_host::Host;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a start may take before it is reported as slow. A component in Python or JavaScript is
/// compiled for some seconds, and for a minute on a small and busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a component may fail, or run nowhere, until that is the result. Right after an app was
/// applied, the state of the host may still be the one of before.
const FAILS: Duration = Duration::from_secs(2);
/// How often the state is looked at if nothing is reported.
const LOOK: Duration = Duration::from_millis(100);

/// Applies an app that was checked, and waits until all of it serves on this host.
///
/// # Errors
/// Fails when the app is refused, and then nothing has changed, or when a part of it doesn't start.
/// Then the version before goes on.
///
/// # Cancel safety
/// Dropping the future may leave the app applied or not.
pub(super) async fn swap(lattice: &Lattice, host: &Host, app: &App) -> Result<Plan, Failure> {
    match lattice.apply(app).await {
        Err(ApplyError::Plan(PlanError::Problems(problems))) if are_about_types(&problems) => {
            // The types are those of the versions that serve. The links may fit the new ones.
            let first = components_first(lattice, app);
            let before = carry_out(lattice, host, &first, lattice.apply(&first).await?).await?;
            let mut plan = carry_out(lattice, host, app, lattice.apply(app).await?).await?;
            plan.create.extend(before.create);
            plan.change.extend(before.change);
            plan.delete.extend(before.delete);
            Ok(plan)
        }
        applied => carry_out(lattice, host, app, applied?).await,
    }
}

/// Waits until what was applied serves.
async fn carry_out(
    lattice: &Lattice,
    host: &Host,
    app: &App,
    applied: Applied,
) -> Result<Plan, Failure> {
    let (Some(revision), Some(agent)) = (applied.revision, host.agent()) else {
        return Ok(applied.plan);
    };
    let served = until_served(lattice, &agent, app, revision);
    match timeout(PATIENCE, served).await {
        Ok(served) => served.map(|()| applied.plan),
        Err(_) => Err(Failure::Failed(format!(
            "not all of it serves after {PATIENCE:?}; it goes on starting, and the version before serves until then"
        ))),
    }
}

/// Whether all that is wrong is that links don't fit the types of their components.
fn are_about_types(problems: &Problems) -> bool {
    let mut all = problems.iter();
    all.all(|problem| matches!(problem.kind, ProblemKind::LinkMismatch(_)))
}

/// Returns the app with the links that it has now, between components that it still has.
fn components_first(lattice: &Lattice, app: &App) -> App {
    let (manifest, desired) = (app.manifest(), lattice.desired());
    let is_there = |id: &ComponentId| {
        manifest.actors.contains_key(id)
            || manifest.providers.contains_key(id)
            || manifest.external.contains(id)
    };
    let links = lattice.links().list();
    let own = links
        .iter()
        .filter(|entry| desired.link_owner(&entry.key) == Some(&manifest.name))
        .map(|entry| &entry.link)
        .filter(|link| is_there(&link.source) && is_there(&link.target));
    let own = own.map(|link| LinkManifest {
        from: link.source.clone(),
        to: link.target.clone(),
        interface: link.interface.clone(),
        name: link.name.clone(),
        config: serde_json::from_str(&link.config).unwrap_or_default(),
        locality: link.locality,
        idempotent: link.idempotent.clone(),
    });
    app.clone().with_links(own.collect())
}

async fn until_served(
    lattice: &Lattice,
    agent: &Agent,
    app: &App,
    revision: Revision,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut states = agent.watch();
    loop {
        if lattice.replica().health().revision >= revision {
            let (desired, state) = (lattice.desired(), agent.state());
            match standing(&desired, &state, app) {
                Standing::Serves => return Ok(()),
                Standing::Fails(reason) if begun.elapsed() > FAILS => {
                    return Err(Failure::Failed(reason));
                }
                Standing::Fails(_) | Standing::Starts => {}
            }
        }
        // A component may also be rolled back, which the agent's state doesn't show.
        let _ = timeout(LOOK, states.next()).await;
    }
}

/// How far an app is.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Serves,
    Starts,
    /// A part of it does not start, for this reason.
    Fails(String),
}

fn standing(desired: &Desired, state: &AgentState, app: &App) -> Standing {
    let manifest = app.manifest();
    let actors = manifest.actors.iter();
    let actors = actors.map(|(id, actor)| (id, actor.replicas));
    let providers = manifest.providers.iter();
    let providers = providers.map(|(id, provider)| (id, provider.replicas));
    let all = actors.chain(providers);
    let wanted = all.filter(|(_, replicas)| *replicas != Some(Replicas::Exactly(0)));
    let mut standing = Standing::Serves;
    for (id, _) in wanted {
        match of_component(desired, state, id) {
            Standing::Serves => {}
            Standing::Starts => standing = Standing::Starts,
            fails @ Standing::Fails(_) => return fails,
        }
    }
    standing
}

fn of_component(desired: &Desired, state: &AgentState, id: &ComponentId) -> Standing {
    let actor = desired.actors.get(id);
    let provider = desired.providers.get(id);
    let generation = match (actor, provider) {
        (Some(actor), _) => desired.actor_generation(&actor.spec),
        (None, Some(provider)) => desired.provider_generation(&provider.spec),
        (None, None) => return Standing::Starts,
    };
    let Some(component) = state.components.get(id) else {
        return Standing::Fails(format!(
            "`{id}` may not run on this host; a host of `lattice dev` has no labels, so leave `require` out for it"
        ));
    };
    let mut counts = component.status.replica_counts.iter();
    if counts.any(|count| count.generation == generation && count.serving > 0) {
        return Standing::Serves;
    }
    let reason = component.reason.as_deref().unwrap_or("it doesn't say why");
    if actor.is_some_and(|actor| desired.is_rolled_back(id, &actor.spec)) {
        return Standing::Fails(format!(
            "`{id}` does not start, and the version before goes on: {reason}"
        ));
    }
    match component.status.phase {
        Phase::CrashLooping { .. } => Standing::Fails(format!(
            "`{id}` does not start, and is tried again: {reason}"
        )),
        _ => Standing::Starts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETER: &str = r#"(component
        (core module $m (func (export "f") (result i32) i32.const 1))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance (export "a:b/c@1.0.0") (export "f" (func $f))))"#;

    async fn host() -> (Lattice, Host) {
        let lattice = Lattice::in_memory("dev").await.expect("a lattice");
        let host = Host::builder(&lattice).start().await.expect("a host");
        (lattice, host)
    }

    #[tokio::test]
    async fn an_app_serves_when_this_returns_and_again_after_a_change() {
        let (lattice, host) = host().await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("app.toml");
        let call = async || {
            let operator = lattice.operator();
            let called = operator.call("c", "a:b/c@1.0.0", "f", ()).await;
            let value: u32 = called.expect("it serves");
            value
        };
        for value in [1, 2] {
            let code = GREETER.replace("i32.const 1", &format!("i32.const {value}"));
            let code = wat::parse_str(code).expect("a component");
            std::fs::write(folder.path().join("c.wasm"), code).expect("written");
            let text = "name = \"shop\"\nactors.c.image = \"file:c.wasm\"\n";
            let app = App::from_toml(&file, text).expect("valid");
            let plan = swap(&lattice, &host, &app).await.expect("it serves");
            assert!(!plan.is_empty());
            assert_eq!(call().await, value);
            assert!(
                swap(&lattice, &host, &app)
                    .await
                    .expect("it serves")
                    .is_empty()
            );
        }
    }

    /// The types that are known are those of the version that serves.
    #[tokio::test]
    async fn an_interface_and_the_links_for_it_change_at_once() {
        let (lattice, host) = host().await;
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["1.0.0", "2.0.0"] {
            let code = wat::parse_str(GREETER.replace("1.0.0", version)).expect("a component");
            std::fs::write(folder.path().join("c.wasm"), code).expect("written");
            let text = format!(
                "name = \"shop\"\nexternal = [\"web\"]\nactors.c.image = \"file:c.wasm\"\n[[links]]\nfrom = \"web\"\nto = \"c\"\ninterface = \"a:b/c@{version}\"\n"
            );
            let app = App::from_toml(folder.path().join("app.toml"), &text).expect("valid");
            swap(&lattice, &host, &app).await.expect("it serves");
            let web = lattice.caller("web").expect("an id");
            let called = web.call(&*format!("a:b/c@{version}"), "f", ()).await;
            let value: u32 = called.expect("it is linked");
            assert_eq!(value, 1);
        }
        assert_eq!(lattice.links().list().len(), 1);
        // A link that no version fits is still refused.
        let text = "name = \"shop\"\nexternal = [\"web\"]\nactors.c.image = \"file:c.wasm\"\n[[links]]\nfrom = \"web\"\nto = \"c\"\ninterface = \"a:b/d@1.0.0\"\n";
        let app = App::from_toml(folder.path().join("app.toml"), text).expect("valid");
        let error = swap(&lattice, &host, &app)
            .await
            .expect_err("it doesn't fit");
        assert!(error.to_string().contains("app.toml:"), "{error}");
    }

    #[tokio::test]
    async fn a_component_that_may_not_run_here_is_named() {
        let (lattice, host) = host().await;
        let text = "name = \"shop\"\nproviders.kv = { builtin = \"keyvalue-memory\", require = { zone = \"a\" } }\n";
        let app = App::from_toml("app.toml", text).expect("valid");
        let error = swap(&lattice, &host, &app).await.expect_err("nowhere");
        assert!(error.to_string().contains("`kv` may not run"), "{error}");
    }
}
