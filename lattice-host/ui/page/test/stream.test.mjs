import assert from "node:assert/strict";
import test from "node:test";
import { follow } from "../js/stream.js";

/** A document that can be hidden, and event sources that can be counted. */
function browser(hidden) {
  const opened = [];
  const page = new EventTarget();
  page.hidden = hidden;
  globalThis.document = page;
  globalThis.fetch = async () => ({ ok: true, json: async () => ({}) });
  globalThis.EventSource = class extends EventTarget {
    static CLOSED = 2;
    constructor() {
      super();
      this.readyState = 0;
      opened.push(this);
    }
    close() {
      this.readyState = 2;
    }
  };
  const show = async (isShown) => {
    page.hidden = !isShown;
    page.dispatchEvent(new Event("visibilitychange"));
    // A page asks first whether it is still let in.
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  const live = () => opened.filter((source) => source.readyState !== 2).length;
  return { opened, show, live };
}

test("a hidden page has no connection, and another one when it is shown", async () => {
  const { opened, show, live } = browser(false);
  const said = [];
  follow({ connection: (state) => said.push(state), event() {} });
  opened[0].dispatchEvent(new Event("open"));
  await show(true);
  assert.equal(opened.length, 1, "it was shown already");
  await show(false);
  assert.equal(live(), 0);
  await show(true);
  assert.deepEqual([opened.length, live()], [2, 1]);
  opened[1].dispatchEvent(new Event("open"));
  assert.deepEqual(said, ["live", "connecting", "live"]);
});

test("a page that is opened out of sight, or hidden while it asks, connects when it is shown", async () => {
  const { opened, show, live } = browser(true);
  const stream = follow({ connection() {}, event() {} });
  assert.equal(opened.length, 0);
  await stream.retry();
  assert.equal(opened.length, 0);
  await show(true);
  assert.equal(live(), 1);
  await show(false);
  const shown = show(true);
  document.hidden = true;
  document.dispatchEvent(new Event("visibilitychange"));
  await shown;
  assert.equal(live(), 0);
});
