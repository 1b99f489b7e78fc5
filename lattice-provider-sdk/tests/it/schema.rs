//! Providers that describe the configs of their links, for tools that make a form of it.

use lattice_core::name::InterfaceName;
use lattice_provider_sdk::{Call, CallError, Lattice, Link, Provider, Refusal, serve};

const SCHEMA: &str = "lattice:config/schema@0.1.0";
const TEXT: &str = r#"{"type": "object"}"#;
const OUTGOING: &str = r#"{"type": "object", "properties": {}}"#;
const BELL: &str = "test:described/bell@0.1.0";
/// What a wrapper would call the door.
const GATE: &str = "test:other/gate@1.0.0";

lattice_provider_sdk::provider!({
    inline: "
        package test:described@0.1.0;
        interface door { knock: func() -> bool; }
        interface bell { ring: func(); }
        world house { import bell; export door; }
    ",
});
use test::described::door::Door;

/// Describes its configs if `TOLD`. Operators may not call it.
struct House<const TOLD: bool>;

impl<const TOLD: bool> Provider for House<TOLD> {
    type World = World;
    type Config = ();
    type Binding = ();

    async fn link(&self, _: &Link, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn config_schema() -> Option<String> {
        TOLD.then(|| TEXT.to_owned())
    }

    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        (TOLD && interface.as_str() == BELL).then(|| OUTGOING.to_owned())
    }

    fn also_served_as() -> Vec<InterfaceName> {
        vec![InterfaceName::new(GATE).expect("a name")]
    }
}

impl<const TOLD: bool> Door for House<TOLD> {
    async fn knock(&self, _: &Call<Self>) -> bool {
        true
    }
}

async fn ask(
    lattice: &Lattice,
    component: &str,
    interface: &str,
) -> Result<Option<String>, CallError> {
    let operator = lattice.operator();
    let asked = (interface.to_owned(),);
    operator.call(component, SCHEMA, "link-config", asked).await
}

async fn ask_outgoing(lattice: &Lattice, interface: &str) -> Result<Option<String>, CallError> {
    let operator = lattice.operator();
    let asked = (interface.to_owned(),);
    let asked = operator.call("told", SCHEMA, "outgoing-config", asked);
    asked.await
}

#[tokio::test]
async fn a_provider_describes_the_configs_of_its_interfaces_to_tools_alone() {
    let lattice = Lattice::in_memory("test").await.expect("in memory");
    let _told = serve(&lattice, "told", House::<true>)
        .await
        .expect("served");
    let _silent = serve(&lattice, "silent", House::<false>)
        .await
        .expect("served");
    for interface in [
        "test:described/door@0.1.0",
        "test:described/door@0.1.7",
        "test:other/gate@1.2.0",
    ] {
        let schema = ask(&lattice, "told", interface).await;
        assert_eq!(schema, Ok(Some(TEXT.to_owned())), "{interface}");
    }
    for interface in ["test:described/other@0.1.0", BELL, SCHEMA] {
        assert_eq!(ask(&lattice, "told", interface).await, Ok(None));
    }
    let outgoing = ask_outgoing(&lattice, BELL).await;
    assert_eq!(outgoing, Ok(Some(OUTGOING.to_owned())));
    let outgoing = ask_outgoing(&lattice, "test:described/door@0.1.0").await;
    assert_eq!(outgoing, Ok(None), "that leads to it, and not from it");
    let refused = ask(&lattice, "told", "no interface").await;
    assert!(
        matches!(refused, Err(CallError::BadArguments { .. })),
        "{refused:?}"
    );
    let operator = lattice.operator();
    let knocked = operator.call::<bool>("told", "test:described/door@0.1.0", "knock", ());
    assert_eq!(knocked.await, Err(CallError::OperatorDenied));

    let schema = InterfaceName::new(SCHEMA).expect("a name");
    for (component, is_told) in [("told", true), ("silent", false)] {
        let id = component.parse().expect("an id");
        let types = lattice.published_types(&id).await;
        let types = types.expect("the store answers");
        let types = types.expect("published");
        assert_eq!(types.export(&schema).is_some(), is_told, "{component}");
    }
    let silent = ask(&lattice, "silent", "test:described/door@0.1.0").await;
    assert!(
        matches!(silent, Err(CallError::NotExported { .. })),
        "{silent:?}"
    );
}
