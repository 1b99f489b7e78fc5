import assert from "node:assert/strict";
import test from "node:test";
import { FakeElement } from "./fake-element.mjs";

const region = new FakeElement();
globalThis.document = { createElement: () => new FakeElement(), getElementById: () => region };
const { done, failed } = await import("../js/view/notices.js");

test("notices of success are few and go, and are kept only while they are read", ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  region.children = [];
  for (const at of [1, 2, 3, 4]) done(`change ${at}`);
  assert.deepEqual(region.children.map((it) => it.textContent.slice(1, 9)), ["change 3", "change 4"]);
  const [, last] = region.children;
  last.fire("pointerenter");
  mock.timers.tick(60_000);
  assert.deepEqual(region.children, [last]);
  last.fire("pointerleave");
  mock.timers.tick(60_000);
  assert.deepEqual(region.children, []);
});

test("errors stay, and the same error is there once", ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  region.children = [];
  failed(new Error("the host can't be reached"));
  failed(new Error("the host can't be reached"));
  failed(new Error("another"));
  mock.timers.tick(60_000);
  assert.equal(region.children.length, 2);
});
