import assert from "node:assert/strict";
import test from "node:test";
import { logsTab } from "../js/view/panel/logs.js";
import { FakeElement } from "./fake-element.mjs";

/** A document that can be hidden, the event sources that are opened, and a log in it. */
function browser(hidden) {
  const opened = [];
  const page = Object.assign(new EventTarget(), { hidden, createElement: () => new FakeElement() });
  globalThis.document = page;
  globalThis.Node = { TEXT_NODE: 3 };
  globalThis.EventSource = class extends EventTarget {
    static CLOSED = 2;
    readyState = 0;
    constructor() {
      super();
      opened.push(this);
    }
    close() {
      this.readyState = 2;
    }
  };
  const show = (isShown) => {
    page.hidden = !isShown;
    page.dispatchEvent(new Event("visibilitychange"));
  };
  const body = new FakeElement();
  const part = logsTab({}, { kind: "component", id: "a" }, body);
  const pause = body.children[0].children[1];
  const counts = () => [opened.length, opened.filter((source) => source.readyState !== 2).length];
  return { counts, show, part, pause };
}

test("a hidden log has no connection, and another one when it is shown, until it is closed", () => {
  const { counts, show, part } = browser(false);
  show(true);
  assert.deepEqual(counts(), [1, 1], "it was shown already");
  show(false);
  assert.deepEqual(counts(), [1, 0]);
  show(true);
  assert.deepEqual(counts(), [2, 1]);
  part.close();
  show(false);
  show(true);
  assert.deepEqual(counts(), [2, 0]);
});

test("a log that is opened out of sight connects when it is shown", () => {
  const { counts, show, part } = browser(true);
  assert.deepEqual(counts(), [0, 0]);
  show(true);
  assert.deepEqual(counts(), [1, 1]);
  part.close();
});

test("a log that is paused while it is hidden connects when it is resumed", () => {
  const { counts, show, part, pause } = browser(false);
  pause.fire("click");
  show(false);
  show(true);
  assert.deepEqual(counts(), [1, 0], "its lines stay");
  pause.fire("click");
  assert.deepEqual(counts(), [2, 1]);
  part.close();
});
