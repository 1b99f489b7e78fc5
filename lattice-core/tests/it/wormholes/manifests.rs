//! Wormholes in manifests: fields, problems, plans, and names that another app has.

use super::{names::is_claimed, *};
use lattice_core::{
    app::{App, ApplyError, LoadError, PlanError, ProblemKind, Problems, Warning},
    node::NodeOptions,
    quantity::ByteSize,
    wormhole::{INGRESS_LABEL, Rate, WormholeAuth},
};
use std::num::NonZeroU32;

const IMAGE: &str = "registry.example/shop/greeter:1";
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";

/// Parses an app that has an actor `web` and these wormholes.
fn parse(name: &str, wormholes: &str) -> Result<App, LoadError> {
    let text = format!("name = \"{name}\"\n[actors.{name}]\nimage = \"{IMAGE}\"\n{wormholes}");
    App::from_toml("app.toml", &text)
}

fn app(name: &str, wormholes: &str) -> App {
    parse(name, wormholes).expect("a manifest")
}

fn problems(wormholes: &str) -> Problems {
    match parse("shop", wormholes) {
        Err(LoadError::Problems(problems)) => problems,
        other => panic!("not problems: {other:?}"),
    }
}

#[tokio::test]
async fn every_field_is_applied_and_applying_again_changes_nothing() {
    let lattice = Programs::new().open().await;
    let text = format!(
        r#"
[wormholes.web]
actor = "shop"
host = "Shop.Example"
domains = ["www.shop.example", "shop.example"]
path = "/api/"
link = "slow"
state = "closed"
[wormholes.web.limits]
body = "10MiB"
head-timeout = "500ms"
total-timeout = "1m"
rate = {{ per-second = 100, burst = 200 }}
client-rate = {{ per-second = 5 }}
[wormholes.web.auth]
basic = {{ ada = "{HASH}" }}
[wormholes.any]
actor = "shop"
"#
    );
    let shop = app("shop", &text);
    lattice.apply(&shop).await.expect("applied");
    let desired = lattice.desired();
    let spec = &desired.wormholes[&wormhole("web")].spec;
    assert_eq!(
        spec.hosts().collect::<Vec<_>>(),
        ["shop.example", "www.shop.example"]
    );
    assert_eq!(
        (spec.path.as_str(), spec.link.as_str(), spec.is_open()),
        ("/api", "slow", false)
    );
    let rate = |count| NonZeroU32::new(count).expect("not zero");
    let limits = spec.limits;
    assert_eq!(limits.body, Some(ByteSize::mib(10)));
    assert_eq!(limits.head_timeout, Some(Duration::from_millis(500)));
    assert_eq!(limits.total_timeout, Some(Duration::from_mins(1)));
    let expected = Rate {
        per_second: rate(100),
        burst: rate(200),
    };
    assert_eq!(limits.rate, Some(expected));
    assert_eq!(limits.client_rate, Some(Rate::per_second(rate(5))));
    let Some(WormholeAuth::Basic { users }) = &spec.auth else {
        panic!("{:?}", spec.auth);
    };
    assert_eq!(users["ada"].as_str(), HASH);
    assert!(desired.wormholes[&wormhole("any")].spec.serves_any_host());
    let again = lattice.apply(&shop).await.expect("applied");
    assert!(again.plan.is_empty(), "{}", again.plan);
    // A plan doesn't show hashes.
    let other = HASH.replace("aGFzaGhhc2g", "b3RoZXJvdGhlcg");
    let changed = app("shop", &text.replace(HASH, &other));
    let plan = lattice.plan(&changed).await.expect("planned").to_string();
    assert!(plan.contains("auth") && !plan.contains("argon2"), "{plan}");
    // The app owns it.
    let deleted = lattice.wormholes().delete("web").await;
    assert!(
        matches!(deleted, Err(WormholeError::Owned { .. })),
        "{deleted:?}"
    );
    lattice.wormholes().open("web").await.expect("opened");
    let plan = lattice.plan(&shop).await.expect("planned").to_string();
    assert!(plan.contains("state: \"open\" -> \"closed\""), "{plan}");
    lattice.delete_app("shop").await.expect("deleted");
    assert!(lattice.wormholes().table().is_empty());
}

#[test]
fn the_manifest_in_the_docs_has_every_field() {
    let docs = include_str!("../../../../lattice-host/docs/http.md");
    let blocks = docs.split("```toml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| Some(block.split_once("```")?.0));
    let actor = blocks.next().expect("an actor");
    let shop = App::from_toml("app.toml", &format!("name = \"shop\"\n{actor}"));
    let shop = shop.expect("a manifest");
    let actor = shop.manifest().actors.values().next().expect("one");
    let reuse = actor.limits.reuse;
    assert!(reuse.concurrent.is_some() && reuse.requests.is_some() && reuse.idle.is_some());
    let wormholes = blocks.next().expect("a manifest");
    let app = app("shop", wormholes);
    let wormhole = app.manifest().wormholes.values().next().expect("one");
    let json = serde_json::to_value(wormhole).expect("it is written");
    for field in [
        "actor", "host", "domains", "path", "state", "limits", "auth",
    ] {
        assert!(!json[field].is_null(), "{field}: {json}");
    }
    for field in [
        "body",
        "head-timeout",
        "total-timeout",
        "rate",
        "client-rate",
    ] {
        assert!(!json["limits"][field].is_null(), "{field}: {json}");
    }
    let links = blocks.next().expect("another one");
    parse("shop", links).expect("a link to the web");
}

#[test]
fn a_password_in_plain_text_is_refused_with_the_command_that_makes_a_hash() {
    for (auth, command) in [
        ("basic = { ada = \"s3cret\" }", "`lattice wormhole hash`"),
        ("bearer = [\"s3cret\"]", "`lattice wormhole hash --token`"),
    ] {
        let text = format!("[wormholes.w]\nactor = \"shop\"\n[wormholes.w.auth]\n{auth}\n");
        let problems = problems(&text).to_string();
        assert!(problems.contains(command), "{problems}");
        assert!(!problems.contains("s3cret"), "{problems}");
        assert!(problems.contains("app.toml:7"), "{problems}");
    }
}

#[test]
fn what_is_wrong_with_a_wormhole_is_reported_with_its_place() {
    for (fields, says) in [
        ("host = \"http://shop\"", "invalid host name `http://shop`"),
        ("domains = [\"a b\"]", "invalid host name `a b`"),
        ("path = \"x\"", "a path must begin with `/`"),
        ("path = \"/a/../b\"", "a path must begin with `/`"),
        ("limits = { body = \"ten\" }", "invalid size"),
        ("limits = { rate = { per-second = 0 } }", "nonzero"),
        ("limits = { head-timeout = \"0s\" }", "isn't a valid time"),
        ("limits = { tail = 1 }", "unknown field `tail`"),
        (
            "auth = {}",
            "exactly one of `basic`, `bearer` and `verifier`",
        ),
        (
            "auth = { verifier = \"shop\", bearer = [] }",
            "exactly one of",
        ),
        ("auth = { bearer = [] }", "no request would be let through"),
        ("auth = { verifier = \"nobody\" }", "no component `nobody`"),
        ("state = \"ajar\"", "unknown value `ajar`"),
    ] {
        let text = format!("[wormholes.w]\nactor = \"shop\"\n{fields}\n");
        let problems = problems(&text);
        assert_eq!(problems.iter().count(), 1, "{fields}: {problems}");
        assert!(problems.to_string().contains(says), "{fields}: {problems}");
    }
    let twice = "[wormholes.a]\nactor = \"shop\"\nhost = \"shop.example\"\n\
                 [wormholes.b]\nactor = \"shop\"\ndomains = [\"Shop.example\"]\n";
    let problems = problems(twice);
    let kinds: Vec<_> = problems.iter().map(|problem| &problem.kind).collect();
    assert!(
        matches!(kinds[..], [ProblemKind::HostTaken { .. }]),
        "{problems}"
    );
}

#[tokio::test]
async fn a_name_that_another_app_has_is_a_problem_and_of_two_at_once_one_wins() {
    let programs = Programs::new();
    let (one, two) = (programs.open().await, programs.open().await);
    let of = |name: &str, round: usize| {
        let text = format!(
            "[wormholes.{name}-{round}]\nactor = \"{name}\"\nhost = \"shop-{round}.example\"\n"
        );
        app(name, &text)
    };
    for round in 0..8 {
        let (first, second) = (of("one", round), of("two", round));
        let (first, second) = tokio::join!(one.apply(&first), two.apply(&second));
        let (winner, lost) = match (first, second) {
            (Ok(_), Err(error)) => ("one", error),
            (Err(error), Ok(_)) => ("two", error),
            other => panic!("not one winner: {other:?}"),
        };
        let is_typed = matches!(
            lost,
            ApplyError::Conflict { .. } | ApplyError::Plan(PlanError::Problems(_))
        );
        assert!(is_typed, "{lost:?}");
        let (loser, lattice) = if winner == "one" {
            ("two", &two)
        } else {
            ("one", &one)
        };
        let taken = wormhole(&format!("{winner}-{round}"));
        until("the winner is known", || {
            lattice.desired().wormholes.contains_key(&taken)
        })
        .await;
        let planned = lattice.plan(&of(loser, round)).await;
        let Err(PlanError::Problems(problems)) = planned else {
            panic!("not a problem: {planned:?}");
        };
        let is_taken = problems.iter().any(
            |problem| matches!(&problem.kind, ProblemKind::HostTaken { by, .. } if *by == taken),
        );
        assert!(is_taken, "{problems}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_deleted_leaves_no_claims_of_the_names_that_it_chose() {
    let programs = Programs::new();
    let lattice = programs.open().await;
    let shop = app(
        "shop",
        "[wormholes.shop]\nactor = \"shop\"\nhost = \"shop.example\"\n\
         [wormholes.kept]\nactor = \"shop\"\nhost = \"quiet-harbor-4821\"\n",
    );
    lattice.apply(&shop).await.expect("applied");
    assert!(is_claimed(&programs, "shop.example").await);
    lattice.delete_app("shop").await.expect("deleted");
    assert!(!is_claimed(&programs, "shop.example").await);
    assert!(is_claimed(&programs, "quiet-harbor-4821").await);
}

#[tokio::test(start_paused = true)]
async fn an_app_may_pass_a_name_on_from_one_wormhole_to_another() {
    let lattice = Programs::new().open().await;
    let of = |id: &str| {
        let text = format!("[wormholes.{id}]\nactor = \"shop\"\nhost = \"shop.example\"\n");
        app("shop", &text)
    };
    lattice.apply(&of("old")).await.expect("applied");
    lattice.apply(&of("new")).await.expect("applied");
    let table = lattice.wormholes().table();
    let found = table.find("shop.example", "/").expect("one has it");
    assert_eq!((found.id.as_str(), table.len()), ("new", 1));
}

#[tokio::test(start_paused = true)]
async fn an_open_wormhole_without_an_ingress_is_a_warning() {
    let programs = Programs::new();
    let lattice = programs.open().await;
    let shop = app("shop", "[wormholes.web]\nactor = \"shop\"\n");
    let warns = async || {
        let plan = lattice.plan(&shop).await.expect("planned");
        let found = plan
            .warnings
            .into_iter()
            .find(|warning| matches!(warning, Warning::NoIngress { .. }));
        found.map(|warning| warning.to_string())
    };
    let warning = warns().await.expect("there is one");
    assert!(
        warning.contains("lattice up --http 127.0.0.1:8080"),
        "{warning}"
    );
    let options = NodeOptions::default()
        .host("edge")
        .expect("valid")
        .label(INGRESS_LABEL, "127.0.0.1:8080");
    let _edge = lattice.node(options).await.expect("it joins");
    until("it is known", || {
        lattice
            .peers()
            .iter()
            .any(|peer| peer.labels.contains_key(INGRESS_LABEL))
    })
    .await;
    assert_eq!(warns().await, None);
}
