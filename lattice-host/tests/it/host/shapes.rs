//! Values of every type. A guest passes them on to a provider and returns the provider's result, so
//! each call crosses the boundary of the guest four times.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    name::{FunctionName, InterfaceName},
    serve::Answer,
    types::ComponentTypes,
    value::from_bytes,
};
use lattice_host::{Host, Instances};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex},
};

const ECHO_ASYNC: &str = "lattice-test:shapes/echo-async@0.1.0";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    id: u64,
    score: f64,
    blob: Bytes,
    tags: Option<Vec<String>>,
    mode: u8,
    initial: char,
    small: u8,
    half: i16,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Circle(f32),
    Rect((u32, u64)),
    Label(String),
    Letter(char),
    Nothing,
    Exact(f64),
    Deep(Row),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Level {
    Low,
    Mid,
    High,
}

/// The arguments of `many-to-one` and `many-in-memory`, and the result of the latter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[rustfmt::skip]
struct Twenty {
    a: u8, b: u64, c: String, d: f32, e: u16, f: char, g: bool, h: i64, i: Bytes, j: f64,
    k: u32, l: i8, m: u8, n: Level, o: String, p: u64, q: i32, r: u8, s: i16, t: Option<u64>,
}

fn rows() -> [Row; 2] {
    let full = Row {
        name: "grüß dich 🦀".into(),
        id: u64::MAX,
        score: -0.1,
        blob: Bytes::from_static(b"\0\xff\x80"),
        tags: Some(vec![String::new(), "ö".repeat(300)]),
        mode: 0b101,
        initial: '🦀',
        small: 255,
        half: i16::MIN,
    };
    let empty = Row {
        name: String::new(),
        id: 0,
        score: f64::INFINITY,
        blob: Bytes::new(),
        tags: None,
        mode: 0,
        initial: '\0',
        small: 0,
        half: -1,
    };
    [full, empty]
}

fn shapes() -> Vec<Shape> {
    let [full, _] = rows();
    vec![
        Shape::Circle(f32::MIN_POSITIVE),
        Shape::Rect((u32::MAX, 1 << 40)),
        Shape::Label("a label".into()),
        Shape::Letter('ß'),
        Shape::Nothing,
        Shape::Exact(f64::MAX),
        Shape::Deep(full),
    ]
}

fn twenties() -> [Twenty; 3] {
    #[rustfmt::skip]
    let of = |n: Level, f: char, g: bool, most: bool| {
        let some = |value: u64| most.then_some(value);
        Twenty {
            a: 1, b: 2 << 40, c: "c".repeat(200), d: 1.5, e: 65_535, f, g, h: i64::MIN,
            i: Bytes::from(vec![9; 1_000]), j: -2.25, k: 3 << 20, l: -128, m: 0b010, n,
            o: String::new(), p: 5 << 50, q: i32::MIN, r: 200, s: -300, t: some(u64::MAX),
        }
    };
    [
        of(Level::Low, 'a', false, false),
        of(Level::Mid, '\u{10ffff}', true, true),
        of(Level::High, 'é', true, false),
    ]
}

type Called = Arc<Mutex<BTreeSet<(InterfaceName, FunctionName)>>>;

/// The guest, and the provider that it calls, on the same host or on another one.
struct Scene {
    lattice: Lattice,
    types: Arc<ComponentTypes>,
    called: Called,
    what: String,
    _hosts: [Host; 2],
}

impl Scene {
    async fn set(instances: Instances, same: bool) -> Self {
        let (here, there) = two_programs().await;
        let shapes = actor("shapes").instances(instances);
        let hosts = [
            started(Host::builder(&here).actor("shapes", shapes)).await,
            started(Host::builder(&there)).await,
        ];
        let types = here
            .operator()
            .component("shapes")
            .types()
            .await
            .expect("the types are published");
        let called = Called::default();
        hosts[usize::from(!same)]
            .start_provider("echo", echoing_all(&types, &called).serve())
            .await
            .expect("it starts");
        served(&here, "echo").await;
        for interface in [ECHO, ECHO_ASYNC] {
            link(&here, "shapes", interface, "echo").await;
        }
        Self {
            lattice: here,
            types,
            called,
            what: format!("{instances:?}, same host: {same}"),
            _hosts: hosts,
        }
    }

    /// Checks that the plain and the async function of this name return `expected`.
    async fn check<T>(&self, function: &str, args: impl Serialize, expected: &T)
    where
        T: Debug + PartialEq + DeserializeOwned + 'static,
    {
        for interface in [ECHO, ECHO_ASYNC] {
            let back = call::<T>(&self.lattice, "shapes", interface, function, &args).await;
            let at = || format!("{interface}#{function}, {}", self.what);
            match back {
                Ok(back) => assert_eq!(back, *expected, "{}", at()),
                Err(error) => panic!("{}: {error}", at()),
            }
        }
    }

    /// Checks that the function returns each of these values when it is called with it.
    async fn check_echo<T>(&self, function: &str, values: impl IntoIterator<Item = T>)
    where
        T: Debug + PartialEq + Serialize + DeserializeOwned + 'static,
    {
        for value in values {
            self.check(function, (&value,), &value).await;
        }
    }

    /// Checks that every function of the guest led to a call of the provider.
    fn check_all_called(&self) {
        let all = self.types.exports.iter().flat_map(|(interface, types)| {
            let functions = types.functions.keys().cloned();
            functions.map(|function| (interface.clone(), function))
        });
        let all = all.filter(|(interface, _)| interface.as_str() != CONTROL);
        let called = self.called.lock().expect("no panic");
        assert_eq!(*called, all.collect(), "{}", self.what);
    }
}

/// Exports all imports of `shapes` except for its gate. A function returns its arguments byte for
/// byte, or a sum of them.
fn echoing_all(types: &ComponentTypes, called: &Called) -> Native {
    let mut native = Native::default();
    for (interface, functions) in &types.imports {
        if interface.as_str() == GATE {
            continue;
        }
        for (name, signature) in &functions.functions {
            let (called, key) = (called.clone(), (interface.clone(), name.clone()));
            let sums = name.as_str() == "many-to-one";
            native = native.function(
                interface.as_str(),
                name.as_str(),
                signature,
                move |request| {
                    called.lock().expect("no panic").insert(key.clone());
                    if !sums {
                        return Answer::Ready(Ok(request.args));
                    }
                    let args: Twenty = from_bytes(&request.args).expect("twenty arguments");
                    Answer::Ready(Ok(encoded(&(args.b + u64::from(args.k) + args.p))))
                },
            );
        }
    }
    native
}

#[tokio::test]
async fn values_pass_through_an_actor_unchanged_by_func_and_by_async_func() {
    for instances in [Instances::Fresh, Instances::warm()] {
        for same in [true, false] {
            let scene = Scene::set(instances, same).await;
            simple_values(&scene).await;
            nested_values(&scene).await;
            many_values(&scene).await;
            scene.check_all_called();
        }
    }
}

async fn simple_values(scene: &Scene) {
    scene.check("nothing", (), &()).await;
    scene.check_echo("number", [0, 127, 128, u32::MAX]).await;
    scene
        .check_echo("letter", ['a', '\0', 'ß', '\u{ffff}', '🦀'])
        .await;
    scene.check_echo("bits", 0_u8..8).await;
    let pair = ("grüß dich".to_owned(), u64::MAX);
    scene.check("pair", &pair, &pair).await;
    let tags = vec!["a".to_owned(), String::new()];
    scene
        .check_echo("maybe", [None, Some(vec![]), Some(tags)])
        .await;
    scene.check_echo("bare", [Ok::<(), ()>(()), Err(())]).await;
    let bytes = [0, 1, 100_000].map(|length| Bytes::from(vec![7; length]));
    scene.check_echo("bytes", bytes).await;
}

async fn nested_values(scene: &Scene) {
    scene.check_echo("record-of-many", rows()).await;
    scene.check_echo("variety", shapes()).await;
    let [full, empty] = rows();
    let failed = Err("no row".to_owned());
    let fallible = [Ok(full.clone()), Ok(empty.clone()), failed];
    scene.check_echo("fallible", fallible).await;
    let triples = vec![[1_u16, 256, 65_535], [0, 0, 0]];
    scene.check_echo("triples", [vec![], triples]).await;
    let entries = BTreeMap::from([("x".to_owned(), full), (String::new(), empty)]);
    scene
        .check_echo("entries", [BTreeMap::new(), entries])
        .await;
    let numbers = vec![None, Some(0_u64), Some(u64::MAX)];
    let trios = vec![(1_u8, u32::MAX, 255_u8); 50];
    let nested = (shapes(), trios, Vec::from(rows()), numbers);
    scene.check("nested", &nested, &nested).await;
}

/// Calls with more arguments than fit into core values, so that they are passed in memory.
async fn many_values(scene: &Scene) {
    for twenty in twenties() {
        let sum = twenty.b + u64::from(twenty.k) + twenty.p;
        scene.check("many-to-one", &twenty, &sum).await;
        scene.check("many-in-memory", &twenty, &twenty).await;
    }
}
