//! The code for resources, streams and futures.

use crate::{
    expand::{
        expand,
        tests::{exporting, refusal, with_world},
    },
    options::Macro,
    signature,
};
use quote::quote;

/// A bucket, and what uses it in another interface.
const BUCKETS: &str = "
    package a:b@0.1.0;
    interface store {
        record entry { key: string, bucket: bucket }
        record lookup { key: string, at: borrow<bucket>, old: bucket }
        type entries = list<entry>;
        resource bucket {
            constructor(name: string);
            open: static func(name: string) -> result<bucket, string>;
            get: func(key: string) -> option<string>;
            via: async func(other: borrow<bucket>) -> stream<entry>;
        }
        all: func() -> entries;
        look: func(at: lookup);
        close: func(bucket: bucket);
    }
    interface user {
        use store.{bucket as pail};
        f: func(one: borrow<pail>, data: stream<u8>) -> future<pail>;
    }
    world served { export store; export user; }
    world called { import store; import user; }
    world between { import store; export user; }
";

/// Returns the code for one of these worlds, without spaces.
fn code(kind: Macro, world: &str) -> String {
    let code = expand(kind, quote!({ inline: #BUCKETS, world: #world })).expect("valid");
    syn::parse2::<syn::File>(code.clone()).expect("a Rust file");
    code.to_string().replace(' ', "")
}

fn has(code: &str, expected: &[&str]) {
    for part in expected {
        let part = part.replace(' ', "");
        assert!(code.contains(&part), "no `{part}` in {code}");
    }
}

#[test]
fn a_provider_has_a_type_for_each_of_its_resources() {
    let code = code(Macro::Provider, "served");
    has(
        &code,
        &[
            "type Bucket: Bucket<Self>;",
            "pub trait Bucket<Provider__: Store>:",
            "fn new_bucket(&self, call: &::lattice_provider_sdk::Call<Self>, name: ::std::string::String,)",
            "Output = <Self as self::Store>::Bucket>",
            "fn bucket_open(",
            "Output = ::core::result::Result<<Self as self::Store>::Bucket, ::std::string::String>>",
            "fn via(&self, call: &::lattice_provider_sdk::Call<Provider__>, other: &<Provider__ as self::Store>::Bucket,)",
            "fn close(&self, call: &::lattice_provider_sdk::Call<Self>, bucket: <Self as self::Store>::Bucket,)",
            "pub struct Entry<OwnBucket> {",
            "pub type Entries<OwnBucket> = ::std::vec::Vec<self::Entry<OwnBucket>>;",
            "pub struct Lookup<BorrowBucket, OwnBucket> {",
            "self::Entries<::lattice_provider_sdk::Own<<Self as self::Store>::Bucket>>",
            "pub trait User: ::lattice_provider_sdk::Provider + super::store::Store {",
            "one: &<Self as super::store::Store>::Bucket,",
            "data: ::lattice_provider_sdk::ByteReader,",
            "::lattice_provider_sdk::FutureReader<::lattice_provider_sdk::Own<<Self as super::store::Store>::Bucket>>",
        ],
    );
    assert!(!code.contains("BucketClient"), "{code}");
}

#[test]
fn a_client_has_a_handle_for_each_resource() {
    let provider = code(Macro::Provider, "called");
    for code in [&provider, &code(Macro::Client, "served")] {
        has(
            code,
            &[
                "pub struct BucketClient {",
                "pub struct BucketRef(",
                "pub struct Entry<OwnBucket = self::BucketClient> {",
                "ClientCall<'_, self::BucketClient, Caller__> where Caller__: ::core::clone::Clone + 'static",
                "pub fn via_(&self, other: &self::BucketRef,)",
                "StreamReader<self::Entry<self::BucketClient>>, ::lattice_provider_sdk::Attached>",
                "at: self::Lookup<&self::BucketRef, self::BucketClient>,",
                "one: &super::store::BucketRef,",
            ],
        );
        assert!(!code.contains("trait"), "{code}");
    }
}

#[test]
fn a_provider_gets_handles_to_the_resources_of_others() {
    let code = code(Macro::Provider, "between");
    has(
        &code,
        &[
            "pub trait User: ::lattice_provider_sdk::Provider {",
            "one: &super::store::BucketRef,",
            "::lattice_provider_sdk::FutureReader<super::store::BucketClient>",
            "::std::vec![]",
        ],
    );
    assert!(!code.contains("traitStore"), "{code}");
}

#[test]
fn a_signature_has_the_name_under_which_a_resource_is_defined() {
    let text = "package a:b@0.1.0;
        interface r { resource bucket; }
        interface c { use r.{bucket as pail}; f: func(x: borrow<pail>) -> stream<pail>; }
        world w { export c; }";
    with_world(text, |world| {
        let mut functions = world
            .interfaces
            .iter()
            .flat_map(|of| of.wit.functions.values());
        let function = functions.next().expect("a function");
        assert_eq!(
            signature::text(world, function),
            "func(x: borrow<a:b/r/bucket>) -> stream<own<a:b/r/bucket>>"
        );
    });
}

#[test]
fn resources_of_one_name_have_parameters_of_their_own() {
    let text = "package a:b@0.1.0;
        interface one { resource r; }
        interface two { resource r; }
        interface c { use one.{r}; use two.{r as s}; record both { x: r, y: s } f: func(b: both); }
        world w { import c; }";
    let code = expand(Macro::Provider, quote!({ inline: #text })).expect("valid");
    let code = code.to_string();
    for name in ["OwnABOneR", "OwnABTwoR"] {
        assert!(code.contains(name), "no {name}: {code}");
    }
}

#[test]
fn names_that_resources_bring_are_distinct() {
    for (body, expected) in [
        (
            "resource r { constructor(); } new-r: func();",
            "both `new_r` in Rust",
        ),
        (
            "resource r { s: static func(); } r-s: func();",
            "both `r_s` in Rust",
        ),
        (
            "resource r; record r-client { x: u8 }",
            "the type `r-client` of `a:b/c@0.1.0` has the Rust name of a handle to resource `r`",
        ),
    ] {
        let message = refusal(&exporting(body));
        assert!(message.contains(expected), "{body}: {message}");
    }
    // The interface's own names make way.
    let text = "package a:b; interface bucket { resource bucket { m: func(); } }
        world w { import bucket; export bucket; }";
    let code = expand(Macro::Provider, quote!({ inline: #text })).expect("valid");
    let code = code.to_string();
    for name in [
        "trait BucketInterface",
        "struct BucketInterfaceClient",
        "struct BucketClient",
    ] {
        assert!(code.contains(name), "no {name}: {code}");
    }
}
