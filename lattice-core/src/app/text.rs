//! Reads TOML and JSON into a tree.

use super::{
    problem::ProblemKind,
    tree::{Key, Node, Number, NumberValue, Value},
};
use std::{collections::HashSet, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A problem of the text itself, with its byte offset.
pub(super) type TextProblem = (usize, ProblemKind);

/// Returns the tree of a TOML text, or everything that is wrong with it.
pub(super) fn toml(text: &str) -> Result<Node, Vec<TextProblem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let problem = |error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().to_owned();
        (at, ProblemKind::Syntax { message })
    };
    let mut problems: Vec<TextProblem> = errors.into_iter().map(problem).collect();
    let node = toml_table(text, table.span(), table.get_ref(), &mut problems);
    if problems.is_empty() {
        Ok(node)
    } else {
        Err(problems)
    }
}

fn toml_table(
    source: &str,
    span: Range<usize>,
    table: &DeTable<'_>,
    problems: &mut Vec<TextProblem>,
) -> Node {
    let mut entries: Vec<(Key, Node)> = table
        .iter()
        .map(|(key, value)| {
            let text = key.get_ref().to_string();
            let span = key.span();
            (Key { span, text }, toml_value(source, value, problems))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    let value = Value::Table(entries);
    Node { span, value }
}

fn toml_value(source: &str, value: &Spanned<DeValue<'_>>, problems: &mut Vec<TextProblem>) -> Node {
    let span = value.span();
    let written = source.get(span.clone()).unwrap_or_default().to_owned();
    let number = |value: Option<NumberValue>| {
        Value::Number(Number {
            text: written.clone(),
            value: value.unwrap_or(NumberValue::OutOfRange),
        })
    };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let value = i64::from_str_radix(integer.as_str(), integer.radix());
            number(value.ok().map(NumberValue::Integer))
        }
        DeValue::Float(float) => number(float.as_str().parse().ok().map(NumberValue::Float)),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => {
            if time.to_string() != written {
                let message =
                    format!("this time would become `{time}`; write it in quotes: \"{written}\"");
                problems.push((span.start, ProblemKind::Syntax { message }));
            }
            Value::Text(written)
        }
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| toml_value(source, item, problems))
                .collect(),
        ),
        DeValue::Table(table) => return toml_table(source, span, table, problems),
    };
    Node { span, value }
}

/// Returns the tree of a JSON text, or everything that is wrong with it.
pub(super) fn json(text: &str) -> Result<Node, Vec<TextProblem>> {
    // A text that `serde_json` accepts is well-formed and not too deep, which the scanner relies
    // on.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
        let at = byte_at(text, error.line(), error.column());
        return Err(vec![(at, ProblemKind::Syntax { message })]);
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        problems: Vec::new(),
    };
    let node = scanner.value();
    if scanner.problems.is_empty() {
        Ok(node)
    } else {
        Err(scanner.problems)
    }
}

/// Returns the byte offset of a line and column, which both count from 1.
fn byte_at(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    (before + column.saturating_sub(1)).min(text.len())
}

/// Walks a JSON text that is known to be well-formed.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    problems: Vec<TextProblem>,
}

impl Scanner<'_> {
    fn value(&mut self) -> Node {
        self.skip_space();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.table(),
            Some(b'[') => self.list(),
            Some(b'"') => Value::Text(self.string()),
            _ => self.word(),
        };
        let span = start..self.at;
        Node { span, value }
    }

    fn table(&mut self) -> Value {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        self.at += 1;
        while !self.closes(b'}') {
            let start = self.at;
            let text = self.string();
            let span = start..self.at;
            self.skip_space();
            // The colon.
            self.at += 1;
            let value = self.value();
            if seen.insert(text.clone()) {
                entries.push((Key { span, text }, value));
            } else {
                let field = text;
                self.problems
                    .push((start, ProblemKind::DuplicateField { field }));
            }
        }
        Value::Table(entries)
    }

    fn list(&mut self) -> Value {
        let mut items = Vec::new();
        self.at += 1;
        while !self.closes(b']') {
            items.push(self.value());
        }
        Value::List(items)
    }

    /// Returns true and moves past `end` if the list or table ends here. Otherwise moves to its
    /// next part.
    fn closes(&mut self, end: u8) -> bool {
        self.skip_space();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.skip_space();
        }
        let ends = self.peek().is_none_or(|byte| byte == end);
        if ends {
            self.at += 1;
        }
        ends
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += match byte {
                b'\\' => 2,
                _ => 1,
            };
            if byte == b'"' {
                break;
            }
        }
        self.parsed(start).unwrap_or_default()
    }

    fn word(&mut self) -> Value {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
        {
            self.at += 1;
        }
        match self.text.get(start..self.at) {
            Some("true") => Value::Bool(true),
            Some("false") => Value::Bool(false),
            Some("null") | None => Value::Null,
            Some(text) => {
                let is_integer = !text.contains(['.', 'e', 'E']);
                let integer = self.parsed(start).map(NumberValue::Integer);
                let float = || self.parsed(start).map(NumberValue::Float);
                let value = integer.or_else(|| if is_integer { None } else { float() });
                Value::Number(Number {
                    text: text.to_owned(),
                    value: value.unwrap_or(NumberValue::OutOfRange),
                })
            }
        }
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, start: usize) -> Option<T> {
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null | Value::Cut => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => match number.value {
                NumberValue::Integer(value) => value.into(),
                NumberValue::Float(value) => value.into(),
                NumberValue::OutOfRange => serde_json::Value::Null,
            },
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(plain).collect(),
            Value::Table(entries) => entries
                .iter()
                .map(|(key, value)| (key.text.clone(), plain(value)))
                .collect(),
        }
    }

    #[test]
    fn json_is_read_as_by_serde_json_and_has_positions() {
        let text = "{ \"a\" : [1, -2.5e3, \"x\\\"}\\u00e9\", true, null, {}, []],\n \"é\": {\"b\": \"\"} }";
        let node = json(text).expect("well-formed");
        let expected: serde_json::Value = serde_json::from_str(text).expect("well-formed");
        assert_eq!(plain(&node), expected);
        let Value::Table(entries) = &node.value else {
            panic!("a table")
        };
        assert_eq!(text.get(entries[1].0.span.clone()), Some("\"é\""));
        assert_eq!(text.get(entries[1].1.span.clone()), Some("{\"b\": \"\"}"));
    }

    #[test]
    fn a_duplicate_key_is_reported_at_both_positions() {
        let problems = json(r#"{"a": 1, "b": {"c": 1, "c": 2}, "a": 2}"#).expect_err("twice");
        let places: Vec<usize> = problems.iter().map(|(at, _)| *at).collect();
        assert_eq!(places, [23, 32]);
        assert!(toml("a = 1\na = 2\n").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        for deep in [50_000, 200] {
            assert!(json(&"[".repeat(deep)).is_err());
            let closed = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
            assert!(json(&closed).is_err());
            assert!(toml(&format!("a = {closed}")).is_err());
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,10}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::btree_map(".{0,6}", inner, 0..5)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_completely(value in any_json(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(plain(&json(&text).expect("well-formed")), value);
        }

        #[test]
        fn any_text_is_parsed_or_rejected(text in "[ -~\\n]{0,60}") {
            let _ = (toml(&text), json(&text));
        }
    }
}
