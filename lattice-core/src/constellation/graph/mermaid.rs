//! Draws a Mermaid flowchart.

use super::{Graph, Group, Shape, Tone};
use std::fmt::Write as _;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = "flowchart LR\n".to_owned();
    for (at, group) in graph.groups.iter().enumerate() {
        write_group(&mut out, graph, at, group);
    }
    for edge in &graph.edges {
        let arrow = if edge.tone == Tone::Good {
            "-->"
        } else {
            "-.->"
        };
        line(
            &mut out,
            format_args!(
                "    n{} {arrow}|\"{}\"| n{}",
                edge.from,
                escape(&edge.label),
                edge.to
            ),
        );
    }
    for tone in Tone::ALL {
        line(
            &mut out,
            format_args!("    classDef {} stroke:{}", tone.name(), tone.colour()),
        );
    }
    out
}

fn write_group(out: &mut String, graph: &Graph, at: usize, group: &Group) {
    if let Some(title) = &group.title {
        line(
            out,
            format_args!("    subgraph g{at}[\"{}\"]", escape(title)),
        );
    }
    for node in &group.nodes {
        let is = &graph.nodes[*node];
        let (open, close) = match is.shape {
            Shape::Actor => ("[", "]"),
            Shape::Provider => ("[(", ")]"),
            Shape::Other => ("{{", "}}"),
            Shape::Wormhole => ("([", "])"),
        };
        let label: Vec<String> = is.label.iter().map(|line| escape(line)).collect();
        let (label, tone) = (label.join("<br/>"), is.tone.name());
        line(
            out,
            format_args!("        n{node}{open}\"{label}\"{close}:::{tone}"),
        );
    }
    if group.title.is_some() {
        line(out, format_args!("    end"));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = writeln!(out, "{text}");
}

/// Replaces every character that has a meaning in Mermaid or HTML by its number.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' | ';' | '[' | ']' | '{' | '}' | '|' => {
                let _ = write!(out, "#{};", c as u32);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
