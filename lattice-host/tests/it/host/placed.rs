//! Components that desired state assigns to hosts.

use super::{
    flow::{Flow, TROUBLE},
    support::*,
};
use crate::wait::until;
use bytes::Bytes;
use lattice_core::{Drained, Lattice, app::App, name::ComponentId, stream::Handles};
use lattice_host::Host;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Returns an app with `mischief`, whose image is the compiled file.
fn app(more: &str) -> App {
    let text = format!(
        "name = \"test\"\n[actors.mischief]\nimage = \"file:{}\"\n{more}",
        path("mischief").display()
    );
    App::from_toml("app.toml", &text).expect("a manifest")
}

fn serving(lattice: &Lattice, component: &str) -> Vec<String> {
    let id = ComponentId::new(component).expect("an id");
    let peers = lattice.peers();
    let serves = peers
        .iter()
        .filter(|peer| peer.components.contains_key(&id));
    serves.map(|peer| peer.origin.host.to_string()).collect()
}

#[tokio::test]
async fn an_applied_actor_runs_and_is_replaced_when_its_host_is_killed() {
    let lattice = lattice().await;
    let mut hosts = Vec::new();
    for id in ["a", "b", "c"] {
        hosts.push(started(Host::builder(&lattice).id(id)).await);
    }
    let app = app("replicas = 2\nlimits = { cpu = \"100ms\" }\n");
    lattice.apply(&app).await.expect("applied");
    until("two serve", || serving(&lattice, "mischief").len() == 2).await;
    let back: Bytes = act(&lattice, "echo", (Bytes::from_static(b"hello"),))
        .await
        .expect("answered");
    assert_eq!(back, "hello");
    let host: Option<String> = act(&lattice, "env", ("LATTICE_HOST",))
        .await
        .expect("answered");
    assert!(host.is_some_and(|host| ["a", "b", "c"].contains(&host.as_str())));

    let dies = serving(&lattice, "mischief").remove(0);
    let at = hosts.iter().position(|host| host.id().as_str() == dies);
    hosts.swap_remove(at.expect("one of these hosts")).kill();
    until("two serve again", || {
        let now = serving(&lattice, "mischief");
        now.len() == 2 && !now.contains(&dies)
    })
    .await;
    act::<Bytes>(&lattice, "echo", (Bytes::from_static(b"hello"),))
        .await
        .expect("answered");
}

#[tokio::test]
async fn a_host_without_placement_runs_no_placed_components() {
    let lattice = lattice().await;
    let apart = started(Host::builder(&lattice).id("apart").without_placement()).await;
    let part = started(Host::builder(&lattice).id("part")).await;
    lattice
        .apply(&app("replicas = \"per-host\"\n"))
        .await
        .expect("applied");
    until("one serves", || serving(&lattice, "mischief") == ["part"]).await;
    assert!(apart.agent().is_none());
    assert!(part.shutdown(Duration::from_secs(1)).await.is_clean());
}

#[tokio::test]
async fn a_builtin_provider_is_created_by_name_and_a_failure_is_reported() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice).builtin("peer", |config| {
        let answer = config.get("answer").cloned();
        let answer = answer
            .ok_or_else(|| lattice_core::agent::RuntimeError::new("`answer` is missing; set it"))?;
        Ok(Native::peer(move |_| lattice_core::serve::Answer::Ready(answer_of(&answer))).serve())
    });
    let host = started(host).await;
    let text = "name = \"test\"\n[providers.good]\nbuiltin = \"peer\"\nconfig = { answer = \"yes\" }\n\
        [providers.bad]\nbuiltin = \"peer\"\n[providers.none]\nbuiltin = \"nothing\"\n";
    lattice
        .apply(&App::from_toml("app.toml", text).expect("a manifest"))
        .await
        .expect("applied");
    until("the good one serves", || {
        serving(&lattice, "good").len() == 1
    })
    .await;
    let agent = host.agent().expect("the host has an agent");
    let reason = |id: &str| {
        let state = agent.state();
        state
            .components
            .get(&ComponentId::new(id).expect("an id"))?
            .reason
            .clone()
    };
    until("the failures are reported", || {
        reason("bad").is_some() && reason("none").is_some()
    })
    .await;
    assert_eq!(
        reason("bad").as_deref(),
        Some("`answer` is missing; set it")
    );
    let none = reason("none").expect("a reason");
    assert!(
        none.contains("no provider called `nothing`: it has") && none.contains("`peer`"),
        "{none}"
    );
}

#[tokio::test]
async fn the_result_of_a_shutdown_counts_the_cut_off_calls_of_placed_components() {
    let lattice = lattice().await;
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gates = (permits.clone(), entered.clone());
    let host = Host::builder(&lattice).builtin("peer", move |_| {
        let (permits, entered) = &gates;
        Ok(gated(permits, entered).serve())
    });
    let host = started(host).await;
    let text = "name = \"test\"\n[providers.slow]\nbuiltin = \"peer\"\n";
    let app = App::from_toml("app.toml", text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    until("it serves", || serving(&lattice, "slow").len() == 1).await;
    let args = (Bytes::from("x"),);
    let calls = call::<Result<Bytes, RpcError>>(&lattice, "slow", PEER, "call", args);
    let leaves = async {
        entered.acquire().await.expect("it stays open").forget();
        host.shutdown(Duration::from_millis(200)).await
    };
    let (result, drained) = tokio::join!(calls, leaves);
    result.expect_err("it was cut off");
    let Drained::CutOff(cut_off) = drained else {
        panic!("a call was cut off");
    };
    assert_eq!(cut_off.calls, 1, "{cut_off:?}");
}

#[tokio::test]
async fn a_manifest_limits_what_others_hold_of_an_instance() {
    let lattice = lattice().await;
    let host = started(Host::builder(&lattice)).await;
    let text = format!(
        "name = \"test\"\n[actors.giver]\nimage = \"file:{}\"\nlimits = {{ handles = 3 }}\n",
        path("giver").display()
    );
    let app = App::from_toml("app.toml", &text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    until("it serves", || serving(&lattice, "giver").len() == 1).await;
    let flow = Flow::on(lattice, host).await;
    let hoard = async |count: u32| {
        let count = encoded(&(count,));
        flow.give((TROUBLE, "hoard"), count, Handles::new()).await
    };
    let held = hoard(3).await.expect("as many as it may");
    assert_eq!(held.handles.len(), 3);
    let text = reason(hoard(4).await);
    assert!(text.contains("`limits = { handles = … }`"), "{text}");
}

fn answer_of(text: &str) -> Result<Bytes, lattice_core::call::CallError> {
    answer(text.as_bytes())
}
