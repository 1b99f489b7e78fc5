use super::*;
use crate::desired::{Body, Fields, HostClaim, NotUnderstood, Replicas, SpreadRule, WormholeSpec};
use crate::value;
use crate::wormhole::{Rate, WormholeAuth, WormholeLimits, WormholeState};
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
    let wormhole = whole_wormhole();
    assert_eq!(
        written(&wormhole),
        concat!(
            r#"{"app":"shop","host":"shop.example","domains":["a.example"],"path":"/api","#,
            r#""actor":"greeter","link":"slow","state":"closed","#,
            r#""limits":{"body":1048576,"head_timeout":1500,"total_timeout":60000,"#,
            r#""rate":{"per_second":100,"burst":200},"client_rate":{"per_second":5,"burst":5}},"#,
            r#""auth":{"verifier":{"actor":"guard","link":"default"}}}"#
        )
    );
    round_trips(&wormhole);
    let claim = HostClaim {
        paths: BTreeMap::from([("/".to_owned(), "web".parse().expect("an id"))]),
        ..HostClaim::default()
    };
    assert_eq!(written(&claim), r#"{"paths":{"/":"web"}}"#);
    round_trips(&claim);
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
    let mut reusing = actor();
    reusing.limits.reuse.requests = NonZeroU32::new(8);
    let text = written(&reusing);
    assert!(text.contains(r#","reuse":{"requests":8}}"#), "{text}");
    round_trips(&reusing);
    round_trips(&provider);
    round_trips(&config);
    round_trips(&app);
}

fn whole_wormhole() -> WormholeSpec {
    let rate = |count: u32| NonZeroU32::new(count).expect("not zero");
    let mut spec = WormholeSpec::new("greeter".parse().expect("an id"));
    spec.app = Some("shop".parse().expect("a name"));
    spec.host = Some("shop.example".to_owned());
    spec.domains = BTreeSet::from(["a.example".to_owned()]);
    spec.path = "/api".to_owned();
    spec.link = "slow".parse().expect("a name");
    spec.state = WormholeState::Closed;
    spec.limits = WormholeLimits {
        body: Some(crate::quantity::ByteSize::mib(1)),
        head_timeout: Some(Duration::from_millis(1_500)),
        total_timeout: Some(Duration::from_mins(1)),
        rate: Some(Rate {
            per_second: rate(100),
            burst: rate(200),
        }),
        client_rate: Some(Rate::per_second(rate(5))),
    };
    spec.auth = Some(WormholeAuth::Verifier {
        actor: "guard".parse().expect("an id"),
        link: "default".parse().expect("a name"),
    });
    spec
}

#[test]
fn credentials_of_a_wormhole_are_hashes_and_nothing_else() {
    let digest = "0a".repeat(32);
    let record = |auth: &str| {
        let text = format!(r#"{{"path":"/","actor":"a","state":"open","auth":{auth}}}"#);
        read::<WormholeSpec>(&text)
    };
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
    for good in [
        format!(r#"{{"basic":{{"users":{{"ada":"{hash}"}}}}}}"#),
        format!(r#"{{"bearer":{{"tokens":["saltsalt:{digest}"]}}}}"#),
        r#"{"verifier":{"actor":"guard"}}"#.to_owned(),
    ] {
        let spec = record(&good).expect("readable");
        round_trips(&spec);
        let shown = format!("{spec:?}");
        assert!(
            !shown.contains("argon2") && !shown.contains(&digest),
            "{shown}"
        );
    }
    for bad in [
        r#"{"basic":{"users":{"ada":"s3cret"}}}"#.to_owned(),
        r#"{"bearer":{"tokens":["s3cret"]}}"#.to_owned(),
        format!(r#"{{"bearer":{{"tokens":["short:{digest}"]}}}}"#),
        // An unknown kind, as of a newer version, lets nothing through here.
        r#"{"passkey":{}}"#.to_owned(),
    ] {
        let error = record(&bad).expect_err("unreadable").to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

/// A record has only the limits that are set, so that one without a newer limit keeps its bytes.
#[test]
fn limits_that_are_set_are_written_and_read_by_name() {
    let mut spec = ActorSpec::new("ghcr.io/shop/greeter:1".parse().expect("an image"));
    let limits = |spec: &ActorSpec| {
        let record: serde_json::Value = serde_json::from_str(&written(spec)).expect("JSON");
        record["limits"].clone()
    };
    assert_eq!(limits(&spec), serde_json::json!({}));
    spec.limits.handles = NonZeroU32::new(7);
    spec.limits.kept = Some(Duration::from_millis(1_500));
    let both = serde_json::json!({ "handles": 7, "kept": { "secs": 1, "nanos": 500_000_000 } });
    assert_eq!(limits(&spec), both);
    round_trips(&spec);
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
        kept in proptest::option::of(any::<Duration>()),
        handles in any::<u32>(),
        keys in proptest::collection::btree_set("[a-z]{1,8}\\.[ -~]{0,20}", 0..6),
    ) {
        let mut spec = actor();
        spec.config = config.clone();
        spec.placement.require = require;
        spec.placement.replicas = replicas.map_or(Replicas::PerHost, Replicas::Exactly);
        spec.placement.spread.push(SpreadRule { label: "l".to_owned(), weights });
        spec.limits.memory = memory;
        spec.limits.wall = wall;
        spec.limits.kept = kept;
        spec.limits.handles = NonZeroU32::new(handles);
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
