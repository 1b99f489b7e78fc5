import assert from "node:assert/strict";
import test from "node:test";
import { SILENT_FOR, applyEvent, createState, forgetSilent, isEmpty, isUnchanged, noChanges } from "../js/model/state.js";
import { component, host, link, port, replica, view } from "./fixtures.mjs";

function started(snapshot, ports = {}) {
  const state = createState();
  applyEvent(state, "snapshot", { view: snapshot, ports }, noChanges(), 0);
  return state;
}

function changed(state, deltas, ports = {}, now = 0) {
  const changes = noChanges();
  applyEvent(state, "changes", { deltas, ports }, changes, now);
  return changes;
}

test("a snapshot replaces everything", () => {
  const state = started(view({ components: [component("a")], replicas: [replica("a", "h")] }), { a: { exports: [], imports: [] } });
  assert.equal(state.replicasOf.get("a").size, 1);
  const changes = noChanges();
  applyEvent(state, "snapshot", { view: view({ components: [component("b")] }), ports: {} }, changes, 0);
  assert.deepEqual([...state.components.keys()], ["b"]);
  assert.equal(state.replicasOf.size, 0);
  assert.equal(state.ports.size, 0);
  assert.ok(changes.all);
});

test("a change touches what is drawn with it", () => {
  const state = started(view({ components: [component("a"), component("b")] }));
  const changes = changed(state, [{ link: { is: link("a", "x:y/z@0.1", "b") } }, { replica: { is: replica("b", "h") } }]);
  assert.deepEqual([...changes.links], ["a x:y/z@0.1 default"]);
  assert.deepEqual([...changes.components].sort(), ["a", "b"]);
  assert.deepEqual([...changes.hosts], ["h"]);
  assert.equal(state.linksOf.get("b").size, 1);
});

test("a link that moves to another target leaves the index of the old one", () => {
  const state = started(view({ links: [link("a", "x:y/z@0.1", "b")] }));
  const changes = changed(state, [{ link: { is: link("a", "x:y/z@0.1", "c") } }]);
  assert.equal(state.linksOf.has("b"), false);
  assert.equal(state.linksOf.get("c").size, 1);
  assert.ok(changes.components.has("b"));
});

test("what is gone leaves no trace in the indexes", () => {
  const state = started(view({ components: [component("a")], links: [link("a", "x:y/z@0.1", "b")], replicas: [replica("a", "h")] }));
  changed(state, [{ link: { gone: link("a", "x:y/z@0.1", "b") } }, { replica: { gone: replica("a", "h") } }, { component: { gone: component("a") } }]);
  assert.ok(isEmpty(state));
  for (const index of ["linksOf", "replicasOf", "replicasOn"]) assert.equal(state[index].size, 0, index);
});

test("a host that is gone without leaving is silent until it is back or forgotten", () => {
  const state = started(view({ hosts: [host("h"), host("l", { is_leaving: true })] }));
  changed(state, [{ host: { gone: host("h") } }, { host: { gone: host("l", { is_leaving: true }) } }], {}, 1_000);
  assert.deepEqual([...state.silent.keys()], ["h"]);
  assert.deepEqual(forgetSilent(state, 2_000), []);
  assert.deepEqual(forgetSilent(state, 1_001 + SILENT_FOR), ["h"]);
  changed(state, [{ host: { gone: host("h") } }]);
  changed(state, [{ host: { is: host("h") } }]);
  assert.equal(state.silent.size, 0);
});

test("a host that a new snapshot lacks is silent", () => {
  const state = started(view({ hosts: [host("h")] }));
  applyEvent(state, "snapshot", { view: view(), ports: {} }, noChanges(), 5);
  assert.deepEqual(state.silent.get("h").since, 5);
});

test("ports come and go by themselves", () => {
  const state = started(view({ components: [component("a")] }));
  const some = { exports: [port("x:y/z@0.1.0", "x:y/z@0.1")], imports: [] };
  assert.deepEqual([...changed(state, [], { a: some }).components], ["a"]);
  assert.equal(state.ports.get("a"), some);
  changed(state, [], { a: null });
  assert.equal(state.ports.has("a"), false);
});

test("deltas of unknown kinds are left out", () => {
  const state = started(view());
  assert.ok(isUnchanged(changed(state, [{ planet: { is: { id: "x" } } }])));
});
