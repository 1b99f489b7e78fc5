//! The texts of the library, as its sources have them: no name of Rust reaches a terminal, and no
//! phrase of this command is out of date.

use super::{PHRASES, in_commands};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Sources whose texts reach people at a terminal, or the log of `lattice up`.
const LIBRARY: [&str; 3] = ["../lattice-core/src", "../lattice-core/proto/src", "src"];
/// Sources of programs of their own. Errors of their calls may reach a terminal.
const PROVIDERS: &str = "../lattice-provider-sdk/src";
/// Names in backticks that look like those of Rust and aren't: settings of NATS, functions of WIT,
/// fields of manifests and of their values, values of attributes of metrics, and ends of names.
const OTHERS: [&str; 30] = [
    "allow_atomic",
    "max_consumers",
    "max_file_store",
    "max_memory_store",
    "max_payload",
    "max_streams",
    "auth",
    "basic",
    "bearer",
    "builtin",
    "component",
    "finish",
    "http",
    "https",
    "link",
    "name",
    "replicas",
    "tag",
    "verifier",
    "commit",
    "held",
    "idle",
    "kept",
    "lease",
    "read",
    "receive",
    "running",
    "serving",
    "waiting",
    ".json",
];

#[test]
fn no_text_of_the_library_names_rust_at_a_terminal() {
    let library = library();
    let functions = functions(&library);
    let mut faults = Vec::new();
    for (file, code) in &library {
        for text in texts(code) {
            let shown = in_commands(&text);
            let found: Vec<_> = names(&shown, &functions)
                .into_iter()
                .filter(|name| !OTHERS.contains(name))
                .collect();
            if !found.is_empty() {
                faults.push(format!("{}: {found:?} in {shown:?}", file.display()));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "add these to `PHRASES` in words.rs:\n{}",
        faults.join("\n")
    );
}

#[test]
fn every_phrase_and_every_other_name_occurs_in_the_sources() {
    let library = library();
    let functions = functions(&library);
    let mut all: Vec<String> = library.iter().flat_map(|(_, code)| texts(code)).collect();
    let named: BTreeSet<String> = all
        .iter()
        .flat_map(|text| names(text, &functions))
        .map(str::to_owned)
        .collect();
    for name in OTHERS {
        assert!(named.contains(name), "{name}");
    }
    let of_providers = sources(&root().join(PROVIDERS));
    all.extend(of_providers.iter().flat_map(|(_, code)| texts(code)));
    for (phrase, _) in PHRASES {
        assert!(all.iter().any(|text| text.contains(phrase)), "{phrase}");
    }
}

#[test]
fn names_of_rust_are_found_in_texts_and_nowhere_else() {
    let code = r##"
        //! Not in a comment: "`Connect::key`".
        #[must_use = "nothing happens before `build_it`"]
        #[expect(
            lint,
            reason = "see `Other::reason`"
        )]
        #[error(
            "raise it with `Limits::memory`, \"or\" \
             with `.most_memory()`"
        )]
        #[error("or with `max_size`")]
        fn lives<'a>(c: char) -> &'a str {
            match c { '"' | '\'' | '\u{2f}' => r#"a "raw" `Type::one` at `[::1]:80`"#, _ => "call `within` or Some::thing" }
        }
#[cfg(test)]
mod tests { const IN_A_TEST: &str = "`Not::this`"; }
    "##;
    let texts = texts(code);
    let functions = BTreeSet::from(["within".to_owned()]);
    let found: Vec<_> = texts
        .iter()
        .flat_map(|text| names(text, &functions))
        .collect();
    let expected = [
        "Limits::memory",
        ".most_memory()",
        "max_size",
        "Type::one",
        "within",
        // The part of a text that is in no backticks.
        " or Some::thing",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        texts[0],
        "raise it with `Limits::memory`, \"or\" with `.most_memory()`"
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources of the library, without this command and without tests.
fn library() -> Vec<(PathBuf, String)> {
    let folders = LIBRARY.iter();
    let sources: Vec<_> = folders
        .flat_map(|folder| sources(&root().join(folder)))
        .collect();
    assert!(sources.len() > 100, "they are there");
    sources
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        if path.is_dir() {
            if !["bin", "tests"].contains(&name) {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|is| is == "rs") && !name.ends_with("tests.rs") {
            let code = fs::read_to_string(&path).expect("a source");
            found.push((path, code));
        }
    }
    found
}

/// The names of the public functions, as far as they are a single word.
fn functions(sources: &[(PathBuf, String)]) -> BTreeSet<String> {
    let lines = sources.iter().flat_map(|(_, code)| code.lines());
    let public = lines
        .map(str::trim_start)
        .filter(|line| line.starts_with("pub "));
    let names = public.filter_map(|line| line.split_once("fn "));
    let names = names.map(|(_, name)| {
        name.split(|c: char| !is_of_name(c))
            .next()
            .unwrap_or_default()
    });
    names.map(str::to_owned).collect()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns the parts of a text that name something of Rust.
fn names<'t>(text: &'t str, functions: &BTreeSet<String>) -> Vec<&'t str> {
    let parts = text.split('`').enumerate();
    let found = parts.filter(|(at, part)| match at % 2 {
        0 => has_path_of_type(part),
        _ => has_path(part) || has_call(part) || is_word_of_rust(part, functions),
    });
    found.map(|(_, part)| part).collect()
}

/// Whether it has a path. An address has no letters on both sides.
fn has_path(part: &str) -> bool {
    part.match_indices("::").any(|(at, _)| {
        let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        part[..at].ends_with(is_letter) && part[at + 2..].starts_with(is_letter)
    })
}

/// Whether it has a `Type::method`, and not the target of events in the log.
fn has_path_of_type(part: &str) -> bool {
    part.match_indices("::").any(|(at, _)| {
        let name = part[..at].rsplit(|c: char| !is_of_name(c)).next();
        name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
    })
}

fn has_call(part: &str) -> bool {
    part.match_indices('(')
        .any(|(at, _)| part[..at].ends_with(is_of_name))
}

/// Whether it is a `Type`, a `name_of_words`, or the name of a public function.
fn is_word_of_rust(part: &str, functions: &BTreeSet<String>) -> bool {
    let word = part.strip_prefix('.').unwrap_or(part);
    if word.is_empty() || !word.chars().all(is_of_name) {
        return false;
    }
    let is_type = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase());
    let is_lower = !word.contains(|c: char| c.is_ascii_uppercase());
    let is_of_words = word.contains('_') && word.starts_with(|c: char| c.is_ascii_lowercase());
    is_type || is_lower && (is_of_words || functions.contains(word))
}

/// Returns the contents of the strings in code that isn't for tests, without those of attributes
/// other than `error`.
fn texts(code: &str) -> Vec<String> {
    let tests = ["#[cfg(test)]\nmod ", "#[cfg(all(test, unix))]\nmod "];
    let end = tests.iter().filter_map(|tests| code.find(tests)).min();
    let code = &code[..end.unwrap_or(code.len())];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find(['"', '\'', '/']) {
        let (before, rest) = code.split_at(at + next);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with('"') {
            let (text, length) = string(rest, hashes(before));
            if is_text(before) {
                found.push(text);
            }
            length
        } else if rest.starts_with('\'') {
            character(rest).unwrap_or(1)
        } else {
            1
        };
        at += next + length;
    }
    found
}

/// Whether a string after this code may be shown to people.
fn is_text(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    let name = line.strip_suffix(" = ").unwrap_or("let x");
    let is_value = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    !is_value && (line.starts_with("#[error(") || !line.starts_with("#["))
}

/// Returns how many `#` are before a raw string that begins after this code.
fn hashes(before: &str) -> Option<usize> {
    let start = before.trim_end_matches('#');
    let name = start.strip_suffix('r')?;
    let name = name.strip_suffix('b').unwrap_or(name);
    (!name.ends_with(is_of_name)).then_some(before.len() - start.len())
}

/// Returns the contents of the string that the code begins with, and its length there.
fn string(code: &str, hashes: Option<usize>) -> (String, usize) {
    if let Some(hashes) = hashes {
        let end = format!("\"{}", "#".repeat(hashes));
        let text = &code[1..];
        let length = text.find(&end).expect("an end");
        return (text[..length].to_owned(), 1 + length + end.len());
    }
    let mut text = String::new();
    let mut chars = code.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, at + 1),
            '\\' => match chars.next() {
                Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                Some((_, c @ ('"' | '\\' | '\''))) => text.push(c),
                _ => text.push(' '),
            },
            c => text.push(c),
        }
    }
    unreachable!("a string has an end")
}

/// Returns the length of the character that the code begins with, unless it is a lifetime.
fn character(code: &str) -> Option<usize> {
    let mut chars = code.chars();
    let (_, first) = (chars.next(), chars.next()?);
    if first == '\\' {
        // What is escaped may be a quote.
        return code[3..].find('\'').map(|end| 3 + end + 1);
    }
    (chars.next() == Some('\'')).then_some(2 + first.len_utf8())
}
