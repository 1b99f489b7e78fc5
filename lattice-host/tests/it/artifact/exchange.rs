//! Hosts that get artifacts from each other.

use super::{
    registry::Registry,
    support::{PATIENCE, cached_file, component, image, large_component, plain},
};
use crate::wait::until;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    app::App,
    call::{CallError, Context, FunctionRef},
    name::{ComponentId, FunctionName, InterfaceName},
    node::{Node, NodeOptions},
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::ComponentTypes,
    value::{from_bytes, to_bytes},
    wire::Origin,
};
use lattice_host::{
    Host,
    artifact::{Artifacts, Image, ImageDigest},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tempfile::TempDir;
use tokio::time::Instant;

/// The size of an artifact of several ranges, the last of which isn't full.
const SIZE: usize = 3_000_000;

/// Starts a host with its own cache.
async fn host(lattice: &Lattice, id: &str, artifacts: Artifacts) -> Host {
    let builder = Host::builder(lattice).id(id).artifacts(artifacts);
    builder.start().await.expect("it starts")
}

fn keeping(folder: &TempDir) -> Artifacts {
    Artifacts::builder().cache(folder.path()).build()
}

/// Applies an app that runs `big` on every host that `rules` allow.
async fn apply(lattice: &Lattice, image: &str, rules: &str) {
    let text = format!(
        "name = \"test\"\n[actors.big]\nimage = \"{image}\"\nreplicas = \"per-host\"\n{rules}"
    );
    let app = App::from_toml("app.toml", &text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
}

fn serves(lattice: &Lattice, host: &str) -> bool {
    let id = ComponentId::new("big").expect("an id");
    let peers = lattice.peers();
    let serving = peers.serving(&id);
    serving.iter().any(|origin| origin.host.as_str() == host)
}

/// Returns the reason why `big` doesn't run on this host.
fn reason(host: &Host) -> Option<String> {
    let state = host.agent().expect("the host has an agent").state();
    let kept = state.components.values().next()?;
    kept.reason.clone()
}

#[tokio::test]
async fn an_image_that_one_host_has_is_fetched_by_the_others() {
    let lattice = Lattice::in_memory("test").await.unwrap();
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let artifact = keeping(&here).keep(large_component(SIZE)).await;
    let digest = artifact.digest;
    let _has = host(&lattice, "has", keeping(&here)).await;
    let _wants = host(&lattice, "wants", keeping(&there)).await;
    apply(&lattice, &digest.to_string(), "").await;
    until("both serve", || {
        serves(&lattice, "has") && serves(&lattice, "wants")
    })
    .await;
    let kept = std::fs::read(cached_file(there.path(), digest)).unwrap();
    assert_eq!(ImageDigest::of(&kept), digest);
}

#[tokio::test]
async fn an_image_in_a_file_of_one_host_is_fetched_by_the_others() {
    let lattice = Lattice::in_memory("test").await.unwrap();
    let folder = TempDir::new().unwrap();
    let (path, moved) = (folder.path().join("big.wasm"), folder.path().join("away"));
    std::fs::write(&path, large_component(SIZE)).unwrap();
    let cache = TempDir::new().unwrap();
    let _has = host(&lattice, "has", Artifacts::builder().build()).await;
    apply(&lattice, &format!("file:{}", path.display()), "").await;
    until("the first serves", || serves(&lattice, "has")).await;
    // A first transfer, so that the file is in the first host's memory when it is moved.
    let _second = host(&lattice, "second", keeping(&cache)).await;
    until("the second serves", || serves(&lattice, "second")).await;
    std::fs::rename(&path, &moved).unwrap();
    let third = host(&lattice, "third", Artifacts::builder().build()).await;
    until("the third reports why it can't start it", || {
        reason(&third).is_some_and(|reason| {
            reason.contains("big.wasm") && reason.contains("none of the 2 other hosts")
        })
    })
    .await;
    std::fs::rename(&moved, &path).unwrap();
    until("the third serves", || serves(&lattice, "third")).await;
}

#[tokio::test]
async fn a_new_host_gets_an_image_from_another_host_while_its_registry_is_down() {
    let mut registry = Registry::start().await;
    let lattice = Lattice::in_memory("test").await.unwrap();
    let caches = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let artifacts = |at: usize| plain(registry.address()).cache(caches[at].path()).build();
    let tag = image(&format!("oci:{}/team/big:1", registry.address()));
    let pushed = artifacts(0)
        .push(large_component(SIZE), &tag)
        .await
        .unwrap();
    let (first, second) = (artifacts(0), artifacts(1));

    let _has = host(&lattice, "has", first).await;
    apply(&lattice, &pushed.image.to_string(), "").await;
    until("the first serves", || serves(&lattice, "has")).await;
    registry.kill();
    let _wants = host(&lattice, "wants", second).await;
    until("the second serves", || serves(&lattice, "wants")).await;
    let Image::Oci(reference) = pushed.image else {
        panic!("{pushed:?}");
    };
    for digest in [reference.digest().unwrap(), pushed.digest] {
        let kept = std::fs::read(cached_file(caches[1].path(), digest)).unwrap();
        assert_eq!(ImageDigest::of(&kept), digest);
    }
}

#[tokio::test]
async fn an_image_that_no_host_has_is_reported_by_its_digest() {
    let lattice = Lattice::in_memory("test").await.unwrap();
    let digest = ImageDigest::of(b"nowhere");
    let alone = host(&lattice, "alone", Artifacts::builder().build()).await;
    apply(&lattice, &digest.to_string(), "").await;
    until("it reports why", || {
        reason(&alone).is_some_and(|reason| {
            reason.contains(&digest.to_string()) && reason.contains("none of the 0 other hosts")
        })
    })
    .await;
}

/// Requests the map of an artifact by host RPC, and returns whether the other host delivers it.
async fn map(
    asks: &Node,
    of: &Origin,
    component: &str,
    digest: ImageDigest,
) -> Result<bool, CallError> {
    type Map = (ImageDigest, u64, u32, Vec<[u8; 32]>);
    let function = FunctionRef::new(
        InterfaceName::new("lattice:host/artifacts@0.1.0").unwrap(),
        FunctionName::new("map").unwrap(),
        "func(ask: ask) -> option<range-map>",
    );
    let args = to_bytes(&((component, digest, None::<u32>),)).unwrap();
    let answer = asks
        .call_host(of, &function, args, Context::new(PATIENCE))
        .await?;
    Ok(from_bytes::<Option<Map>>(&answer).unwrap().is_some())
}

#[tokio::test]
async fn a_host_delivers_only_what_is_assigned_to_the_requesting_host() {
    let lattice = Lattice::in_memory("test").await.unwrap();
    let cache = TempDir::new().unwrap();
    let artifact = keeping(&cache).keep(component("big")).await;
    let secret = keeping(&cache).keep(component("secret")).await;
    let has = host(&lattice, "has", keeping(&cache)).await;
    let rules = "require = { kind = \"worker\" }\n";
    let assigned = Host::builder(&lattice)
        .id("assigned")
        .label("kind", "worker")
        .artifacts(Artifacts::builder().build());
    let assigned = assigned.start().await.unwrap();
    apply(&lattice, &artifact.digest.to_string(), rules).await;
    until("the assigned host has it", || serves(&lattice, "assigned")).await;

    let stranger = NodeOptions::default().host("stranger").unwrap();
    let stranger = lattice.node(stranger).await.unwrap();
    for (asks, component, digest, given) in [
        (assigned.node(), "big", artifact.digest, true),
        (assigned.node(), "big", secret.digest, false),
        (assigned.node(), "other", artifact.digest, false),
        (&stranger, "big", artifact.digest, false),
    ] {
        let answer = map(asks, has.node().origin(), component, digest).await;
        assert_eq!(answer, Ok(given), "{component} {digest}");
    }
    let asks = || map(has.node(), stranger.origin(), "big", artifact.digest);
    let mut refused = asks().await;
    let until = Instant::now() + PATIENCE;
    // It may not know the other host yet, which it has just heard of.
    while matches!(refused, Err(CallError::Unrecognised { .. })) && Instant::now() < until {
        refused = asks().await;
    }
    assert!(
        matches!(refused, Err(CallError::NotServed { .. })),
        "the stranger isn't a host: {refused:?}"
    );
}

#[tokio::test]
async fn requests_for_artifacts_in_turns_read_none_of_them_again() {
    let lattice = Lattice::in_memory("test").await.unwrap();
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let big = keeping(&here).keep(component("big")).await.digest;
    let other = keeping(&here).keep(component("other")).await.digest;
    let has = host(&lattice, "has", keeping(&here)).await;
    let asks = host(&lattice, "asks", keeping(&there)).await;
    let manifest = format!(
        "name = \"test\"\n[actors.big]\nimage = \"{big}\"\nreplicas = \"per-host\"\n\
         [actors.other]\nimage = \"{other}\"\nreplicas = \"per-host\"\n"
    );
    let app = App::from_toml("app.toml", &manifest).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    let hosts = |component: &str| {
        let component = ComponentId::new(component).expect("an id");
        lattice.peers().serving(&component).len()
    };
    until("both serve both", || {
        hosts("big") == 2 && hosts("other") == 2
    })
    .await;
    let turns = [("big", big), ("other", other)];
    for round in 0..4 {
        for (component, digest) in turns {
            let given = map(asks.node(), has.node().origin(), component, digest).await;
            assert_eq!(given, Ok(true), "{component} in round {round}");
        }
        if round == 0 {
            // A host that reads an artifact from now on doesn't find it.
            for (_, digest) in turns {
                std::fs::remove_file(cached_file(here.path(), digest)).unwrap();
            }
        }
    }
}

/// A component without functions.
struct Silent;

impl Service for Silent {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::default()
    }

    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Ok(Bytes::new()))
    }
}

/// A node that responds to each request with a wrong map at once, and sends no ranges.
struct Liar {
    size: usize,
    asked: Arc<AtomicUsize>,
}

impl Service for Liar {
    fn types(&self) -> Arc<ComponentTypes> {
        let mut types = ComponentTypes::default();
        let interface = InterfaceName::new("lattice:host/artifacts@0.1.0").unwrap();
        let functions = &mut types.exports.entry(interface).or_default().functions;
        for (name, signature) in [
            ("map", "func(ask: ask) -> option<range-map>"),
            ("range", "func(ask: ask) -> option<list<u8>>"),
        ] {
            functions.insert(FunctionName::new(name).unwrap(), signature.to_owned());
        }
        Arc::new(types)
    }

    fn call(&self, request: Request) -> Answer {
        let ((_, digest, range),): ((String, ImageDigest, Option<u32>),) =
            from_bytes(&request.args).unwrap();
        self.asked.fetch_add(1, Ordering::Relaxed);
        let range_bytes = 256_u32 << 10;
        let answer = if range.is_some() {
            to_bytes(&None::<Bytes>)
        } else {
            let digests = vec![[7_u8; 32]; self.size.div_ceil(range_bytes as usize)];
            to_bytes(&Some((digest, self.size as u64, range_bytes, digests)))
        };
        Answer::Ready(Ok(answer.unwrap()))
    }
}

#[tokio::test]
async fn a_host_with_a_wrong_map_is_excluded() {
    let lattice = Lattice::in_memory("test").await.unwrap();
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let artifact = keeping(&here).keep(large_component(SIZE)).await;
    let digest = artifact.digest;
    let asked = Arc::<AtomicUsize>::default();
    let mut liars = Vec::new();
    for name in ["liar-1", "liar-2"] {
        let options = NodeOptions::default().host(name).unwrap();
        let liar = lattice.node(options).await.unwrap();
        let service = Liar {
            size: artifact.bytes.len(),
            asked: asked.clone(),
        };
        let id = ComponentId::new("artifacts").unwrap();
        liar.serve_host_rpc(id, Arc::new(service), ServeLimits::default());
        // Other hosts only know a node that serves a component.
        let limits = ServeLimits::default();
        let serving = liar.serve(name, Arc::new(Silent), limits).await.unwrap();
        liars.push((liar, serving));
    }
    let _has = host(&lattice, "has", keeping(&here)).await;
    let _wants = host(&lattice, "wants", keeping(&there)).await;
    apply(&lattice, &digest.to_string(), "").await;
    until("both serve", || {
        serves(&lattice, "has") && serves(&lattice, "wants")
    })
    .await;
    assert!(
        asked.load(Ordering::Relaxed) > 0,
        "the lying hosts received requests"
    );
    let kept = std::fs::read(cached_file(there.path(), digest)).unwrap();
    assert_eq!(ImageDigest::of(&kept), digest);
}
