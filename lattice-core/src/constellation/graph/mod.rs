//! The constellation as a drawing: Mermaid, DOT and SVG.
//!
//! Nodes are numbered, and texts are only used as labels: a label stays text, whatever it contains.

mod dot;
mod mermaid;
mod svg;

use super::{
    items::{ComponentKind, LinkState},
    view::View,
};
use crate::{
    desired::WormholeState,
    name::{AppName, ComponentId},
};
use std::collections::BTreeMap;

/// Which of the two views is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphKind {
    /// Components grouped by app, links, wormholes.
    Logical,
    /// Hosts, and the replicas on each.
    Infrastructure,
}

impl View {
    /// Returns the view as a Mermaid flowchart.
    pub fn to_mermaid(&self, kind: GraphKind) -> String {
        mermaid::draw(&Graph::of(self, kind))
    }

    /// Returns the view as a Graphviz digraph.
    pub fn to_dot(&self, kind: GraphKind) -> String {
        dot::draw(&Graph::of(self, kind))
    }

    /// Returns the view as an SVG image.
    pub fn to_svg(&self, kind: GraphKind) -> String {
        svg::draw(&Graph::of(self, kind))
    }
}

/// The content of a drawing.
#[derive(Debug, Default)]
struct Graph {
    groups: Vec<Group>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// Nodes that are drawn together.
#[derive(Debug)]
struct Group {
    /// `None` for nodes that belong to no group.
    title: Option<String>,
    nodes: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    /// Its lines.
    label: Vec<String>,
    shape: Shape,
    tone: Tone,
}

#[derive(Debug)]
struct Edge {
    from: usize,
    to: usize,
    label: String,
    tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Actor,
    Provider,
    /// Served by a program, or named in a link and missing.
    Other,
    Wormhole,
}

/// The state of an item, as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Waiting,
    Bad,
}

impl Graph {
    fn of(view: &View, kind: GraphKind) -> Self {
        match kind {
            GraphKind::Logical => Self::logical(view),
            GraphKind::Infrastructure => Self::infrastructure(view),
        }
    }

    fn logical(view: &View) -> Self {
        let mut graph = Self::default();
        let mut groups: BTreeMap<Option<AppName>, Vec<usize>> = BTreeMap::new();
        let mut places: BTreeMap<ComponentId, usize> = BTreeMap::new();
        for (id, component) in &view.components {
            let node = graph.component(view, id);
            places.insert(id.clone(), node);
            groups.entry(component.app.clone()).or_default().push(node);
        }
        // Ends of links that are missing as components, such as a program that only calls.
        let ends = view
            .links
            .values()
            .flat_map(|link| [&link.key.source, &link.target]);
        for id in ends.chain(view.wormholes.values().map(|wormhole| &wormhole.actor)) {
            if !places.contains_key(id) {
                let node = graph.component(view, id);
                places.insert(id.clone(), node);
                groups.entry(None).or_default().push(node);
            }
        }
        for wormhole in view.wormholes.values() {
            let open = wormhole.state == WormholeState::Open;
            let tone = if open { Tone::Good } else { Tone::Waiting };
            let addresses = wormhole.addresses();
            let more = match addresses.len() - 1 {
                0 => String::new(),
                more => format!(" +{more}"),
            };
            let label = vec![wormhole.id.to_string(), addresses[0].clone() + &more];
            let node = graph.node(label, Shape::Wormhole, tone);
            groups.entry(wormhole.app.clone()).or_default().push(node);
            let label = if open { "open" } else { "closed" };
            graph.edge(node, places[&wormhole.actor], label.to_owned(), tone);
        }
        for link in view.links.values() {
            let (tone, state) = match link.state {
                LinkState::Active => (Tone::Good, ""),
                LinkState::Pending => (Tone::Waiting, " (pending)"),
                LinkState::Rejected => (Tone::Bad, " (rejected)"),
            };
            let name = link.key.name.as_str();
            let name = if name == "default" {
                String::new()
            } else {
                format!(" as {name}")
            };
            let label = format!("{}{name}{state}", link.key.interface);
            graph.edge(places[&link.key.source], places[&link.target], label, tone);
        }
        graph.groups = groups
            .into_iter()
            .map(|(app, nodes)| Group {
                title: app.map(|app| format!("app {app}")),
                nodes,
            })
            .collect();
        graph
    }

    fn infrastructure(view: &View) -> Self {
        let mut graph = Self::default();
        for (id, host) in &view.hosts {
            let labels = host
                .labels
                .iter()
                .map(|(name, value)| format!(" {name}={value}"));
            let title = format!("host {id}{}", labels.collect::<String>());
            let on_it = view.replicas.values().filter(|replica| replica.host == *id);
            let mut nodes = Vec::new();
            for replica in on_it {
                let mut label = vec![replica.component.to_string(), replica.phase.to_string()];
                let rate = replica.load.and_then(|load| load.calls_per_second);
                label.extend(rate.map(|rate| format!("{rate:.1} calls/s")));
                let shape = shape(view, &replica.component);
                let tone = match (replica.phase.is_serving(), &replica.reason) {
                    (true, _) => Tone::Good,
                    (false, None) => Tone::Waiting,
                    (false, Some(_)) => Tone::Bad,
                };
                nodes.push(graph.node(label, shape, tone));
            }
            graph.groups.push(Group {
                title: Some(title),
                nodes,
            });
        }
        graph
    }

    fn component(&mut self, view: &View, id: &ComponentId) -> usize {
        let serving = view
            .replicas_of(id)
            .filter(|replica| replica.phase.is_serving())
            .count();
        let is_there = view.components.contains_key(id);
        let (label, tone) = match (is_there, serving) {
            (false, _) => (vec![id.to_string()], Tone::Waiting),
            (true, 0) => (
                vec![id.to_string(), "no host serves it".to_owned()],
                Tone::Bad,
            ),
            (true, 1) => (vec![id.to_string(), "on 1 host".to_owned()], Tone::Good),
            (true, hosts) => (
                vec![id.to_string(), format!("on {hosts} hosts")],
                Tone::Good,
            ),
        };
        self.node(label, shape(view, id), tone)
    }

    fn node(&mut self, label: Vec<String>, shape: Shape, tone: Tone) -> usize {
        self.nodes.push(Node { label, shape, tone });
        self.nodes.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, label: String, tone: Tone) {
        self.edges.push(Edge {
            from,
            to,
            label,
            tone,
        });
    }
}

fn shape(view: &View, id: &ComponentId) -> Shape {
    match view.components.get(id).map(|component| component.kind) {
        Some(ComponentKind::Actor) => Shape::Actor,
        Some(ComponentKind::Provider) => Shape::Provider,
        _ => Shape::Other,
    }
}

impl Tone {
    const ALL: [Self; 3] = [Self::Good, Self::Waiting, Self::Bad];

    fn colour(self) -> &'static str {
        match self {
            Self::Good => "#2e7d32",
            Self::Waiting => "#b26a00",
            Self::Bad => "#c62828",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Bad => "bad",
        }
    }
}
