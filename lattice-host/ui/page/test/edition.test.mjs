import assert from "node:assert/strict";
import test from "node:test";
import { declaredEdition, sameFunction, servedEdition } from "../js/model/edition.js";
import { applyEvent, createState, linkKey, noChanges } from "../js/model/state.js";
import { reread } from "../js/reread.js";
import { component, link, replica, view } from "./fixtures.mjs";

function state(more, ports = {}) {
  const made = createState();
  applyEvent(made, "snapshot", { view: view(more), ports }, noChanges());
  return made;
}

/** Waits until everything has run that is ready to. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("a swap is another edition, and a report, a second replica or none are not", () => {
  const of = (...replicas) => servedEdition(state({ replicas }), "a");
  const old = replica("a", "h", { types: "07" });
  assert.equal(of(old), of({ ...old, calls: 9 }));
  assert.equal(of(old), of(old, { ...old, host: "i" }));
  assert.notEqual(of(old), of({ ...old, generation: 2 }));
  assert.notEqual(of(old), of({ ...old, types: "08" }));
  assert.equal(of(), null);
  const ports = { a: { exports: [], imports: [] } };
  assert.notEqual(of(old), servedEdition(state({ replicas: [old] }, ports), "a"));
});

test("a manifest is another one when what it is made of was written again", () => {
  const made = link("a", "x:y/z@1", "b", { app: "shop" });
  const shop = { name: "shop", version: null, owns: [] };
  const of = (selection, more) => declaredEdition(state(more), selection);
  for (const [selection, before, after] of [
    [{ kind: "component", id: "a" }, { components: [component("a")] }, { components: [component("a", { revision: 2 })] }],
    [{ kind: "link", id: linkKey(made) }, { links: [made] }, { links: [{ ...made, revision: 2 }] }],
    [{ kind: "app", id: "shop" }, { apps: [shop], links: [made] }, { apps: [shop], links: [{ ...made, revision: 2 }] }],
    [{ kind: "component", id: "a" }, { components: [component("a", { revision: null })] }, { components: [component("a", { revision: null })], links: [made] }],
  ]) {
    assert.notEqual(of(selection, before), of(selection, after));
    assert.equal(of(selection, before), of(selection, { ...before, replicas: [replica("a", "h")] }));
    assert.equal(of(selection, {}), null);
  }
});

test("what was typed stays for the same function, also of another version of its interface", () => {
  const greet = { interface: "x:y/z@0.1.0", name: "greet", signature: "func(name: string)", params: [{ name: "name" }], result: null, callable: true };
  const newer = { ...greet, interface: "x:y/z@0.1.1" };
  const other = { ...greet, signature: "func(name: u8)" };
  assert.equal(sameFunction([other, greet], greet), 1);
  assert.equal(sameFunction([newer, greet], greet), 1);
  assert.equal(sameFunction([other, newer], greet), 1);
  assert.equal(sameFunction([other, { ...greet, interface: "x:y/other@0.1.0" }], greet), -1);
  assert.equal(sameFunction([greet], undefined), -1);
});

test("something is read again when another edition is there, once, and not after it was closed", async () => {
  let edition = "1";
  const [shown, pending] = [[], []];
  const part = reread({
    edition: () => edition,
    read: () => new Promise((resolve, reject) => pending.push({ resolve, reject })),
    show: (answer) => shown.push(answer),
    fail: (problem) => shown.push(problem.message),
  });
  part.paint();
  assert.equal(pending.length, 1, "one at a time");
  edition = "2";
  part.paint();
  pending[0].resolve("old");
  await settled();
  assert.equal(pending.length, 2, "it has changed meanwhile");
  pending[1].resolve("newer");
  await settled();
  edition = null;
  part.paint();
  edition = "2";
  part.paint();
  assert.equal(pending.length, 2, "nothing new");
  edition = "3";
  part.paint();
  part.close();
  pending[2].resolve("newest");
  await settled();
  edition = "4";
  part.paint();
  assert.deepEqual(shown, ["old", "newer"]);
  assert.equal(pending.length, 3);
});

test("what couldn't be read is read again with the next paint, and not by itself", async () => {
  let edition = "1";
  const [shown, pending] = [[], []];
  const part = reread({
    edition: () => edition,
    read: () => new Promise((resolve, reject) => pending.push({ resolve, reject })),
    show: (answer) => shown.push(answer),
    fail: (problem) => shown.push(problem.message),
  });
  part.paint();
  pending[0].reject(new Error("late"));
  await settled();
  assert.equal(pending.length, 1, "not by itself");
  part.paint();
  part.paint();
  assert.equal(pending.length, 2, "once");
  edition = "2";
  pending[1].reject(new Error("late again"));
  await settled();
  assert.equal(pending.length, 3, "it has changed meanwhile");
  pending[2].resolve("there");
  await settled();
  part.paint();
  assert.equal(pending.length, 3, "it was read");
  assert.deepEqual(shown, ["late", "late again", "there"]);
});
