//! Draws an SVG image in a simple layout: groups below each other, and their nodes in columns by
//! their distance from components that only call.

use super::{Graph, Node, Shape, Tone};
use std::fmt::{Arguments, Write as _};

/// Sizes in pixels.
const NODE: (usize, usize) = (190, 56);
const GAP: (usize, usize) = (150, 18);
const MARGIN: usize = 16;
const TITLE: usize = 24;
/// Longest text that fits in a node, in characters.
const FITS: usize = 26;
/// Columns used for nodes that have no links.
const LOOSE: usize = 4;
/// The last column. Nodes that are further away are drawn in it.
const LAST: usize = 8;

struct Layout {
    /// Where each node's upper left corner is.
    nodes: Vec<(usize, usize)>,
    /// Upper edge and height of each group.
    groups: Vec<(usize, usize)>,
    size: (usize, usize),
}

pub(super) fn draw(graph: &Graph) -> String {
    let layout = layout(graph);
    let (width, height) = layout.size;
    let mut out = String::new();
    line(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">"
        ),
    );
    out.push_str("<defs>");
    for tone in Tone::ALL {
        let (name, colour) = (tone.name(), tone.colour());
        let _ = write!(
            out,
            "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{colour}\"/></marker>"
        );
    }
    out.push_str("</defs>\n");
    line(
        &mut out,
        format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"),
    );
    for (group, (top, height)) in graph.groups.iter().zip(&layout.groups) {
        if let Some(title) = &group.title {
            let inner = width - MARGIN;
            line(
                &mut out,
                format_args!(
                    "<rect x=\"{}\" y=\"{top}\" width=\"{inner}\" height=\"{height}\" rx=\"6\" fill=\"#f5f5f5\" stroke=\"#bdbdbd\"/>",
                    MARGIN / 2
                ),
            );
            line(
                &mut out,
                format_args!(
                    "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{}</text>",
                    top + 16,
                    escape(title)
                ),
            );
        }
    }
    for edge in &graph.edges {
        write_edge(
            &mut out,
            (layout.nodes[edge.from], layout.nodes[edge.to]),
            &edge.label,
            edge.tone,
        );
    }
    for (node, at) in graph.nodes.iter().zip(&layout.nodes) {
        write_node(&mut out, node, *at);
    }
    out.push_str("</svg>\n");
    out
}

fn layout(graph: &Graph) -> Layout {
    let columns = columns(graph);
    let mut layout = Layout {
        nodes: vec![(0, 0); graph.nodes.len()],
        groups: Vec::new(),
        size: (0, 0),
    };
    let (mut top, mut right) = (MARGIN / 2, 0);
    for group in &graph.groups {
        let mut rows = [0; LAST + 1];
        for (at, node) in group.nodes.iter().enumerate() {
            let column = columns[*node].unwrap_or(at % LOOSE);
            let x = MARGIN + column * (NODE.0 + GAP.0);
            let y = top + TITLE + rows[column] * (NODE.1 + GAP.1);
            rows[column] += 1;
            layout.nodes[*node] = (x, y);
            right = right.max(x + NODE.0);
        }
        let most = rows.into_iter().max().unwrap_or(0);
        let height = TITLE + most * (NODE.1 + GAP.1);
        layout.groups.push((top, height));
        top += height + MARGIN;
    }
    layout.size = (right.max(NODE.0) + MARGIN, top.max(NODE.1));
    layout
}

/// Returns the column of each node: the length of the longest path from a node that is never
/// called. A cycle ends at the last column. `None` for nodes without links.
fn columns(graph: &Graph) -> Vec<Option<usize>> {
    let mut columns = vec![None; graph.nodes.len()];
    for edge in &graph.edges {
        columns[edge.from] = Some(0);
        columns[edge.to] = Some(0);
    }
    for _ in 0..graph.nodes.len().min(LAST) {
        let before = columns.clone();
        for edge in &graph.edges {
            let next = columns[edge.from].map(|column: usize| column + 1);
            if edge.from != edge.to && next > columns[edge.to] && next <= Some(LAST) {
                columns[edge.to] = next;
            }
        }
        if columns == before {
            break;
        }
    }
    columns
}

fn write_node(out: &mut String, node: &Node, (x, y): (usize, usize)) {
    let ((width, height), colour) = (NODE, node.tone.colour());
    let round = match node.shape {
        Shape::Actor => 4,
        Shape::Provider => 14,
        Shape::Wormhole => 28,
        Shape::Other => 0,
    };
    let dash = if node.shape == Shape::Other {
        " stroke-dasharray=\"4 3\""
    } else {
        ""
    };
    line(
        out,
        format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\" fill=\"#ffffff\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"
        ),
    );
    for (at, text) in node.label.iter().enumerate() {
        let (x, y) = (x + width / 2, y + 18 + at * 15);
        line(
            out,
            format_args!(
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                escape(&short(text))
            ),
        );
    }
}

fn write_edge(
    out: &mut String,
    (from, to): ((usize, usize), (usize, usize)),
    label: &str,
    tone: Tone,
) {
    let (width, height) = NODE;
    let (x1, y1) = (from.0 + width, from.1 + height / 2);
    let (x2, y2) = (to.0, to.1 + height / 2);
    let (colour, name) = (tone.colour(), tone.name());
    let dash = if tone == Tone::Good {
        ""
    } else {
        " stroke-dasharray=\"5 3\""
    };
    let bend = GAP.0 / 2;
    let back = x2.saturating_sub(bend);
    line(
        out,
        format_args!(
            "<path d=\"M{x1} {y1}C{} {y1} {back} {y2} {x2} {y2}\" fill=\"none\" stroke=\"{colour}\"{dash} marker-end=\"url(#{name})\"/>",
            x1 + bend
        ),
    );
    let (x, y) = (
        usize::midpoint(x1, x2),
        usize::midpoint(y1, y2).saturating_sub(4),
    );
    line(
        out,
        format_args!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" font-size=\"10\" fill=\"{colour}\">{}</text>",
            escape(&short(label))
        ),
    );
}

fn short(text: &str) -> String {
    if text.chars().count() <= FITS {
        return text.to_owned();
    }
    text.chars().take(FITS - 1).chain(['…']).collect()
}

fn line(out: &mut String, text: Arguments<'_>) {
    // Writing to a string never fails.
    let _ = writeln!(out, "{text}");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
