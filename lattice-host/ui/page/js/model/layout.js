// Where nodes are: each group is laid out by itself, and then the groups among each other. A layout
// is a pure function of the structure. It runs in a worker, and groups that didn't change are taken
// from a cache.

import { Graph, layout as dagre } from "../../vendor/dagre.esm.js";
import { COLLAPSED, GROUP_HEAD, GROUP_PAD } from "./geometry.js";

/** The most nodes that dagre gets: its time grows faster than the number of nodes. */
const MOST_NODES = 200;
const MOST_EDGES = 600;
/** Between columns there is room for the label of a line. */
const GAP = { x: 170, y: 22 };
const GROUP_GAP = 48;
/** Between boxes of one row without links. */
const ROW_GAP = 36;

/**
 * Lays out `input`: `{ groups: [{ id, collapsed, nodes: [{ id, w, h }], edges: [[from, to, outlet,
 * inlet]] }], edges: [[group, group]] }`, with the numbers of the ports from the top, if an edge has
 * some. Returns `{ groups: { id: { x, y, w, h } }, nodes: { id: { x, y
 * } } }`, with nodes in the coordinates of the canvas. `cache` is a `Map` that it may keep.
 */
export function layout(input, cache = new Map()) {
  const boxes = input.groups.map((group) => groupBox(group, cache));
  forget(cache, input.groups);
  const places = arrange(boxes, input.edges, { x: 170, y: GROUP_GAP });
  const groups = {};
  const nodes = {};
  boxes.forEach((box, at) => {
    const { x, y } = places[at];
    groups[box.id] = { x, y, w: box.w, h: box.h };
    for (const [id, inner] of Object.entries(box.nodes)) {
      nodes[id] = { x: x + inner.x, y: y + inner.y };
    }
  });
  return { groups, nodes };
}

function groupBox(group, cache) {
  if (group.collapsed) {
    return { id: group.id, ...COLLAPSED, nodes: {} };
  }
  const signature = JSON.stringify([group.nodes, group.edges]);
  const known = cache.get(group.id);
  if (known?.signature === signature) {
    return known.box;
  }
  const places = arrange(group.nodes, group.edges, GAP);
  const nodes = {};
  let [right, bottom] = [0, 0];
  group.nodes.forEach((node, at) => {
    const { x, y } = places[at];
    nodes[node.id] = { x: x + GROUP_PAD, y: y + GROUP_HEAD };
    right = Math.max(right, x + node.w);
    bottom = Math.max(bottom, y + node.h);
  });
  const box = {
    id: group.id,
    w: right + 2 * GROUP_PAD,
    h: bottom + GROUP_HEAD + GROUP_PAD,
    nodes,
  };
  cache.set(group.id, { signature, box });
  return box;
}

function forget(cache, groups) {
  const live = new Set(groups.map((group) => group.id));
  for (const id of cache.keys()) {
    if (!live.has(id)) cache.delete(id);
  }
}

/** Returns a place for each box: connected ones in layers, the others in rows beneath them. */
export function arrange(boxes, edges, gap) {
  const linked = new Set();
  for (const [from, to] of edges) {
    if (from !== to) linked.add(from).add(to);
  }
  const places = new Array(boxes.length);
  const connected = boxes.filter((box) => linked.has(box.id));
  const isSmall = connected.length <= MOST_NODES && edges.length <= MOST_EDGES;
  const found = isSmall ? byDagre(connected, edges, gap) : byLayers(connected, edges, gap);
  let bottom = 0;
  let right = 0;
  boxes.forEach((box, at) => {
    const place = found.get(box.id);
    if (place) {
      places[at] = place;
      bottom = Math.max(bottom, place.y + box.h + gap.y);
      right = Math.max(right, place.x + box.w);
    }
  });
  const loose = boxes.map((box, at) => ({ box, at })).filter(({ at }) => !places[at]);
  inRows(loose, places, { top: bottom, right, gap });
  return places;
}

/** Boxes are numbered for dagre, which takes an empty name, as of a group, for none. */
function byDagre(boxes, edges, gap) {
  const places = new Map();
  if (boxes.length === 0) {
    return places;
  }
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: gap.y, ranksep: gap.x, edgesep: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  const numbers = new Map(boxes.map((box, at) => [box.id, String(at)]));
  for (const box of boxes) {
    graph.setNode(numbers.get(box.id), { width: box.w, height: box.h });
  }
  for (const [from, to] of edges) {
    if (from !== to) graph.setEdge(numbers.get(from), numbers.get(to));
  }
  dagre(graph);
  for (const box of boxes) {
    const { x, y } = graph.node(numbers.get(box.id));
    places.set(box.id, { x: Math.round(x - box.w / 2), y: Math.round(y - box.h / 2) });
  }
  return upright(fromZero(places), new Map(boxes.map((box) => [box.id, box.h])), edges);
}

/** Turns places upside down if the lines of fewer ports cross then: dagre knows nothing of ports. */
function upright(places, heights, edges) {
  const middle = (id) => places.get(id).y + heights.get(id) / 2;
  const ends = new Map();
  const add = (id, side, port, other) => {
    const key = `${side} ${id}`;
    if (!ends.has(key)) ends.set(key, []);
    ends.get(key).push({ port, y: middle(other) });
  };
  for (const [from, to, outlet, inlet] of edges) {
    if (from === to) continue;
    if (outlet !== undefined) add(from, "out", outlet, to);
    if (inlet !== undefined) add(to, "in", inlet, from);
  }
  let score = 0;
  for (const side of ends.values()) {
    for (const [at, a] of side.entries()) {
      for (const b of side.slice(at + 1)) score += Math.sign((a.port - b.port) * (a.y - b.y));
    }
  }
  if (score < 0) {
    const bottom = Math.max(...[...places].map(([id, { y }]) => y + heights.get(id)));
    for (const [id, place] of places) place.y = bottom - place.y - heights.get(id);
  }
  return places;
}

function fromZero(places) {
  let [left, top] = [Infinity, Infinity];
  for (const { x, y } of places.values()) {
    left = Math.min(left, x);
    top = Math.min(top, y);
  }
  for (const place of places.values()) {
    place.x -= left;
    place.y -= top;
  }
  return places;
}

/** For many boxes: columns by the longest path from one that is never called, in linear time. */
function byLayers(boxes, edges, gap) {
  const column = new Map(boxes.map((box) => [box.id, 0]));
  const MOST_COLUMNS = 12;
  for (let round = 0; round < MOST_COLUMNS; round += 1) {
    let changed = false;
    for (const [from, to] of edges) {
      const next = Math.min(column.get(from) + 1, MOST_COLUMNS - 1);
      if (from !== to && next > column.get(to)) {
        column.set(to, next);
        changed = true;
      }
    }
    if (!changed) break;
  }
  return stack(boxes, column, gap);
}

/** Columns that are too high continue beside themselves. */
function stack(boxes, column, gap) {
  const total = boxes.reduce((sum, box) => sum + box.h + gap.y, 0);
  const most = Math.max(1_200, Math.sqrt(total * (boxes[0]?.w ?? 0)) * 1.2);
  const places = new Map();
  const columns = new Map();
  for (const box of boxes) {
    const at = column.get(box.id);
    if (!columns.has(at)) columns.set(at, []);
    columns.get(at).push(box);
  }
  let x = 0;
  for (const at of [...columns.keys()].sort((a, b) => a - b)) {
    let [y, width] = [0, 0];
    for (const box of columns.get(at)) {
      if (y > 0 && y + box.h > most) {
        x += width + ROW_GAP;
        [y, width] = [0, 0];
      }
      places.set(box.id, { x, y });
      y += box.h + gap.y;
      width = Math.max(width, box.w);
    }
    x += width + gap.x;
  }
  return places;
}

/** Fills rows of about the same width as what is above them, or as a square would have. */
function inRows(loose, places, { top, right, gap }) {
  const area = loose.reduce((sum, { box }) => sum + (box.w + gap.y) * (box.h + gap.y), 0);
  const wide = Math.max(right, Math.sqrt(area * 1.8), 1);
  let [x, y, height] = [0, top, 0];
  for (const { box, at } of loose) {
    if (x > 0 && x + box.w > wide) {
      y += height + gap.y;
      [x, height] = [0, 0];
    }
    places[at] = { x, y };
    x += box.w + ROW_GAP;
    height = Math.max(height, box.h);
  }
}
