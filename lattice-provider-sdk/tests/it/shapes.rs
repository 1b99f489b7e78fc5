//! Functions of every type, served by handlers and called by clients on an in-memory lattice.

#![expect(
    clippy::many_single_char_names,
    reason = "parameters have the short names of the WIT"
)]

use lattice_provider_sdk::{
    Bytes, Call, CallError, Lattice, Link, ServeHandle, Stateless, serve, value::Fixed,
};
use std::collections::BTreeMap;

lattice_provider_sdk::provider!({ path: "tests/wit", world: "every" });

use test::every::{
    r#mod::{Mod, ModClient, ModInterface},
    types::{Level, Point},
    values::{Extra, Failure, Nested, Reals, Rights, Scalars, Shape, Values, ValuesClient},
};

struct Every;

impl Stateless for Every {
    type World = World;
}

impl Values for Every {
    async fn nothing(&self, _: &Call<Self>) {}

    async fn ints(
        &self,
        _: &Call<Self>,
        a: u8,
        b: u16,
        c: u32,
        d: u64,
        e: i8,
        f: i16,
        g: i32,
        h: i64,
    ) -> bool {
        (a, b, c, d, e, f, g, h) == (1, 2, 3, 4, -1, -2, -3, -4)
    }

    async fn floats(&self, _: &Call<Self>, x: f32) -> f64 {
        f64::from(x) * 2.0
    }

    async fn texts(&self, _: &Call<Self>, c: char) -> String {
        c.to_string().repeat(3)
    }

    async fn named(
        &self,
        _: &Call<Self>,
        n: Nested,
        s: Shape,
        g: Level,
        r: Rights,
        e: Extra,
    ) -> Scalars {
        assert_eq!(
            (s, g, r),
            (Shape::Pair((1, 2)), Level::HighEr, Rights::WRITE)
        );
        scalars(e.n, n.r#type.concat())
    }

    async fn containers(
        &self,
        _: &Call<Self>,
        t: (u8, f32),
        o: Option<Option<char>>,
        m: BTreeMap<String, Bytes>,
        x: [u16; 4],
    ) {
        assert_eq!((t, o, x), ((1, 2.5), Some(Some('x')), [1, 2, 3, 4]));
        assert_eq!(
            m,
            BTreeMap::from([("k".to_owned(), Bytes::from_static(b"v"))])
        );
    }

    async fn r0(&self, _: &Call<Self>, fail: bool) -> Result<(), ()> {
        if fail { Err(()) } else { Ok(()) }
    }

    async fn r1(&self, _: &Call<Self>) -> Result<u8, ()> {
        Ok(7)
    }

    async fn r2(&self, _: &Call<Self>, fail: bool) -> Result<(), String> {
        if fail {
            Err("on purpose".to_owned())
        } else {
            Ok(())
        }
    }

    // A handler may also return a future instead of being an `async fn`.
    fn r3(&self, _: &Call<Self>, p: Point) -> impl Future<Output = Result<Point, Failure>> + Send {
        std::future::ready(if p.x == 0 {
            Err(Failure::NotFound)
        } else {
            Ok(Point { x: p.y, y: p.x })
        })
    }

    async fn bytes(&self, _: &Call<Self>, data: Bytes, more: Option<Bytes>) -> Bytes {
        [data, more.unwrap_or_default()].concat().into()
    }

    async fn many(
        &self,
        _: &Call<Self>,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
        n: u8,
        o: u8,
        p: u8,
        q: u8,
        r: String,
    ) -> String {
        format!(
            "{:?} {r}",
            [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]
        )
    }

    async fn clashes(
        &self,
        _: &Call<Self>,
        call: u8,
        context: u8,
        provider: u8,
        args: u8,
        error: u8,
        self_: u8,
        r#async: u8,
    ) -> u8 {
        call + context + provider + args + error + self_ + r#async
    }

    async fn new(&self, _: &Call<Self>, new: u8) -> u8 {
        new
    }

    async fn r#loop(&self, _: &Call<Self>) -> Reals {
        Reals {
            single: 0.5,
            double: f64::INFINITY,
        }
    }
}

impl ModInterface for Every {
    async fn double(&self, _: &Call<Self>, n: u32) -> Mod {
        Mod { n: n * 2 }
    }
}

fn scalars(d: u64, word: String) -> Scalars {
    Scalars {
        yes: true,
        a: 1,
        b: 2,
        c: 3,
        d,
        e: -1,
        f: -2,
        g: -3,
        h: -4,
        letter: 'ß',
        word,
    }
}

fn nested() -> Nested {
    Nested {
        at: Point { x: 1, y: 2 },
        r#type: vec!["a".to_owned(), "b".to_owned()],
        self_: None,
        bytes: Bytes::from_static(b"bytes"),
        entries: BTreeMap::from([("one".to_owned(), 1)]),
        short: [1, 2, 3],
        long: Fixed([9; 40]),
        pair: (1, "p".to_owned()),
    }
}

async fn lattice() -> (Lattice, ServeHandle) {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let serving = serve(&lattice, "every", Every).await.expect("served");
    (lattice, serving)
}

#[tokio::test]
async fn an_operators_client_calls_every_function() -> Result<(), CallError> {
    let (lattice, _serving) = lattice().await;
    call_every_function(&ValuesClient::new(lattice.operator().component("every"))).await
}

#[tokio::test]
async fn a_components_client_calls_every_function_through_its_links() -> Result<(), CallError> {
    let (lattice, _serving) = lattice().await;
    for name in ["default", "other"] {
        let link = Link::new("tester", "test:every/values@0.2.0", "every")
            .and_then(|link| link.named(name))
            .expect("valid");
        lattice.links().put(link).await.expect("put");
    }
    let caller = lattice.caller("tester").expect("an id");
    call_every_function(&ValuesClient::new(caller.clone())).await?;
    let other = caller.clone().via("other").expect("a link name");
    call_every_function(&ValuesClient::new(other)).await?;

    let none = caller.via("none").expect("a link name");
    let error = ValuesClient::new(none)
        .nothing()
        .await
        .expect_err("no such link");
    assert!(matches!(error, CallError::NotLinked { .. }), "{error}");
    Ok(())
}

async fn call_every_function<C: lattice_provider_sdk::Invoke>(
    client: &ValuesClient<C>,
) -> Result<(), CallError> {
    client.nothing().await?;
    assert!(client.ints(1, 2, 3, 4, -1, -2, -3, -4).await?);
    assert_eq!(client.floats(1.5).await?.to_bits(), 3.0_f64.to_bits());
    assert_eq!(client.texts('é').await?, "ééé");
    let named = client.named(
        &nested(),
        &Shape::Pair((1, 2)),
        Level::HighEr,
        Rights::WRITE,
        &Extra { n: 5 },
    );
    assert_eq!(named.await?, scalars(5, "ab".to_owned()));
    let map = BTreeMap::from([("k".to_owned(), Bytes::from_static(b"v"))]);
    client
        .containers(&(1, 2.5), Some(Some('x')), &map, &[1, 2, 3, 4])
        .await?;
    assert_eq!(client.r0(false).await?, Ok(()));
    assert_eq!(client.r0(true).await?, Err(()));
    assert_eq!(client.r1().await?, Ok(7));
    assert_eq!(client.r2(false).await?, Ok(()));
    assert_eq!(client.r2(true).await?, Err("on purpose".to_owned()));
    assert_eq!(
        client.r3(&Point { x: 1, y: 2 }).await?,
        Ok(Point { x: 2, y: 1 })
    );
    assert_eq!(
        client.r3(&Point { x: 0, y: 2 }).await?,
        Err(Failure::NotFound)
    );
    assert_eq!(client.bytes(b"ab", Some(b"c")).await?, "abc");
    assert_eq!(client.bytes(&[], None).await?, "");
    let many = client.many(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, "end",
    );
    assert_eq!(
        many.await?,
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17] end"
    );
    assert_eq!(client.clashes(1, 2, 3, 4, 5, 6, 7).await?, 28);
    assert_eq!(client.new_(3).await?, 3);
    assert_eq!(
        client.r#loop().await?,
        Reals {
            single: 0.5,
            double: f64::INFINITY
        }
    );
    Ok(())
}

#[tokio::test]
async fn every_exported_interface_is_served() -> Result<(), CallError> {
    let (lattice, _serving) = lattice().await;
    let client = ModClient::new(lattice.operator().component("every"));
    assert_eq!(client.double(21).await?, Mod { n: 42 });
    Ok(())
}

#[tokio::test]
async fn a_call_with_arguments_of_another_type_is_refused_and_does_not_run() {
    let (lattice, _serving) = lattice().await;
    for (function, args) in [
        ("texts", &b"\x02ab"[..]),
        ("texts", b""),
        ("nothing", b"x"),
        ("named", &[0xff; 64]),
    ] {
        let call = lattice.operator().component("every").call_encoded(
            "test:every/values@0.2.3",
            function,
            Bytes::copy_from_slice(args),
        );
        let error = call.await.expect_err(function);
        assert!(
            matches!(error, CallError::BadArguments { .. }),
            "{function}: {error}"
        );
    }
}

mod older {
    lattice_provider_sdk::provider!({
        inline: "
            package test:every@0.2.0;
            interface values { texts: func(c: string) -> string; r1: func() -> result<u8>; gone: func(); }
            world older { import values; }
        ",
    });
}

#[tokio::test]
async fn a_client_of_another_version_calls_compatible_functions_and_gets_errors_for_the_rest()
-> Result<(), CallError> {
    let (lattice, _serving) = lattice().await;
    let client =
        older::test::every::values::ValuesClient::new(lattice.operator().component("every"));
    assert_eq!(client.r1().await?, Ok(7));
    let error = client.texts("c").await.expect_err("another type");
    let CallError::SchemaMismatch {
        expected, found, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (expected.as_str(), found.as_str()),
        ("func(c: string) -> string", "func(c: char) -> string")
    );
    let error = client.gone().await.expect_err("not exported");
    assert!(matches!(error, CallError::NotExported { .. }), "{error}");
    Ok(())
}
