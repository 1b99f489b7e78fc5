//! Names that could clash with generated code: names of the prelude, names that the code uses
//! itself, and names of two versions of one package.
//!
//! Most of these tests pass when this compiles.

// The strictest lints that a library's author may choose.
#![deny(
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic
)]

use lattice_core::value::to_bytes;
use lattice_provider_sdk::{Call, CallError, Lattice, Stateless, serve};

/// Types with the names that generated code uses.
pub mod prelude {
    lattice_provider_sdk::provider!({
        inline: "
            package test:prelude@0.1.0;
            interface all {
                record %option { %string: string }
                record %result { %ok: result<u8, string>, vec: list<%option> }
                variant some { none, ok(%result), err(list<u8>) }
                enum debug { clone, copy, eq, hash }
                flags send { sync, bits, empty, all }
                type %future = %option;
                record p { %world: u8 }
                record provider { call: p, answer: %future }
                record caller { context: p }
                type bytes = list<u8>;
                type core = u8;
                type %string = string;
                swap: func(%result: %result, a: some, b: send, c: debug) -> result<provider, some>;
                drop: func(bytes: bytes, %string: %string, core: option<core>) -> option<caller>;
                into-service: func();
                link: func();
                unlink: func() -> option<%string>;
                operator: func() -> core;
            }
            world %world { import all; export all; }
        ",
    });
}

/// Two versions of one package, and an interface of the same name in each.
pub mod versions {
    lattice_provider_sdk::provider!({
        inline: "
            package test:both;
            world both { import test:old/greet@0.1.0; export test:old/greet@0.2.0; }
            package test:old@0.1.0 { interface greet { hello: func() -> u8; } }
            package test:old@0.2.0 { interface greet { hello: func() -> u16; } }
        ",
    });
}

use prelude::test::prelude::all::{
    All, AllClient, Caller, Debug, Option as WitOption, P, Provider, Result as WitResult, Send,
    Some,
};

struct Prelude;

impl Stateless for Prelude {
    type World = prelude::World;
}

impl All for Prelude {
    async fn swap(
        &self,
        _: &Call<Self>,
        result: WitResult,
        a: Some,
        b: Send,
        c: Debug,
    ) -> Result<Provider, Some> {
        assert_eq!((b, c), (Send::ALL | Send::EMPTY, Debug::Eq));
        let answer = result.vec.into_iter().next().ok_or(a)?;
        Ok(Provider {
            call: P { world: 1 },
            answer,
        })
    }

    async fn drop(
        &self,
        _: &Call<Self>,
        _: lattice_provider_sdk::Bytes,
        _: String,
        core: Option<u8>,
    ) -> Option<Caller> {
        core.map(|world| Caller {
            context: P { world },
        })
    }

    async fn into_service(&self, _: &Call<Self>) {}

    async fn link(&self, _: &Call<Self>) {}

    async fn unlink(&self, _: &Call<Self>) -> Option<String> {
        None
    }

    async fn operator(&self, _: &Call<Self>) -> u8 {
        9
    }
}

#[tokio::test]
async fn names_of_the_prelude_can_be_used_in_wit() -> Result<(), CallError> {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let _serving = serve(&lattice, "prelude", Prelude).await.expect("served");
    let client = AllClient::new(lattice.operator().component("prelude"));
    let result = WitResult {
        ok: Err("e".to_owned()),
        vec: vec![WitOption {
            string: "s".to_owned(),
        }],
    };
    let swapped = client
        .swap(&result, &Some::None, Send::ALL | Send::EMPTY, Debug::Eq)
        .await?;
    assert_eq!(
        swapped.map(|provider| provider.answer.string),
        Ok("s".to_owned())
    );
    assert_eq!(
        client.drop(b"", "", Option::Some(3)).await?,
        Option::Some(Caller {
            context: P { world: 3 }
        })
    );
    client.into_service().await?;
    client.link().await?;
    assert_eq!(client.unlink().await?, None);
    assert_eq!(client.operator().await?, 9);
    Ok(())
}

#[test]
fn each_version_of_a_package_has_its_own_module() {
    use lattice_provider_sdk::world::{Interface, WitWorld};
    use versions::test::{old_0_1_0, old_0_2_0};

    let imports: Vec<_> = versions::World::IMPORTS
        .iter()
        .map(|interface| interface.name())
        .collect();
    assert_eq!(imports, ["test:old/greet@0.1.0"]);
    let keys = |interface: &Interface| interface.functions()[0].key;
    assert_ne!(
        keys(&old_0_1_0::greet::INTERFACE),
        keys(&old_0_2_0::greet::INTERFACE)
    );
}

/// The newer version is exported, so its trait is implemented. The older one is called.
struct Newer(versions::test::old_0_1_0::greet::GreetClient<lattice_provider_sdk::Caller>);

impl Stateless for Newer {
    type World = versions::World;
}

impl versions::test::old_0_2_0::greet::Greet for Newer {
    async fn hello(&self, _call: &Call<Self>) -> u16 {
        self.0.hello().await.map_or(0, u16::from)
    }
}

#[test]
fn payloads_keep_their_order() {
    assert_eq!(
        &to_bytes(&Some::Err(lattice_provider_sdk::Bytes::from_static(b"x"))).expect("encodes")[..],
        [2, 1, b'x']
    );
}
