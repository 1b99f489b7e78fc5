import assert from "node:assert/strict";
import test from "node:test";

/** As much of an element as notices need. */
class FakeElement {
  constructor() {
    Object.assign(this, { dataset: {}, children: [], listeners: {}, parent: null, text: "" });
  }
  setAttribute() {}
  getAttribute() { return null; }
  hasAttribute() { return false; }
  addEventListener(kind, run) { (this.listeners[kind] ??= []).push(run); }
  fire(kind) { for (const run of this.listeners[kind] ?? []) run(); }
  append(...children) {
    for (const child of children) {
      if (typeof child === "object") child.parent = this;
      this.children.push(child);
    }
  }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((it) => it !== this);
    this.parent = null;
  }
  set textContent(text) { this.text = text; }
  get textContent() { return this.text + this.children.map((it) => it.textContent ?? it).join(""); }
}

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
