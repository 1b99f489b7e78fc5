//! Warnings and problems of a plan that depend on the live hosts and the components that they
//! serve.

use super::*;
use lattice_core::{
    app::{ResourceRef, Warning},
    link::LinkMismatch,
    node::{Node, NodeOptions},
    types::{ComponentTypes, InterfaceTypes},
};
use std::{collections::BTreeMap, time::Duration};

async fn host(lattice: &Lattice, label: &str, value: &str) -> Node {
    let options = NodeOptions::default().label(label, value);
    lattice.node(options).await.expect("it joins")
}

#[tokio::test(start_paused = true)]
async fn labels_without_a_matching_host_are_a_warning() {
    let lattice = Lattice::in_memory("dev").await.expect("it opens");
    let rules = app(&format!(
        "name = \"shop\"\nexternal = [\"unserved\", \"caller\"]\n[actors.a]\nimage = \"{IMAGE}\"\nrequire = {{ zone = \"eu\", zoen = \"eu\" }}\nspread = [{{ label = \"zone\", weights = {{ eu = 1, mars = 1 }} }}, {{ label = \"rack\" }}]\n\
         [[links]]\nfrom = \"a\"\nto = \"unserved\"\ninterface = \"a:b/c@1.0.0\"\n\
         [[links]]\nfrom = \"caller\"\nto = \"a\"\ninterface = \"a:b/c@1.0.0\"\n"
    ));
    let plan = lattice.plan(&rules).await.expect("planned");
    assert!(plan.warnings.contains(&Warning::NoHosts), "{plan}");
    let _hosts = (
        host(&lattice, "zone", "eu").await,
        host(&lattice, "zone", "us").await,
    );
    let both_are_there = async {
        while lattice.peers().iter().count() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, both_are_there)
        .await
        .expect("they are known");
    let plan = lattice.apply(&rules).await.expect("applied").plan;
    let resource = ResourceRef::Actor(id("a"));
    let label = |label: &str| Warning::UnknownLabel {
        resource: resource.clone(),
        label: label.to_owned(),
    };
    let (label_warnings, others): (Vec<_>, Vec<_>) =
        plan.warnings.iter().cloned().partition(|warning| {
            matches!(
                warning,
                Warning::UnknownLabel { .. } | Warning::UnknownLabelValue { .. }
            )
        });
    let value = Warning::UnknownLabelValue {
        resource: resource.clone(),
        label: "zone".to_owned(),
        value: "mars".to_owned(),
    };
    assert_eq!(label_warnings, [label("rack"), label("zoen"), value]);
    assert!(
        others.contains(&Warning::UnknownExternal { id: id("unserved") }),
        "{others:?}"
    );
    let caller = Warning::UnknownExternal { id: id("caller") };
    assert!(!others.contains(&caller), "it only calls: {others:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_wormhole_is_a_warning_because_nothing_serves_it() {
    let lattice = Lattice::in_memory("dev").await.expect("it opens");
    let public = app(&format!(
        "name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\n\
         [wormholes.web]\nactor = \"a\"\n\
         [wormholes.old]\nactor = \"a\"\nstate = \"closed\"\n"
    ));
    let plan = lattice.plan(&public).await.expect("planned");
    let of_wormholes = |warning: &&Warning| matches!(warning, Warning::NoIngress { .. });
    let warnings: Vec<_> = plan.warnings.iter().filter(of_wormholes).collect();
    let id = "web".parse().expect("an id");
    assert_eq!(warnings, [&Warning::NoIngress { id }], "{plan}");
}

fn types(function: &str) -> BTreeMap<lattice_core::name::InterfaceName, InterfaceTypes> {
    let mut types = InterfaceTypes::default();
    types
        .functions
        .insert("get".parse().expect("a name"), function.to_owned());
    [("a:b/c@0.2.0".parse().expect("a name"), types)].into()
}

#[tokio::test(start_paused = true)]
async fn links_are_checked_against_the_known_types() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let records = lattice_core::store::record::Records::new(Arc::new(store), auth());
    let published = lattice_core::type_store::Types::new(records);
    let exports = ComponentTypes {
        exports: types("func()"),
        ..ComponentTypes::default()
    };
    published
        .publish(&id("back"), &exports)
        .await
        .expect("published");
    let imports = ComponentTypes {
        imports: types("func(a: u8)"),
        ..ComponentTypes::default()
    };
    published
        .publish(&id("front"), &imports)
        .await
        .expect("published");
    let linked = |interface: &str| {
        let link = |from: &str| {
            format!("[[links]]\nfrom = \"{from}\"\nto = \"back\"\ninterface = \"{interface}\"\n")
        };
        app(&format!(
            "name = \"shop\"\nexternal = [\"front\", \"back\", \"new\"]\n{}{}",
            link("front"),
            link("new")
        ))
    };
    let problems = objections(&lattice, &linked("x:y/z")).await;
    assert!(
        matches!(
            kinds(&problems).as_slice(),
            [
                ProblemKind::LinkMismatch(LinkMismatch::NotExported { .. }),
                ProblemKind::LinkMismatch(_)
            ]
        ),
        "{problems}"
    );
    let problems = objections(&lattice, &linked("a:b/c@0.2.0")).await;
    assert!(
        matches!(
            kinds(&problems).as_slice(),
            [ProblemKind::LinkMismatch(
                LinkMismatch::SchemaMismatch { .. }
            )]
        ),
        "{problems}"
    );
    assert!(
        problems
            .to_string()
            .starts_with("app.toml:3:1: links[0]: `a:b/c@0.2.0#get` has type"),
        "{problems}"
    );
    assert!(lattice.links().list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_configuration_may_belong_to_another_app_and_a_misspelt_one_is_reported() {
    let lattice = join(&MemoryStore::new()).await;
    lattice
        .apply(&app("name = \"base\"\n[configs.common]\na = 1\n"))
        .await
        .expect("applied");
    let using = |config: &str| {
        app(&format!(
            "name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\nconfigs = [\"{config}\"]\n"
        ))
    };
    let problems = objections(&lattice, &using("comon")).await;
    assert!(
        problems
            .to_string()
            .contains("no configuration `comon`, did you mean `common`?"),
        "{problems}"
    );
    lattice.apply(&using("common")).await.expect("applied");
}
