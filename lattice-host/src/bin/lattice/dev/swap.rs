//! Puts an app into service: the new version of a component serves before the old one goes.

use crate::failure::Failure;
use futures_util::StreamExt as _;
use lattice_core::{
    Lattice,
    agent::{Agent, AgentState},
    app::{App, Plan},
    desired::{Desired, Replicas},
    name::ComponentId,
    place::plan::Phase,
    store::Revision,
};
use lattice_host::Host;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a start may take before it is reported as slow. A component in Python or JavaScript is
/// compiled for some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
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
    let applied = lattice.apply(app).await?;
    let (Some(revision), Some(agent)) = (applied.revision, host.agent()) else {
        return Ok(applied.plan);
    };
    let served = until_served(lattice, &agent, app, revision);
    match timeout(PATIENCE, served).await {
        Ok(served) => served?,
        Err(_) => {
            return Err(Failure::Failed(format!(
                "not all of it serves after {PATIENCE:?}; it goes on starting, and the version before serves until then"
            )));
        }
    }
    Ok(applied.plan)
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
        let desired = lattice.desired();
        if desired.revision >= revision {
            let state = agent.state();
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
    use lattice_host::Host;

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

    #[tokio::test]
    async fn a_component_that_may_not_run_here_is_named() {
        let (lattice, host) = host().await;
        let text = "name = \"shop\"\nproviders.kv = { builtin = \"keyvalue-memory\", require = { zone = \"a\" } }\n";
        let app = App::from_toml("app.toml", text).expect("valid");
        let error = swap(&lattice, &host, &app).await.expect_err("nowhere");
        assert!(error.to_string().contains("`kv` may not run"), "{error}");
    }
}
