//! A trace as text.

use super::{SpanEvent, SpanRecord};
use std::fmt::Write as _;

/// Returns the spans of one trace as a tree, with kind, name, attributes, error and events, for
/// tests that compare a whole trace:
///
/// ```text
/// client example:hello/greeter/greet
///   rpc.status_code = ok
///   * retry, error.type = host-lost
///   server example:hello/greeter/greet
/// ```
///
/// `shows` selects attributes, by name. Children are ordered by their text, and spans whose parent
/// isn't among them come first.
pub fn tree(spans: &[SpanRecord], shows: impl Fn(&str) -> bool) -> String {
    let is_known = |id: &[u8]| spans.iter().any(|span| span.span_id == id);
    let roots = spans.iter().filter(|span| !is_known(&span.parent_id));
    let mut roots: Vec<String> = roots.map(|root| branch(root, spans, 0, &shows)).collect();
    roots.sort();
    roots.concat()
}

/// The deepest span that is shown. Spans that are their own parents have no end.
const DEEPEST: usize = 64;

fn branch(
    span: &SpanRecord,
    all: &[SpanRecord],
    depth: usize,
    shows: &impl Fn(&str) -> bool,
) -> String {
    let indent = "  ".repeat(depth);
    let mut text = format!("{indent}{} {}\n", span.kind, span.name);
    for (name, value) in span.attributes.iter().filter(|(name, _)| shows(name)) {
        let _ = writeln!(text, "{indent}  {name} = {value}");
    }
    if let Some(error) = &span.error {
        let _ = writeln!(text, "{indent}  error: {error}");
    }
    for event in &span.events {
        let _ = writeln!(text, "{indent}  * {}", line(event, shows));
    }
    if depth < DEEPEST {
        let children = all.iter().filter(|child| child.parent_id == span.span_id);
        let mut children: Vec<String> = children
            .map(|child| branch(child, all, depth + 1, shows))
            .collect();
        children.sort();
        text.extend(children);
    }
    text
}

fn line(event: &SpanEvent, shows: &impl Fn(&str) -> bool) -> String {
    let mut text = event.name.clone();
    for (name, value) in event.attributes.iter().filter(|(name, _)| shows(name)) {
        let _ = write!(text, ", {name} = {value}");
    }
    text
}
