import assert from "node:assert/strict";
import test from "node:test";
import { fit, freeName, targetsFor } from "../js/model/fit.js";
import { compatible, isCompatible, shortInterface } from "../js/model/interface-name.js";
import { link, port } from "./fixtures.mjs";

test("versions are compatible by the rules of the lattice", () => {
  for (const [a, b, expected] of [
    ["a:b/c@0.2.0", "a:b/c@0.2.1", true],
    ["a:b/c@0.2.0", "a:b/c@0.3.0", false],
    ["a:b/c@1.0.0", "a:b/c@1.9.3", true],
    ["a:b/c@1.0.0", "a:b/c@2.0.0", false],
    ["a:b/c@0.0.1", "a:b/c@0.0.2", false],
    ["a:b/c@0.2.0-rc.1", "a:b/c@0.2.0", false],
    ["a:b/c", "a:b/c", true],
    ["a:b/c", "a:b/c@1.0.0", false],
    ["a:b/c@1.0.0", "a:b/d@1.0.0", false],
  ]) {
    assert.equal(isCompatible(a, b), expected, `${a} ${b}`);
  }
  assert.equal(compatible("wasi:keyvalue/store@0.2.7"), "wasi:keyvalue/store@0.2");
  assert.equal(compatible("wasi:keyvalue/store@0.2.0-draft"), "wasi:keyvalue/store@0.2.0-draft");
});

test("short names keep what tells interfaces apart", () => {
  assert.equal(shortInterface("wasi:keyvalue/store@0.2.0"), "keyvalue/store 0.2.0");
  assert.equal(shortInterface("example:greeter/greeter"), "greeter");
});

test("an outlet fits the inlet of another component, or is told why not", () => {
  const out = { of: "a", interface: "x:y/z@1.0.0" };
  assert.deepEqual(fit(out, { of: "b", interface: "x:y/z@1.2.0" }), { fits: true });
  assert.match(fit(out, { of: "a", interface: "x:y/z@1.0.0" }).why, /itself/);
  assert.match(fit(out, { of: "b", interface: "x:y/z@2.0.0" }).why, /version 1\.0\.0.*2\.0\.0/);
  assert.match(fit(out, { of: "b", interface: "x:y/w@1.0.0" }).why, /choose an inlet for x:y\/z/);
});

test("targets that fit come first, unknown ones are left to the server, others say why", () => {
  const ports = new Map([
    ["b", { exports: [port("x:y/w@1.0.0", "x:y/w@1")] }],
    ["c", { exports: [port("x:y/z@1.1.0", "x:y/z@1")] }],
    ["e", { exports: [] }],
  ]);
  const targets = targetsFor({ of: "a", interface: "x:y/z@1.0.0" }, ["a", "b", "c", "d", "e"], (id) => ports.get(id));
  assert.deepEqual(targets.map(({ id, fits }) => [id, fits]), [["c", true], ["d", true], ["b", false], ["e", false]]);
  assert.match(targets[1].why, /aren't known/);
  assert.match(targets[2].why, /doesn't export x:y\/z/);
  assert.match(targets[3].why, /exports nothing/);
});

test("a second link of an outlet gets a name of its own", () => {
  const outlet = { of: "a", interface: "x:y/z@1.0.0" };
  assert.equal(freeName(outlet, []), "default");
  const links = [link("a", "x:y/z@1", "b"), link("a", "x:y/z@1", "c", { name: "link-2" })];
  assert.equal(freeName(outlet, links), "link-3");
});
