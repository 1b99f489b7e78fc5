//! Guests for any type, as text. Everything that a call does to a value is in the canonical ABI, so
//! each guest only passes on the values that it gets.

use super::types::{Core, Names, Ty, core_list, flat_all};

/// Where results for guests are written. Memory that they allocate comes after it.
const RESULT: u32 = 65536;

/// How a guest writes its strings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Strings {
    Utf8,
    Utf16,
    Latin1OrUtf16,
}

impl Strings {
    fn option(self) -> &'static str {
        match self {
            Self::Utf8 => "string-encoding=utf8",
            Self::Utf16 => "string-encoding=utf16",
            Self::Latin1OrUtf16 => "string-encoding=latin1+utf16",
        }
    }
}

/// A function: whether it is `async func`, its parameters, and what it returns.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) async_type: bool,
    pub(super) params: Vec<Ty>,
    pub(super) result: Option<Ty>,
}

impl Function {
    fn write(&self, names: &mut Names) -> String {
        let keyword = if self.async_type { "async" } else { "" };
        let params = self.params.iter().enumerate();
        let params: String = params
            .map(|(index, ty)| format!(r#"(param "p{index}" {}) "#, names.write(ty)))
            .collect();
        let result = self
            .result
            .as_ref()
            .map(|ty| format!("(result {})", names.write(ty)));
        format!("{keyword} {params} {}", result.unwrap_or_default())
    }
}

/// A module with memory and an allocator that never frees.
fn libc(data: &str) -> String {
    format!(
        r#"(core module $libc_
          (memory (export "memory") 64) {data}
          (global $next (mut i32) (i32.const 131072))
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (if (i32.and (i32.ne (local.get 0) (i32.const 0)) (i32.le_u (local.get 3) (local.get 1)))
              (then (return (local.get 0))))
            (local.set $at (i32.and
              (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
              (i32.sub (i32.const 0) (local.get 2))))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (memory.copy (local.get $at) (local.get 0) (local.get 1))
            (local.get $at)))
        (core instance $libc (instantiate $libc_))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))"#
    )
}

/// Exports `f`, which calls the import `f` of the same type with its own arguments, both by the
/// sync ABI.
pub(super) fn forward(function: &Function, strings: Strings) -> String {
    let mut names = Names::default();
    let signature = function.write(&mut names);
    let (definitions, aliases, libc) = (names.definitions(), names.aliases(), libc(""));
    let mut params = flat_all(&function.params);
    if params.len() > 16 {
        params = vec![Core::I32];
    }
    let results = function.result.as_ref().map(Ty::flat).unwrap_or_default();
    let (core_params, gets) = (core_list(&params), gets(params.len()));
    let (import, export, call) = if results.len() > 1 {
        (
            format!("(param {core_params} i32)"),
            format!("(param {core_params}) (result i32)"),
            format!("(call $f {gets} (i32.const {RESULT})) (i32.const {RESULT})"),
        )
    } else {
        let both = format!("(param {core_params}) (result {})", core_list(&results));
        (both.clone(), both, format!("(call $f {gets})"))
    };
    let options = format!("(memory $memory) (realloc $realloc) {}", strings.option());
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions} (export "f" (func {signature}))))
        {aliases} {libc}
        (core func $f (canon lower (func $i "f") {options}))
        (core module $m_
          (import "" "f" (func $f {import}))
          (func (export "f") {export} {call}))
        (core instance $m (instantiate $m_ (with "" (instance (export "f" (func $f))))))
        (func (export "f") {signature} (canon lift (core func $m "f") {options})))"#
    )
}

/// Exports `f: async func(a: T) -> T` by the async ABI. Parameters of an export and of
/// `task.return` have the same layout.
pub(super) fn echo_async(ty: &Ty, strings: Strings) -> String {
    let mut names = Names::default();
    let ty_text = names.write(ty);
    let (definitions, aliases, libc) = (names.definitions(), names.aliases(), libc(""));
    let mut flat = ty.flat();
    if flat.len() > 16 {
        flat = vec![Core::I32];
    }
    let (core, gets) = (core_list(&flat), gets(flat.len()));
    let encoding = strings.option();
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions}))
        {aliases} {libc}
        (core func $return (canon task.return (result {ty_text}) (memory $memory) {encoding}))
        (core module $m_
          (import "" "return" (func $return (param {core})))
          (func (export "f") (param {core}) (result i32) (call $return {gets}) (i32.const 0))
          (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
        (core instance $m (instantiate $m_ (with "" (instance (export "return" (func $return))))))
        (func (export "f") async (param "p0" {ty_text}) (result {ty_text})
          (canon lift (core func $m "f") async (callback (core func $m "callback"))
            (memory $memory) (realloc $realloc) {encoding})))"#
    )
}

/// Exports `f`, which calls the import `f: async func(a: T) -> T` by the async ABI and waits for
/// it. The value arrives in a list of one when the import takes it in memory, and always leaves in
/// a list of one.
pub(super) fn call_async(ty: &Ty, strings: Strings) -> String {
    let mut names = Names::default();
    let ty_text = names.write(ty);
    let (definitions, aliases, libc) = (names.definitions(), names.aliases(), libc(""));
    let flat = ty.flat();
    let (param, core, outer, gets) = if flat.len() > 4 {
        (
            format!("(list {ty_text})"),
            "i32".into(),
            "i32 i32".into(),
            gets(1),
        )
    } else {
        (
            ty_text.clone(),
            core_list(&flat),
            core_list(&flat),
            gets(flat.len()),
        )
    };
    let options = format!("(memory $memory) (realloc $realloc) {}", strings.option());
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions}
          (export "f" (func async (param "p0" {ty_text}) (result {ty_text})))))
        {aliases} {libc}
        (core func $f (canon lower (func $i "f") async {options}))
        (core func $new (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $wait (canon waitable-set.wait (memory $memory)))
        (core func $drop (canon subtask.drop))
        (core module $m_
          (import "" "memory" (memory 1))
          (import "" "f" (func $f (param {core} i32) (result i32)))
          (import "" "new" (func $new (result i32)))
          (import "" "join" (func $join (param i32 i32)))
          (import "" "wait" (func $wait (param i32 i32) (result i32)))
          (import "" "drop" (func $drop (param i32)))
          (func (export "f") (param {outer}) (result i32) (local $task i32) (local $set i32)
            (local.set $task (call $f {gets} (i32.const {RESULT})))
            (if (i32.ne (i32.and (local.get $task) (i32.const 15)) (i32.const 2)) (then
              (local.set $task (i32.shr_u (local.get $task) (i32.const 4)))
              (local.set $set (call $new))
              (call $join (local.get $task) (local.get $set))
              (loop $again
                (drop (call $wait (local.get $set) (i32.const 64)))
                (br_if $again (i32.ne (i32.load (i32.const 68)) (i32.const 2))))
              (call $drop (local.get $task))))
            (i32.store (i32.const 32) (i32.const {RESULT}))
            (i32.store (i32.const 36) (i32.const 1))
            (i32.const 32)))
        (core instance $m (instantiate $m_ (with "" (instance
          (export "memory" (memory $memory)) (export "f" (func $f)) (export "new" (func $new))
          (export "join" (func $join)) (export "wait" (func $wait)) (export "drop" (func $drop))))))
        (func (export "f") async (param "p0" {param}) (result (list {ty_text}))
          (canon lift (core func $m "f") {options})))"#
    )
}

/// The ABI that a guest uses to call an import.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lowered {
    Sync,
    Async,
}

/// Exports `f`, which passes the core values `values` (at most 4) to the import `f: func(p0: T)`.
/// Its memory starts with `data`.
pub(super) fn pass(
    ty: &Ty,
    strings: Strings,
    data: &str,
    values: &[String],
    by: Lowered,
) -> String {
    let mut names = Names::default();
    let ty_text = names.write(ty);
    let (definitions, libc) = (names.definitions(), libc(&data_at_zero(data)));
    let core = core_list(&ty.flat());
    let values: String = values.iter().map(|value| format!("({value})")).collect();
    let (keyword, option, result, drop) = match by {
        Lowered::Async => ("async", "async", "(result i32)", "drop"),
        Lowered::Sync => ("", "", "", ""),
    };
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions} (export "f" (func {keyword} (param "p0" {ty_text})))))
        {libc}
        (core func $f (canon lower (func $i "f") {option} (memory $memory) {}))
        (core module $m_
          (import "" "f" (func $f (param {core}) {result}))
          (func (export "f") (call $f {values}) {drop}))
        (core instance $m (instantiate $m_ (with "" (instance (export "f" (func $f))))))
        (func (export "f") {keyword} (canon lift (core func $m "f"))))"#,
        strings.option()
    )
}

/// Exports `f: func() -> T`, which returns the core value `value`: the result, or a pointer to it.
pub(super) fn give(ty: &Ty, strings: Strings, data: &str, value: &str) -> String {
    let mut names = Names::default();
    let ty_text = names.write(ty);
    let (definitions, aliases) = (names.definitions(), names.aliases());
    let libc = libc(&data_at_zero(data));
    let flat = ty.flat();
    let core = if flat.len() > 1 {
        "i32".into()
    } else {
        core_list(&flat)
    };
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions}))
        {aliases} {libc}
        (core module $m_ (func (export "f") (result {core}) ({value})))
        (core instance $m (instantiate $m_))
        (func (export "f") (result {ty_text})
          (canon lift (core func $m "f") (memory $memory) {})))"#,
        strings.option()
    )
}

/// Exports `f: async func() -> T`, which returns the core values `values`.
pub(super) fn give_async(ty: &Ty, strings: Strings, data: &str, values: &[String]) -> String {
    let mut names = Names::default();
    let ty_text = names.write(ty);
    let (definitions, aliases) = (names.definitions(), names.aliases());
    let libc = libc(&data_at_zero(data));
    let flat = ty.flat();
    let core = if flat.len() > 16 {
        "i32".into()
    } else {
        core_list(&flat)
    };
    let values: String = values.iter().map(|value| format!("({value})")).collect();
    let encoding = strings.option();
    format!(
        r#"(component
        (import "test:guest/i" (instance $i {definitions}))
        {aliases} {libc}
        (core func $return (canon task.return (result {ty_text}) (memory $memory) {encoding}))
        (core module $m_
          (import "" "return" (func $return (param {core})))
          (func (export "f") (result i32) (call $return {values}) (i32.const 0))
          (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
        (core instance $m (instantiate $m_ (with "" (instance (export "return" (func $return))))))
        (func (export "f") async (result {ty_text})
          (canon lift (core func $m "f") async (callback (core func $m "callback"))
            (memory $memory) {encoding})))"#
    )
}

/// Exports `f: async func(p0: u32) -> u32`, which awaits the import of the same type and returns
/// its result, and lets other calls use its instance meanwhile. Traps when the result is 13.
pub(super) fn relay() -> String {
    let libc = libc("");
    format!(
        r#"(component
        (import "test:guest/i" (instance $i (export "f" (func async (param "p0" u32) (result u32)))))
        {libc}
        (core func $f (canon lower (func $i "f") async (memory $memory)))
        (core func $return (canon task.return (result u32)))
        (core func $new (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $get (canon context.get i32 0))
        (core func $set (canon context.set i32 0))
        (core module $m_
          (import "" "memory" (memory 1))
          (import "" "f" (func $f (param i32 i32) (result i32)))
          (import "" "return" (func $return (param i32)))
          (import "" "new" (func $new (result i32)))
          (import "" "join" (func $join (param i32 i32)))
          (import "" "get" (func $get (result i32)))
          (import "" "set" (func $set (param i32)))
          (global $slot (mut i32) (i32.const 1024))
          (func $finish (result i32) (local $value i32)
            (local.set $value (i32.load (call $get)))
            (if (i32.eq (local.get $value) (i32.const 13)) (then unreachable))
            (call $return (local.get $value))
            (i32.const 0))
          (func (export "f") (param i32) (result i32) (local $task i32) (local $waitables i32)
            (call $set (global.get $slot))
            (global.set $slot (i32.add (global.get $slot) (i32.const 4)))
            (local.set $task (call $f (local.get 0) (call $get)))
            (if (i32.eq (i32.and (local.get $task) (i32.const 15)) (i32.const 2))
              (then (return (call $finish))))
            (local.set $waitables (call $new))
            (call $join (i32.shr_u (local.get $task) (i32.const 4)) (local.get $waitables))
            (i32.or (i32.const 2) (i32.shl (local.get $waitables) (i32.const 4))))
          (func (export "callback") (param i32 i32 i32) (result i32)
            (call $finish)))
        (core instance $m (instantiate $m_ (with "" (instance
          (export "memory" (memory $memory)) (export "f" (func $f)) (export "return" (func $return))
          (export "new" (func $new)) (export "join" (func $join))
          (export "get" (func $get)) (export "set" (func $set))))))
        (func (export "f") async (param "p0" u32) (result u32)
          (canon lift (core func $m "f") async (callback (core func $m "callback")))))"#
    )
}

fn gets(count: usize) -> String {
    (0..count)
        .map(|index| format!("(local.get {index}) "))
        .collect()
}

fn data_at_zero(data: &str) -> String {
    if data.is_empty() {
        String::new()
    } else {
        format!(r#"(data (i32.const 0) "{data}")"#)
    }
}
