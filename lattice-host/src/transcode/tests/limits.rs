//! Size limits, bad replies, and calls that share a store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::Barrier;
use wasmtime::component::Linker;
use wasmtime::{Error, Result, Store, StoreContextMut};

use super::super::{ImportError, ImportHandler, LiftError, ReplyFuture, ValueError, link_import};
use super::guests::{Function, Lowered, Strings, echo_async, forward, give, pass, relay};
use super::types::{Ty, any_type, list};
use super::values::Random;
use super::{ENGINE, Guest, Import, Seen, When, block_on, encode_all, seen};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The limit counts wire bytes exactly: for any type, a value of as many bytes passes, and a
    /// limit of one byte less is too small.
    #[test]
    fn the_limit_counts_wire_bytes(ty in any_type(), seed: u64, strings in 0..3_usize) {
        let strings = [Strings::Utf8, Strings::Utf16, Strings::Latin1OrUtf16][strings];
        let value = Random(seed).value(&ty);
        let wire = encode_all(std::slice::from_ref(&ty), &[value]);
        let guest = Guest::new(&echo_async(&ty, strings));
        let fits = block_on(call_with_fuel(&guest, &wire, wire.len()));
        prop_assert_eq!(fits.unwrap(), wire.clone());
        let error = block_on(call_with_fuel(&guest, &wire, wire.len() - 1)).unwrap_err();
        let too_large = matches!(error.downcast_ref(), Some(LiftError::TooLarge | LiftError::ResultTooLarge));
        prop_assert!(too_large, "{error:?}");
    }
}

async fn call_with_fuel(guest: &Guest, wire: &[u8], fuel: usize) -> Result<Vec<u8>> {
    let (mut store, instance) = guest
        .instance(Import::Raw, Bytes::new(), When::AtOnce)
        .await?;
    store.set_hostcall_fuel(fuel);
    guest.call(&mut store, &instance, wire).await
}

/// Up to 4 MB of a guest's memory in two core values.
#[test]
fn a_huge_value_fails_as_too_large() {
    for ty in [
        list(Ty::U8),
        list(Ty::U32),
        list(Ty::F64),
        list(Ty::Tuple(vec![Ty::U16])),
        Ty::String,
    ] {
        let values = ["i32.const 4096".to_owned(), "i32.const 400000".to_owned()];
        let place = "\\00\\10\\00\\00\\80\\1a\\06\\00";
        for (text, expected) in [
            (
                pass(&ty, Strings::Utf8, "", &values, Lowered::Sync),
                LiftError::TooLarge,
            ),
            (
                pass(&ty, Strings::Utf8, "", &values, Lowered::Async),
                LiftError::TooLarge,
            ),
            (
                give(&ty, Strings::Utf8, place, "i32.const 0"),
                LiftError::ResultTooLarge,
            ),
        ] {
            let guest = Guest::new(&text);
            let error = block_on(call_with_fuel(&guest, &[], 1000)).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&expected), "{ty:?}");
            block_on(call_with_fuel(&guest, &[], 1 << 23)).unwrap();
        }
    }
}

#[test]
fn an_invalid_reply_traps_and_the_error_names_the_import() {
    for async_type in [false, true] {
        for when in [When::AtOnce, When::Later] {
            let result = Some(list(Ty::Bool));
            let function = Function {
                async_type,
                params: vec![],
                result,
            };
            let guest = Guest::new(&forward(&function, Strings::Utf8));
            let reply = Bytes::from_static(&[1, 2]);
            let error = block_on(async {
                let (mut store, instance) = guest.instance(Import::Raw, reply, when).await?;
                guest.call(&mut store, &instance, &[]).await
            });
            let expected = ImportError::BadResult {
                interface: "test:guest/i".into(),
                function: "f".into(),
                source: ValueError::Bool { at: 2, byte: 2 },
            };
            let error = error.unwrap_err();
            assert_eq!(
                error.downcast_ref(),
                Some(&expected),
                "{async_type} {when:?}: {error:?}"
            );
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("the callee is gone")]
struct Gone;

#[test]
fn an_error_of_the_handler_reaches_the_caller_of_the_guest() {
    for async_type in [false, true] {
        let function = Function {
            async_type,
            params: vec![],
            result: None,
        };
        let guest = Guest::new(&forward(&function, Strings::Utf8));
        let handler = |_: StoreContextMut<'_, Seen>, _: Bytes| -> ReplyFuture {
            Box::pin(async { Err(Error::new(Gone)) })
        };
        let error = block_on(async {
            let (mut store, instance) = instance_with(&guest, Arc::new(handler)).await?;
            guest.call(&mut store, &instance, &[]).await
        });
        assert_eq!(error.unwrap_err().downcast_ref(), Some(&Gone));
    }
}

/// Records its calls, and replies with no bytes to them and to those that are too large.
struct Patient;

impl ImportHandler<Seen> for Patient {
    fn call(&self, store: StoreContextMut<'_, Seen>, arguments: Bytes) -> ReplyFuture {
        let mut seen = store.data().lock().expect("no panic");
        seen.push(arguments.to_vec());
        Box::pin(async { Ok(Bytes::new()) })
    }

    fn too_large(&self, _: StoreContextMut<'_, Seen>) -> ReplyFuture {
        Box::pin(async { Ok(Bytes::new()) })
    }
}

/// Checks arguments as core values, and in memory.
#[test]
fn an_import_may_reply_to_arguments_that_are_too_large() {
    for params in [vec![list(Ty::U8)], vec![list(Ty::U8); 9]] {
        for async_type in [false, true] {
            let wire = [2, 7, 7].repeat(params.len());
            let function = Function {
                async_type,
                params: params.clone(),
                result: None,
            };
            let guest = Guest::new(&forward(&function, Strings::Utf8));
            block_on(async {
                let (mut store, instance) = instance_with(&guest, Arc::new(Patient)).await.unwrap();
                store.set_hostcall_fuel(wire.len() - 1);
                guest.call(&mut store, &instance, &wire).await.unwrap();
                assert!(seen(&store).is_empty());
                store.set_hostcall_fuel(wire.len());
                guest.call(&mut store, &instance, &wire).await.unwrap();
                assert_eq!(seen(&store), std::slice::from_ref(&wire));
            });
        }
    }
}

#[test]
fn an_export_is_not_bound_to_another_function() {
    let function = |result| Function {
        async_type: true,
        params: vec![],
        result,
    };
    let short = Guest::new(&forward(&function(Some(Ty::U8)), Strings::Utf8));
    let long = Guest::new(&forward(&function(Some(Ty::String)), Strings::Utf8));
    block_on(async {
        let reply = Bytes::from_static(&[0]);
        let (mut store, instance) = short
            .instance(Import::Raw, reply, When::AtOnce)
            .await
            .unwrap();
        let func = super::func(&mut store, &instance);
        let export = super::ExportFunction::new(Arc::clone(&long.export));
        assert_eq!(export.plan().signature(), "async func() -> string");
        let error = export
            .bind(&store, func)
            .err()
            .expect("another number of core values");
        assert!(format!("{error:?}").contains("planned for"), "{error:?}");
    });
}

async fn instance_with(
    guest: &Guest,
    handler: Arc<dyn ImportHandler<Seen>>,
) -> Result<(Store<Seen>, wasmtime::component::Instance)> {
    let mut linker = Linker::new(&ENGINE);
    if let Some(plan) = &guest.import {
        link_import(
            &mut linker.instance("test:guest/i")?,
            Arc::clone(plan),
            handler,
        )?;
    }
    let mut store = Store::new(&ENGINE, Seen::default());
    let instance = linker
        .instantiate_async(&mut store, &guest.component)
        .await?;
    Ok((store, instance))
}

/// Returns an import that replies when `together` calls have reached it.
fn gate(together: usize) -> Arc<dyn ImportHandler<Seen>> {
    let barrier = Arc::new(Barrier::new(together));
    Arc::new(
        move |store: StoreContextMut<'_, Seen>, wire: Bytes| -> ReplyFuture {
            store.data().lock().expect("no panic").push(wire.to_vec());
            let barrier = Arc::clone(&barrier);
            Box::pin(async move {
                barrier.wait().await;
                Ok(wire)
            })
        },
    )
}

async fn together(numbers: &[u8]) -> (Result<()>, Vec<(u8, Result<Vec<u8>>)>, Store<Seen>) {
    let guest = Guest::new(&relay());
    let (mut store, instance) = instance_with(&guest, gate(numbers.len())).await.unwrap();
    let export = guest.bind(&mut store, &instance);
    let done = Mutex::new(vec![]);
    let all = store.run_concurrent(async |accessor| {
        let calls = numbers.iter().map(async |number| {
            let arguments = guest.export.arguments(Bytes::from(vec![*number])).unwrap();
            let result = export.call_concurrent(accessor, arguments).await;
            done.lock().unwrap().push((*number, result.map(Vec::from)));
        });
        futures_util::future::join_all(calls).await;
    });
    let ended = tokio::time::timeout(Duration::from_secs(30), all)
        .await
        .expect("no deadlock");
    (ended, done.into_inner().unwrap(), store)
}

/// Each call waits for all others, so they end only if all are in the guest at the same time.
#[test]
fn async_calls_overlap_in_one_instance() {
    timed(async {
        let (ended, mut done, store) = together(&[1, 2, 3, 4]).await;
        ended.unwrap();
        done.sort_by_key(|(number, _)| *number);
        let done: Vec<_> = done
            .into_iter()
            .map(|(number, result)| (number, result.unwrap()))
            .collect();
        assert_eq!(done, [1, 2, 3, 4].map(|number| (number, vec![number])));
        assert_eq!(seen(&store).len(), 4);
    });
}

/// The owner of a shared instance has to know that a trap ends the store, and that the other calls
/// aren't notified.
#[test]
fn a_trap_ends_the_store_without_completing_the_other_calls() {
    timed(async {
        let (ended, done, _) = together(&[13, 13]).await;
        assert!(ended.is_err());
        assert!(done.iter().all(|(_, result)| result.is_err()), "{done:?}");
        assert!(done.len() < 2, "{done:?}");
    });
}

fn timed<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime starts").block_on(future)
}
