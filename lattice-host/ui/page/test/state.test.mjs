import assert from "node:assert/strict";
import test from "node:test";
import { applyEvent, createState, hideSilent, isEmpty, isUnchanged, noChanges } from "../js/model/state.js";
import { component, host, link, lost, port, replica, view } from "./fixtures.mjs";

function started(snapshot, ports = {}) {
  const state = createState();
  applyEvent(state, "snapshot", { view: snapshot, ports }, noChanges());
  return state;
}

function changed(state, deltas, ports = {}) {
  const changes = noChanges();
  applyEvent(state, "changes", { deltas, ports }, changes);
  return changes;
}

test("a snapshot replaces everything", () => {
  const state = started(view({ components: [component("a")], replicas: [replica("a", "h")] }), { a: { exports: [], imports: [] } });
  assert.equal(state.replicasOf.get("a").size, 1);
  const changes = noChanges();
  applyEvent(state, "snapshot", { view: view({ components: [component("b")] }), ports: {} }, changes);
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
  const changes = changed(state, [{ link: { is: link("a", "x:y/z@0.1", "c", { revision: 2 }) } }]);
  assert.equal(state.linksOf.has("b"), false);
  assert.equal(state.linksOf.get("c").size, 1);
  assert.ok(changes.components.has("b"));
});

test("the calls over a link touch its line alone, and go with the next state", () => {
  const state = started(view({ links: [link("a", "x:y/z@0.1", "b")] }));
  const key = "a x:y/z@0.1 default";
  const busy = { calls_per_second: 2, errors_per_second: 0, p99_us: null };
  let changes = changed(state, [{ link: { is: link("a", "x:y/z@0.1", "b", busy) } }]);
  assert.deepEqual([[...changes.links], changes.components.size], [[key], 0]);
  assert.equal(state.links.get(key).calls_per_second, 2);
  assert.equal(state.linksOf.get("b").get(key).calls_per_second, 2);
  changes = changed(state, [{ link: { is: link("a", "x:y/z@0.1", "b") } }]);
  assert.equal(state.links.get(key).calls_per_second, undefined);
  changes = changed(state, [{ link: { is: link("a", "x:y/z@0.1", "c", { revision: 2 }) } }]);
  assert.deepEqual([...changes.components].sort(), ["a", "b", "c"]);
});

test("a busy link keeps its place among the links of its components", () => {
  const interfaces = ["x:y/one@0.1", "x:y/two@0.1", "x:y/three@0.1"];
  const state = started(view({ links: interfaces.map((name) => link("a", name, "b")) }));
  const order = (component) => [...state.linksOf.get(component).values()].map((it) => it.interface);
  changed(state, [{ link: { is: link("a", interfaces[0], "b", { calls_per_second: 2 }) } }]);
  changed(state, [{ link: { is: link("a", interfaces[1], "b", { revision: 2 }) } }]);
  assert.deepEqual([order("a"), order("b")], [interfaces, interfaces]);
  assert.equal(state.linksOf.get("b").get(`a ${interfaces[0]} default`).calls_per_second, 2);
});

test("what is gone leaves no trace in the indexes", () => {
  const state = started(view({ components: [component("a")], links: [link("a", "x:y/z@0.1", "b")], replicas: [replica("a", "h")] }));
  changed(state, [{ link: { gone: link("a", "x:y/z@0.1", "b") } }, { replica: { gone: replica("a", "h") } }, { component: { gone: component("a") } }]);
  assert.ok(isEmpty(state));
  for (const index of ["linksOf", "replicasOf", "replicasOn"]) assert.equal(state[index].size, 0, index);
});

test("a page that is opened after a host fell silent shows it", () => {
  const state = started(view({ hosts: [host("l")], lost_hosts: [lost("h", 5)] }));
  assert.deepEqual([...state.silent.keys()], ["h"]);
  assert.equal(state.silent.get("h").last_heard_ms, 5);
  assert.equal(state.silent.get("h").host.id, "h");
  assert.deepEqual([...state.hosts.keys()], ["l"]);
});

test("a host is silent until it is back or the server forgets it, and no host that has left is", () => {
  const state = started(view({ hosts: [host("h"), host("l")] }));
  const silent = [{ "lost-host": { is: lost("h", 5) } }, { host: { gone: host("h") } }, { host: { gone: host("l") } }];
  assert.deepEqual([...changed(state, silent).hosts].sort(), ["h", "l"]);
  assert.deepEqual([...state.silent.keys()], ["h"]);
  assert.ok(changed(state, [{ "lost-host": { gone: lost("h", 5) } }, { host: { is: host("h") } }]).hosts.has("h"));
  assert.equal(state.silent.size, 0);
  applyEvent(state, "snapshot", { view: view({ lost_hosts: [lost("h", 9)] }), ports: {} }, noChanges());
  assert.equal(state.silent.size, 1);
  applyEvent(state, "snapshot", { view: view(), ports: {} }, noChanges());
  assert.equal(state.silent.size, 0);
});

test("a silent host that a person has hidden stays hidden until it is heard again", () => {
  const state = started(view({ lost_hosts: [lost("h", 5)] }));
  hideSilent(state, "h");
  assert.equal(state.silent.size, 0);
  applyEvent(state, "snapshot", { view: view({ lost_hosts: [lost("h", 5)] }), ports: {} }, noChanges());
  assert.equal(state.silent.size, 0, "a reconnect doesn't bring it back");
  changed(state, [{ "lost-host": { is: lost("h", 7) } }]);
  assert.equal(state.silent.size, 1);
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
