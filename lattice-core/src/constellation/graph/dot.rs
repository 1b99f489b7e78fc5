//! Draws a Graphviz digraph.

use super::{Graph, Group, Shape, Tone};
use std::fmt::{Arguments, Write as _};

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = "digraph constellation {\n    rankdir=LR;\n".to_owned();
    for (at, group) in graph.groups.iter().enumerate() {
        write_group(&mut out, graph, at, group);
    }
    for edge in &graph.edges {
        let (label, colour) = (escape(&edge.label), edge.tone.colour());
        let style = if edge.tone == Tone::Good {
            "solid"
        } else {
            "dashed"
        };
        line(
            &mut out,
            format_args!(
                "    n{} -> n{} [label=\"{label}\", color=\"{colour}\", style={style}];",
                edge.from, edge.to
            ),
        );
    }
    out.push_str("}\n");
    out
}

fn write_group(out: &mut String, graph: &Graph, at: usize, group: &Group) {
    if let Some(title) = &group.title {
        line(
            out,
            format_args!(
                "    subgraph cluster{at} {{\n        label=\"{}\";",
                escape(title)
            ),
        );
    }
    for node in &group.nodes {
        let is = &graph.nodes[*node];
        let shape = match is.shape {
            Shape::Actor => "box",
            Shape::Provider => "cylinder",
            Shape::Other => "hexagon",
            Shape::Wormhole => "oval",
        };
        let label: Vec<String> = is.label.iter().map(|line| escape(line)).collect();
        let (label, colour) = (label.join("\\n"), is.tone.colour());
        line(
            out,
            format_args!("        n{node} [label=\"{label}\", shape={shape}, color=\"{colour}\"];"),
        );
    }
    if group.title.is_some() {
        line(out, format_args!("    }}"));
    }
}

fn line(out: &mut String, text: Arguments<'_>) {
    // Writing to a string never fails.
    let _ = writeln!(out, "{text}");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
