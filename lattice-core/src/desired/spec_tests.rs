use super::*;
use crate::desired::{Body, Fields, NotUnderstood, Replicas, SpreadRule};
use crate::value;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use std::{fmt::Debug, num::NonZeroU32, time::Duration};

fn written<T: Serialize>(spec: &T) -> String {
    let bytes = value::to_bytes(&Body(spec)).expect("encodes");
    value::from_bytes(&bytes).expect("a string")
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, NotUnderstood> {
    let bytes = value::to_bytes(text).expect("encodes");
    value::from_bytes::<Fields>(&bytes)
        .expect("an object")
        .read()
}

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(spec: &T) {
    assert_eq!(read::<T>(&written(spec)).as_ref(), Ok(spec));
}

fn actor() -> ActorSpec {
    let mut spec = ActorSpec::new("file:/srv/greeter.wasm".parse().expect("an image"));
    spec.app = Some("shop".parse().expect("a name"));
    spec.digest = Some(ImageDigest::of(b"x"));
    spec.placement = Placement {
        replicas: Replicas::PerHost,
        require: BTreeMap::from([("zone".to_owned(), "eu".to_owned())]),
        exclude: BTreeMap::new(),
        spread: vec![SpreadRule {
            label: "zone".to_owned(),
            weights: BTreeMap::from([("a".to_owned(), 2)]),
        }],
    };
    spec.limits.memory = Some(1 << 20);
    spec.limits.cpu = Some(Duration::from_millis(1_500));
    spec.limits.concurrent = NonZeroU32::new(3);
    spec.instance = InstanceMode::Warm;
    spec.config = BTreeMap::from([("greeting".to_owned(), "hi".to_owned())]);
    spec.configs = vec!["common".parse().expect("a name")];
    spec
}

/// The texts in existing stores. A change here must be one that older versions can read.
#[test]
fn golden_texts() {
    let digest = ImageDigest::of(b"x");
    assert_eq!(
        written(&actor()),
        format!(
            concat!(
                r#"{{"app":"shop","image":"file:/srv/greeter.wasm","digest":"{digest}","#,
                r#""placement":{{"replicas":"PerHost","require":{{"zone":"eu"}},"exclude":{{}},"#,
                r#""spread":[{{"label":"zone","weights":{{"a":2}}}}]}},"#,
                r#""limits":{{"memory":1048576,"cpu":{{"secs":1,"nanos":500000000}},"concurrent":3}},"#,
                r#""instance":"warm","config":{{"greeting":"hi"}},"configs":["common"]}}"#
            ),
            digest = digest
        )
    );
    let mut provider = ProviderSpec::new(ProviderKind::Builtin("keyvalue".to_owned()));
    provider.run = Run::Once;
    assert_eq!(
        written(&provider),
        concat!(
            r#"{"kind":{"builtin":"keyvalue"},"placement":{"replicas":{"Exactly":1},"require":{},"exclude":{},"spread":[]},"#,
            r#""run":"once","config":{},"configs":[]}"#
        )
    );
    let wormhole = WormholeSpec::new("greeter".parse().expect("an id"));
    assert_eq!(
        written(&wormhole),
        r#"{"path":"/","actor":"greeter","state":"open"}"#
    );
    let config = NamedConfig {
        values: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..NamedConfig::default()
    };
    assert_eq!(written(&config), r#"{"values":{"a":"b"}}"#);
    let app = AppRecord {
        version: Some("1.0".to_owned()),
        owns: BTreeSet::from([StoreKey::actor(&"greeter".parse().expect("an id"))]),
        ..AppRecord::default()
    };
    assert_eq!(
        written(&app),
        r#"{"version":"1.0","owns":["actor.greeter"]}"#
    );
    round_trips(&actor());
    round_trips(&provider);
    round_trips(&wormhole);
    round_trips(&config);
    round_trips(&app);
}

#[test]
fn an_older_reader_keeps_the_fields_of_a_newer_writer() {
    let mut text: serde_json::Value = serde_json::from_str(&written(&actor())).expect("JSON");
    text["affinity"] = serde_json::json!({"near": "kv"});
    let spec: ActorSpec = read(&text.to_string()).expect("readable");
    assert_eq!(spec.extra.names().collect::<Vec<_>>(), ["affinity"]);
    let again: serde_json::Value = serde_json::from_str(&written(&spec)).expect("JSON");
    assert_eq!(again, text);
}

#[test]
fn a_newer_reader_uses_defaults_for_missing_fields() {
    let spec: ActorSpec = read(r#"{"image":"ghcr.io/shop/greeter:1"}"#).expect("readable");
    let image = "ghcr.io/shop/greeter:1".parse().expect("an image");
    assert_eq!(spec, ActorSpec::new(image));
}

#[test]
fn unknown_required_fields_are_reported() {
    let mut text: serde_json::Value = serde_json::from_str(&written(&actor())).expect("JSON");
    text["needs"] = serde_json::json!([]);
    assert!(read::<ActorSpec>(&text.to_string()).is_ok());
    text["needs"] = serde_json::json!(["gpu"]);
    let error = read::<ActorSpec>(&text.to_string()).expect_err("unknown");
    assert!(error.to_string().contains("needs `gpu`"), "{error}");
    text["needs"] = serde_json::json!(7);
    assert!(read::<ActorSpec>(&text.to_string()).is_err());
    let error =
        read::<ActorSpec>(r#"{"image":"torrent:x"}"#).expect_err("an unknown kind of image");
    assert!(matches!(error, NotUnderstood::Shape { .. }), "{error}");
}

#[test]
fn an_excessive_number_of_replicas_is_rejected() {
    let read = |count: u32| {
        let replicas = format!(
            r#"{{"replicas":{{"Exactly":{count}}},"require":{{}},"exclude":{{}},"spread":[]}}"#
        );
        read::<ActorSpec>(&format!(
            r#"{{"image":"ghcr.io/shop/greeter:1","placement":{replicas}}}"#
        ))
    };
    read(Replicas::MAX).expect("readable");
    let error = read(u32::MAX).expect_err("too many");
    assert!(matches!(error, NotUnderstood::Shape { .. }), "{error}");
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(".{0,12}", ".{0,12}", 0..4)
}

proptest! {
    #[test]
    fn specs_round_trip(
        config in texts(),
        require in texts(),
        replicas in proptest::option::of(0..=Replicas::MAX),
        weights in proptest::collection::btree_map(".{0,8}", any::<u32>(), 0..4),
        memory in proptest::option::of(any::<u64>()),
        wall in proptest::option::of(any::<Duration>()),
        keys in proptest::collection::btree_set("[a-z]{1,8}\\.[ -~]{0,20}", 0..6),
    ) {
        let mut spec = actor();
        spec.config = config.clone();
        spec.placement.require = require;
        spec.placement.replicas = replicas.map_or(Replicas::PerHost, Replicas::Exactly);
        spec.placement.spread.push(SpreadRule { label: "l".to_owned(), weights });
        spec.limits.memory = memory;
        spec.limits.wall = wall;
        round_trips(&spec);
        round_trips(&NamedConfig { values: config, ..NamedConfig::default() });
        let owns = keys.iter().map(|key| StoreKey::from_store(key)).collect();
        round_trips(&AppRecord { owns, ..AppRecord::default() });
    }

    #[test]
    fn any_body_is_decoded_or_rejected(bytes: Vec<u8>, text in ".{0,60}") {
        for bytes in [bytes::Bytes::from(bytes), value::to_bytes(&text).expect("encodes")] {
            if let Ok(fields) = value::from_bytes::<Fields>(&bytes) {
                let _ = fields.read::<ActorSpec>();
            }
        }
    }
}
