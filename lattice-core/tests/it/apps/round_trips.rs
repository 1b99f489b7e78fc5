//! Round trips of random manifests.

use super::*;
use lattice_core::{
    app::{
        ActorManifest, AppManifest, LinkManifest, ProviderManifest, SpreadManifest,
        WormholeManifest,
    },
    desired::{InstanceMode, Replicas, Run, WormholeState},
    link::Locality,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

fn ids() -> impl Strategy<Value = ComponentId> {
    "[a-z0-9][a-z0-9-]{0,8}".prop_map(|text| id(&text))
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(".{1,8}", ".{0,8}", 0..3)
}

fn replicas() -> impl Strategy<Value = Option<Replicas>> {
    let count = prop_oneof![
        (0..=100_000_u32).prop_map(Replicas::Exactly),
        Just(Replicas::PerHost)
    ];
    proptest::option::of(count)
}

prop_compose! {
    fn actor()(
        replicas in replicas(), require in texts(), config in texts(), warm: bool,
        memory: Option<u32>, millis in proptest::option::of(1..u64::from(u32::MAX)), concurrent in proptest::option::of(1..u32::MAX),
        label in ".{1,5}", weights in proptest::collection::btree_map(".{1,5}", 1..u32::MAX, 0..3),
    ) -> ActorManifest {
        let mut actor = ActorManifest::new(IMAGE.parse().expect("an image"));
        actor.replicas = replicas;
        actor.require = require;
        actor.config = config;
        actor.instance = if warm { InstanceMode::Warm } else { InstanceMode::Fresh };
        actor.limits.memory = memory.map(u64::from);
        actor.limits.cpu = millis.map(Duration::from_millis);
        actor.limits.concurrent = concurrent.and_then(NonZeroU32::new);
        actor.spread = vec![SpreadManifest { label, weights }];
        actor
    }
}

prop_compose! {
    fn manifest()(
        actors in proptest::collection::btree_map(ids(), actor(), 1..5),
        version in proptest::option::of(".{0,8}"),
        host in proptest::option::of("[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\\.example)?"),
        values in texts(),
        bucket in ".{0,8}",
        open: bool,
        once: bool,
    ) -> AppManifest {
        let mut manifest = AppManifest::new("shop").expect("valid");
        let first = actors.keys().next().expect("one").clone();
        let mut kv = ProviderManifest::builtin("keyvalue");
        kv.run = if once { Run::Once } else { Run::Replicated };
        let provider = id(&format!("{first}-kv"));
        let mut link = LinkManifest::new(first.as_str(), "wasi:keyvalue/store@0.2.0", provider.as_str()).expect("valid");
        link.config = serde_json::json!({ "bucket": bucket, "n": [1, 2.5, null, true] });
        link.locality = if open { Locality::Anywhere } else { Locality::LocalOnly };
        let state = if open { WormholeState::Open } else { WormholeState::Closed };
        let wormhole = WormholeManifest { host, path: "/x".to_owned(), state, ..WormholeManifest::new(first) };
        manifest.version = version;
        if !actors.contains_key(&provider) {
            manifest.providers.insert(provider, kv);
            manifest.links.push(link);
        }
        manifest.actors = actors;
        manifest.configs.insert("common".parse().expect("a name"), values);
        manifest.wormholes.insert("web".parse().expect("an id"), wormhole);
        manifest
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_manifest_round_trips_through_json_and_is_applied_once(manifest in manifest()) {
        let json = serde_json::to_string(&manifest).expect("JSON");
        let app = App::from_json("app.json", &json).expect("a manifest");
        prop_assert_eq!(app.manifest(), &manifest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let (first, again) = runtime.block_on(async {
            let lattice = join(&MemoryStore::new()).await;
            (lattice.apply(&app).await.expect("applied"), lattice.apply(&app).await.expect("applied"))
        });
        prop_assert!(first.revision.is_some());
        prop_assert!(again.plan.is_empty(), "{}", again.plan);
    }

    #[test]
    fn any_text_is_read_or_returns_problems(text in "[ -~\\n]{0,200}", cut in 0..400_usize) {
        let _ = (App::from_toml("a.toml", &text), App::from_json("a.json", &text));
        let manifest = format!("name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\nreplicas = 3\nrequire = {{ a = \"b\" }}\n[[links]]\nfrom = \"a\"\n{text}");
        let end = manifest.floor_char_boundary(cut);
        let _ = App::from_toml("a.toml", &manifest[..end]);
        let _ = App::from_toml("a.toml", &manifest);
    }
}
