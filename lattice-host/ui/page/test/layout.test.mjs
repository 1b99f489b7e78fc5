import assert from "node:assert/strict";
import test from "node:test";
import { curve, inletPlace, nodeSize, outletPlace } from "../js/model/geometry.js";
import { layout } from "../js/model/layout.js";

const box = (id) => ({ id, w: 236, h: 90 });

function overlaps(boxes) {
  for (const [at, a] of boxes.entries()) {
    for (const b of boxes.slice(at + 1)) {
      const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
      if (!apart) return `${a.id} and ${b.id}`;
    }
  }
  return null;
}

test("callers are to the left of what they call, and nothing overlaps", () => {
  const ids = ["a", "b", "c", "loose-1", "loose-2"];
  const { nodes, groups } = layout({
    groups: [{ id: "", collapsed: false, nodes: ids.map(box), edges: [["a", "b"], ["b", "c"]] }],
    edges: [],
  });
  assert.ok(nodes.a.x + 236 < nodes.b.x && nodes.b.x + 236 < nodes.c.x);
  assert.equal(overlaps(ids.map((id) => ({ ...box(id), ...nodes[id] }))), null);
  assert.ok(ids.every((id) => nodes[id].y + 90 <= groups[""].y + groups[""].h));
});

test("groups don't overlap, and a collapsed one has no nodes", () => {
  const group = (id, collapsed) => ({ id, collapsed, nodes: collapsed ? [] : [box(`${id}1`), box(`${id}2`)], edges: [] });
  const { nodes, groups } = layout({ groups: [group("x", false), group("y", true), group("z", false)], edges: [["x", "y"]] });
  assert.deepEqual(Object.keys(nodes), ["x1", "x2", "z1", "z2"]);
  assert.equal(overlaps(Object.entries(groups).map(([id, place]) => ({ id, ...place }))), null);
  assert.ok(groups.x.x < groups.y.x);
});

test("the group without a name is linked like others", () => {
  const group = (id) => ({ id, collapsed: false, nodes: [box(`${id}1`)], edges: [] });
  const { groups } = layout({ groups: [group(""), group("x")], edges: [["x", ""]] });
  assert.ok(groups.x.x + groups.x.w < groups[""].x);
});

test("the same input has the same layout, from the cache and without it", () => {
  const input = { groups: [{ id: "g", collapsed: false, nodes: [box("a"), box("b")], edges: [["a", "b"]] }], edges: [] };
  const cache = new Map();
  const first = layout(input, cache);
  assert.equal(cache.size, 1);
  assert.deepEqual(layout(input, cache), first);
  assert.deepEqual(layout(input), first);
  layout({ groups: [], edges: [] }, cache);
  assert.equal(cache.size, 0);
});

test("two thousand nodes in one group are laid out in time, without overlaps", () => {
  const nodes = Array.from({ length: 2_000 }, (_, at) => box(`n${at}`));
  const edges = Array.from({ length: 2_600 }, (_, at) => [`n${at % 2_000}`, `n${(at * 7 + 1) % 2_000}`]);
  const began = performance.now();
  const made = layout({ groups: [{ id: "", collapsed: false, nodes, edges }], edges: [] });
  assert.ok(performance.now() - began < 2_000);
  const sample = nodes.filter((_, at) => at % 9 === 0).map((it) => ({ ...it, ...made.nodes[it.id] }));
  assert.equal(overlaps(sample), null);
});

test("lines of the ports of a node don't cross where they needn't", () => {
  const ids = ["front", "greeter", "photos", "visits", "web"];
  const edges = (order) => [...order.map((id, at) => ["front", id, at, 0]), ["web", "greeter", 0, 0]];
  const made = (order) => layout({ groups: [{ id: "", collapsed: false, nodes: ids.map(box), edges: edges(order) }], edges: [] }).nodes;
  const [down, up] = [made(["greeter", "photos", "visits"]), made(["visits", "photos", "greeter"])];
  assert.ok(down.greeter.y < down.photos.y && down.photos.y < down.visits.y);
  assert.ok(up.visits.y < up.photos.y && up.photos.y < up.greeter.y);
  assert.equal(Math.min(...ids.map((id) => down[id].y)), Math.min(...ids.map((id) => up[id].y)));
});

test("a cycle is laid out", () => {
  const { nodes } = layout({ groups: [{ id: "", collapsed: false, nodes: [box("a"), box("b")], edges: [["a", "b"], ["b", "a"]] }], edges: [] });
  assert.notEqual(nodes.a.x, nodes.b.x);
});

test("ports are inside of their node, outlets beneath inlets", () => {
  const node = { type: "component", inlets: [{ key: "i" }], outlets: [{ key: "o" }, { key: "p" }] };
  const { w, h } = nodeSize(node);
  assert.equal(inletPlace(node, "i").x, 0);
  assert.equal(outletPlace(node, "p").x, w);
  assert.ok(inletPlace(node, "i").y < outletPlace(node, "o").y);
  assert.ok(outletPlace(node, "p").y < h);
  assert.ok(inletPlace(node, null).y < inletPlace(node, "i").y);
  assert.match(curve({ x: 0, y: 0 }, { x: 100, y: 50 }), /^M0 0C50 0 50 50 100 50$/);
});
