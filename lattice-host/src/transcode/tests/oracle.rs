//! For any type, any value and every shape of call, the bytes are those of wasmtime's dynamic
//! values, in both directions.

use bytes::Bytes;
use proptest::prelude::*;
use wasmtime::component::Val;
use wasmtime::{Result, Store};

use super::guests::{Function, Strings, call_async, echo_async, forward};
use super::types::{Ty, any_type};
use super::values::{Random, encode};
use super::{Guest, Import, Route, Seen, When, block_on, encode_all, func, seen};

fn strings() -> impl Strategy<Value = Strings> {
    prop_oneof![
        4 => Just(Strings::Utf8),
        1 => Just(Strings::Utf16),
        1 => Just(Strings::Latin1OrUtf16),
    ]
}

fn function() -> impl Strategy<Value = Function> {
    let params = prop::collection::vec(any_type(), 0..4);
    (any::<bool>(), params, prop::option::of(any_type())).prop_map(
        |(async_type, params, result)| Function {
            async_type,
            params,
            result,
        },
    )
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    /// Sync lift and lower, of `func` and `async func`: both routes agree on every byte that
    /// crosses.
    #[test]
    fn forwarded_calls_agree(function in function(), strings in strings(), seed: u64) {
        block_on(forwarded(&function, strings, seed)).unwrap();
    }

    /// Async lift: arguments come back unchanged.
    #[test]
    fn async_exports_echo(ty in any_type(), strings in strings(), seed: u64) {
        let guest = Guest::new(&echo_async(&ty, strings));
        block_on(echoed(&guest, &ty, seed)).unwrap();
    }

    /// Async lower, with an immediate and a later reply: arguments and reply arrive unchanged.
    #[test]
    fn async_imports_echo(ty in any_type(), strings in strings(), seed: u64) {
        block_on(imported(&ty, strings, seed)).unwrap();
    }

    /// Valid bytes are the same after lowering and lifting. Invalid bytes cause no panic.
    #[test]
    fn valid_bytes_come_back(ty in any_type(), seed: u64) {
        let guest = Guest::new(&echo_async(&ty, Strings::Utf8));
        block_on(mutated(&guest, &ty, seed)).unwrap();
    }
}

/// Tests every carrier: each count of core values, for parameters and results, by each ABI, and one
/// more.
#[test]
fn every_count_of_core_values_is_carried() {
    for count in 0..=18 {
        let params = vec![Ty::U32; count];
        let all = (count > 0).then(|| Ty::Tuple(params.clone()));
        for async_type in [false, true] {
            let (params, result) = (params.clone(), all.clone());
            let function = Function {
                async_type,
                params,
                result,
            };
            block_on(forwarded(&function, Strings::Utf8, count as u64)).unwrap();
        }
        if let Some(ty) = all {
            let guest = Guest::new(&echo_async(&ty, Strings::Utf8));
            block_on(echoed(&guest, &ty, count as u64)).unwrap();
            block_on(imported(&ty, Strings::Utf8, count as u64)).unwrap();
        }
    }
}

async fn forwarded(function: &Function, strings: Strings, seed: u64) -> Result<()> {
    let guest = Guest::new(&forward(function, strings));
    let mut random = Random(seed);
    let params: Vec<Val> = function.params.iter().map(|ty| random.value(ty)).collect();
    let sent = encode_all(&function.params, &params);
    let mut reply = vec![];
    if let Some(ty) = &function.result {
        encode(ty, &random.value(ty), &mut reply);
    }
    let reply = Bytes::from(reply);
    for import in [Route::Raw, Route::Val] {
        for export in [Route::Raw, Route::Val] {
            for when in [When::AtOnce, When::Later] {
                let by = Import::by(import, function);
                let (mut store, instance) = guest.instance(by, reply.clone(), when).await?;
                let got = match export {
                    Route::Raw => guest.call(&mut store, &instance, &sent).await?,
                    Route::Val => {
                        let func = func(&mut store, &instance);
                        call_val(&mut store, func, function, &params).await?
                    }
                };
                let routes = format!("import {import:?} {when:?}, export {export:?}");
                assert_eq!(
                    seen(&store),
                    std::slice::from_ref(&sent),
                    "arguments, {routes}"
                );
                assert_eq!(got, reply, "result, {routes}");
            }
        }
    }
    Ok(())
}

async fn call_val(
    store: &mut Store<Seen>,
    func: wasmtime::component::Func,
    function: &Function,
    params: &[Val],
) -> Result<Vec<u8>> {
    let mut results = vec![Val::Bool(false); function.result.iter().count()];
    func.call_async(store, params, &mut results).await?;
    Ok(encode_all(function.result.as_slice(), &results))
}

async fn echoed(guest: &Guest, ty: &Ty, seed: u64) -> Result<()> {
    let (mut store, instance) = guest
        .instance(Import::Raw, Bytes::new(), When::AtOnce)
        .await?;
    let mut random = Random(seed);
    for _ in 0..4 {
        let value = random.value(ty);
        let sent = encode_all(std::slice::from_ref(ty), std::slice::from_ref(&value));
        let function = Function {
            async_type: true,
            params: vec![ty.clone()],
            result: Some(ty.clone()),
        };
        let func = func(&mut store, &instance);
        let by_val = call_val(&mut store, func, &function, &[value]).await?;
        assert_eq!(by_val, sent, "the oracle");
        assert_eq!(guest.call(&mut store, &instance, &sent).await?, sent);
    }
    Ok(())
}

async fn imported(ty: &Ty, strings: Strings, seed: u64) -> Result<()> {
    let guest = Guest::new(&call_async(ty, strings));
    let mut random = Random(seed);
    let params = encode_all(std::slice::from_ref(ty), &[random.value(ty)]);
    let reply = encode_all(std::slice::from_ref(ty), &[random.value(ty)]);
    // The value is in a list of one where the guest needs it in memory.
    let one = |wire: &[u8]| [&[1], wire].concat();
    let sent = if ty.flat().len() > 4 {
        one(&params)
    } else {
        params.clone()
    };
    for when in [When::AtOnce, When::Later] {
        let (mut store, instance) = guest
            .instance(Import::Raw, Bytes::from(reply.clone()), when)
            .await?;
        let got = guest.call(&mut store, &instance, &sent).await?;
        assert_eq!(
            seen(&store),
            std::slice::from_ref(&params),
            "arguments, {when:?}"
        );
        assert_eq!(got, one(&reply), "result, {when:?}");
    }
    Ok(())
}

async fn mutated(guest: &Guest, ty: &Ty, seed: u64) -> Result<()> {
    let (mut store, instance) = guest
        .instance(Import::Raw, Bytes::new(), When::AtOnce)
        .await?;
    let mut random = Random(seed);
    let mut sent = encode_all(std::slice::from_ref(ty), &[random.value(ty)]);
    for _ in 0..64 {
        match random.below(4) {
            0 => sent.insert(random.below(sent.len() + 1), random.next() as u8),
            1 if !sent.is_empty() => drop(sent.remove(random.below(sent.len()))),
            2 => sent = encode_all(std::slice::from_ref(ty), &[random.value(ty)]),
            _ if sent.is_empty() => {}
            _ => {
                let at = random.below(sent.len());
                sent[at] ^= 1 << random.below(8);
            }
        }
        let fits = |size: super::super::GuestBytes| size.0 < 1 << 20;
        if guest.export.validate_params(&sent).is_ok_and(fits) {
            assert_eq!(guest.call(&mut store, &instance, &sent).await?, sent);
        }
    }
    Ok(())
}
