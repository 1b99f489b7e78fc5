// The logical view as a graph: nodes with ports, edges between ports, and groups of nodes. It is
// kept up to date by the touched keys only, and says whether its structure changed, which is what
// a new layout depends on. Numbers and states are no part of it.

/** The group of what belongs to no app. */
export const NO_GROUP = "";

export const componentKey = (id) => `c:${id}`;
export const wormholeKey = (id) => `w:${id}`;

/** Returns an empty graph, grouped by `app`, `kind` or `none`. */
export function createGraph(groupBy = "app") {
  return { groupBy, nodes: new Map(), edges: new Map(), groups: new Map() };
}

/** Rebuilds the graph from a state. */
export function rebuild(graph, state) {
  graph.nodes.clear();
  graph.edges.clear();
  graph.groups.clear();
  const ids = new Set([
    ...state.components.keys(),
    ...state.linksOf.keys(),
    ...state.wormholesOf.keys(),
  ]);
  for (const id of ids) {
    updateComponent(graph, state, id);
  }
  for (const id of state.wormholes.keys()) {
    updateWormhole(graph, state, id);
  }
  for (const key of state.links.keys()) {
    updateLink(graph, state, key);
  }
}

/** Brings the graph up to date with some changes. Returns whether its structure changed. */
export function update(graph, state, changes) {
  let structural = false;
  for (const id of changes.components) {
    structural = updateComponent(graph, state, id) || structural;
  }
  for (const id of changes.wormholes) {
    structural = updateWormhole(graph, state, id) || structural;
  }
  for (const key of changes.links) {
    structural = updateLink(graph, state, key) || structural;
  }
  return structural;
}

function updateComponent(graph, state, id) {
  const key = componentKey(id);
  const links = state.linksOf.get(id);
  const exists = state.components.has(id) || links || state.wormholesOf.has(id);
  return replaceNode(graph, key, exists ? componentNode(graph, state, id, links) : null);
}

function componentNode(graph, state, id, links) {
  const component = state.components.get(id);
  const kind = component?.kind ?? "missing";
  const app = component?.app ?? appByLinks(id, links);
  const { inlets, outlets } = ports(state, id, links);
  const node = { key: componentKey(id), type: "component", id, kind, app, inlets, outlets };
  return inGroup(graph, node);
}

function appByLinks(id, links) {
  for (const link of links?.values() ?? []) {
    if (link.app) return link.app;
  }
  return null;
}

/** Returns the ports of a component: published ones, and those that links need in any case. */
function ports(state, id, links) {
  const [outlets, inlets] = [new Map(), new Map()];
  const published = state.ports.get(id);
  for (const port of published?.imports ?? []) {
    outlets.set(port.compat, port.interface);
  }
  for (const port of published?.exports ?? []) {
    inlets.set(port.compat, port.interface);
  }
  for (const link of links?.values() ?? []) {
    if (link.source === id && !outlets.has(link.interface)) {
      outlets.set(link.interface, link.version ?? link.interface);
    }
    if (link.target === id && !inlets.has(link.interface)) {
      inlets.set(link.interface, link.version ?? link.interface);
    }
  }
  return { outlets: portList(outlets), inlets: portList(inlets) };
}

function portList(byCompatible) {
  const list = [...byCompatible].map(([key, name]) => ({ key, interface: name }));
  return list.sort((a, b) => (a.interface < b.interface ? -1 : 1));
}

function updateWormhole(graph, state, id) {
  const wormhole = state.wormholes.get(id);
  const key = wormholeKey(id);
  if (!wormhole) {
    graph.edges.delete(key);
    return replaceNode(graph, key, null);
  }
  const actor = state.components.get(wormhole.actor);
  const app = wormhole.app ?? actor?.app ?? null;
  const node = { key, type: "wormhole", id, kind: "wormhole", app, inlets: [], outlets: [] };
  const moved = replaceNode(graph, key, inGroup(graph, node));
  return replaceEdge(graph, {
    key,
    type: "wormhole",
    id,
    from: key,
    fromPort: null,
    to: componentKey(wormhole.actor),
    toPort: incomingPort(graph, wormhole.actor),
  }) || moved;
}

/** Returns the inlet that takes requests of HTTP, in any of its interfaces, if it is known. */
function incomingPort(graph, actor) {
  const node = graph.nodes.get(componentKey(actor));
  const port = node?.inlets.find(({ key }) => /^(wasi:http\/(incoming-)?|lattice:http\/)handler@/.test(key));
  return port?.key ?? null;
}

function updateLink(graph, state, key) {
  const link = state.links.get(key);
  if (!link) {
    return graph.edges.delete(`l:${key}`);
  }
  return replaceEdge(graph, {
    key: `l:${key}`,
    type: "link",
    id: key,
    from: componentKey(link.source),
    fromPort: link.interface,
    to: componentKey(link.target),
    toPort: link.interface,
  });
}

function inGroup(graph, node) {
  const { groupBy } = graph;
  node.group = groupBy === "app"
    ? node.app ?? NO_GROUP
    : groupBy === "kind" ? node.kind : NO_GROUP;
  node.shape = [
    node.group,
    node.kind,
    node.inlets.map((port) => port.interface).join(),
    node.outlets.map((port) => port.interface).join(),
  ].join("|");
  return node;
}

function replaceNode(graph, key, node) {
  const before = graph.nodes.get(key);
  if (before?.shape === node?.shape) {
    return false;
  }
  if (before && before.group !== node?.group) {
    const group = graph.groups.get(before.group);
    group?.delete(key);
    if (group?.size === 0) {
      graph.groups.delete(before.group);
    }
  }
  if (!node) {
    graph.nodes.delete(key);
    return true;
  }
  graph.nodes.set(key, node);
  if (!graph.groups.has(node.group)) {
    graph.groups.set(node.group, new Set());
  }
  graph.groups.get(node.group).add(key);
  return true;
}

function replaceEdge(graph, edge) {
  const before = graph.edges.get(edge.key);
  const same = before && before.from === edge.from && before.to === edge.to &&
    before.toPort === edge.toPort;
  if (same) {
    return false;
  }
  graph.edges.set(edge.key, edge);
  return true;
}
