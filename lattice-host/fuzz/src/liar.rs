//! A guest that passes whatever is in its memory, as an argument and as a result, by each ABI.

use crate::{
    guests::Strings,
    types::{Core, Names, Ty, core_list},
};

/// Returns a component for values of `ty`. `put` fills its memory. The other exports pass on the
/// core values that are in the memory, 8 bytes apart. Pointers among them may have any value.
pub(crate) fn liar(ty: &Ty, strings: Strings) -> String {
    let mut names = Names::default();
    let text = names.write(ty);
    let (definitions, aliases) = (names.definitions(), names.aliases());
    let encoding = encoding(strings);
    let flat = ty.flat();
    let at_most = |most| {
        if flat.len() > most {
            vec![Core::I32]
        } else {
            flat.clone()
        }
    };
    let (sync, few, given) = (at_most(16), at_most(4), at_most(1));
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions}
          (export "pass" (func (param "p0" {text})))
          (export "pass-async" (func async (param "p0" {text})))))
        {aliases}
        (core module $libc_
          (memory (export "memory") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
        (core instance $libc (instantiate $libc_))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))
        (core func $pass (canon lower (func $i "pass") (memory $memory) {encoding}))
        (core func $start (canon lower (func $i "pass-async") async (memory $memory) {encoding}))
        (core func $return (canon task.return (result {text}) (memory $memory) {encoding}))
        (core module $m_
          (import "" "memory" (memory 1))
          (import "" "pass" (func $pass (param {pass})))
          (import "" "start" (func $start (param {start}) (result i32)))
          (import "" "return" (func $return (param {pass})))
          (func (export "put") (param i32 i32))
          (func (export "pass") (call $pass {pass_loads}))
          (func (export "pass-async") (drop (call $start {start_loads})))
          (func (export "give") (result {give}) {give_loads})
          (func (export "give-async") (result i32) (call $return {pass_loads}) (i32.const 0))
          (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
        (core instance $m (instantiate $m_ (with "" (instance
          (export "memory" (memory $memory)) (export "pass" (func $pass))
          (export "start" (func $start)) (export "return" (func $return))))))
        (func (export "put") (param "bytes" (list u8))
          (canon lift (core func $m "put") (memory $memory) (realloc $realloc)))
        (func (export "pass") (canon lift (core func $m "pass")))
        (func (export "pass-async") async (canon lift (core func $m "pass-async")))
        (func (export "give") (result {text})
          (canon lift (core func $m "give") (memory $memory) {encoding}))
        (func (export "give-async") async (result {text})
          (canon lift (core func $m "give-async") async (callback (core func $m "callback"))
            (memory $memory) {encoding})))"#,
        pass = core_list(&sync),
        start = core_list(&few),
        give = core_list(&given),
        pass_loads = loads(&sync),
        start_loads = loads(&few),
        give_loads = loads(&given),
    )
}

fn encoding(strings: Strings) -> &'static str {
    match strings {
        Strings::Utf8 => "string-encoding=utf8",
        Strings::Utf16 => "string-encoding=utf16",
        Strings::Latin1OrUtf16 => "string-encoding=latin1+utf16",
    }
}

fn loads(values: &[Core]) -> String {
    let load = |(index, core): (usize, &Core)| {
        let core = core_list(&[*core]);
        format!("({core}.load (i32.const {})) ", index * 8)
    };
    values
        .iter()
        .enumerate()
        .map(load)
        .collect::<Vec<_>>()
        .concat()
}
