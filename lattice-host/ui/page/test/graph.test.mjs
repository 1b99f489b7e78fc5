import assert from "node:assert/strict";
import test from "node:test";
import { createGraph, rebuild, update } from "../js/model/graph.js";
import { applyEvent, createState, noChanges } from "../js/model/state.js";
import { component, link, port, replica, view } from "./fixtures.mjs";

const KV = "wasi:keyvalue/store@0.2";

function built(snapshot, ports = {}) {
  const state = createState();
  applyEvent(state, "snapshot", { view: snapshot, ports }, noChanges());
  const graph = createGraph();
  rebuild(graph, state);
  return { state, graph };
}

function step({ state, graph }, deltas, ports = {}) {
  const changes = noChanges();
  applyEvent(state, "changes", { deltas, ports }, changes);
  return update(graph, state, changes);
}

test("ports are those that are published and those that links need", () => {
  const { graph } = built(
    view({ components: [component("a"), component("kv")], links: [link("a", KV, "kv", { version: `${KV}.0` })] }),
    { a: { exports: [], imports: [port("x:y/z@1.0.0", "x:y/z@1")] } },
  );
  assert.deepEqual(graph.nodes.get("c:a").outlets.map((it) => it.interface), [`${KV}.0`, "x:y/z@1.0.0"]);
  assert.deepEqual(graph.nodes.get("c:kv").inlets.map((it) => it.key), [KV]);
});

test("an end of a link that isn't there is a missing node in the app of the link", () => {
  const { graph } = built(view({ links: [link("a", KV, "b", { app: "shop" })] }));
  assert.equal(graph.nodes.get("c:b").kind, "missing");
  assert.equal(graph.nodes.get("c:b").group, "shop");
});

test("states and numbers change no structure", () => {
  const it = built(view({ components: [component("a"), component("b")], links: [link("a", KV, "b")] }));
  assert.equal(step(it, [{ link: { is: link("a", KV, "b", { state: "rejected", reason: "no" }) } }]), false);
  assert.equal(step(it, [{ replica: { is: replica("a", "h", { calls: 5 }) } }]), false);
  assert.equal(step(it, [{ component: { is: component("a", { is_rolled_back: true }) } }]), false);
});

test("links, components, apps and ports change the structure", () => {
  const it = built(view({ components: [component("a"), component("b")] }));
  assert.equal(step(it, [{ link: { is: link("a", KV, "b") } }]), true);
  assert.equal(step(it, [{ component: { is: component("c") } }]), true);
  assert.equal(step(it, [{ component: { is: component("c", { app: "shop" }) } }]), true);
  assert.deepEqual([...it.graph.groups.get("shop")], ["c:c"]);
  assert.equal(step(it, [], { c: { exports: [port(`${KV}.0`, KV)], imports: [] } }), true);
  assert.equal(step(it, [{ component: { gone: component("c", { app: "shop" }) } }]), true);
  assert.equal(it.graph.groups.has("shop"), false);
  assert.equal(step(it, [{ link: { gone: link("a", KV, "b") } }]), true);
  assert.equal(it.graph.edges.size, 0);
});

test("a wormhole leads to the inlet for HTTP and lives in the group of its actor", () => {
  const wormhole = { id: "w", actor: "a", host: "w", domains: [], path: "/", state: "open", auth: null, verifier: null, app: null };
  const ports = { a: { exports: [port("wasi:http/incoming-handler@0.2.0", "wasi:http/incoming-handler@0.2")], imports: [] } };
  const it = built(view({ components: [component("a", { app: "shop" })], wormholes: [wormhole] }), ports);
  assert.equal(it.graph.nodes.get("w:w").group, "shop");
  assert.equal(it.graph.edges.get("w:w").toPort, "wasi:http/incoming-handler@0.2");
  assert.equal(step(it, [{ wormhole: { is: { ...wormhole, state: "closed" } } }]), false);
  assert.equal(step(it, [{ wormhole: { gone: wormhole } }]), true);
  assert.equal(it.graph.edges.size, 0);
  const own = { a: { exports: [port("lattice:http/handler@0.1.0", "lattice:http/handler@0.1")], imports: [] } };
  const other = built(view({ components: [component("a")], wormholes: [wormhole] }), own);
  assert.equal(other.graph.edges.get("w:w").toPort, "lattice:http/handler@0.1");
});
