import assert from "node:assert/strict";
import test from "node:test";
import { createPainter } from "../js/painter.js";

test("however many events come before a frame, they are told as one", async () => {
  const frames = [];
  const told = Promise.withResolvers ? Promise.withResolvers() : withResolvers();
  globalThis.window = globalThis;
  globalThis.requestAnimationFrame = (frame) => frames.push(frame);
  globalThis.document = {
    documentElement: { dataset: {} },
    dispatchEvent: (event) => told.resolve(event.detail),
  };
  const channels = [];
  globalThis.MessageChannel = class {
    port1 = {};
    port2 = { postMessage: (data) => channels.push([this.port1, data]) };
  };
  let paints = 0;
  const painter = createPainter(() => (paints += 1));
  painter.changes().components.add("a");
  // More than a call can have arguments.
  for (let at = 0; at < 300_000; at += 1) painter.add(`x.${at}`, at);
  assert.equal(frames.length, 1);
  frames[0]();
  assert.equal(paints, 1);
  const [[port, data]] = channels;
  port.onmessage({ data });
  const { id, received, events } = await told.promise;
  assert.deepEqual([id, received, events], ["x.299999", 299_999, 300_000]);
  assert.equal(document.documentElement.dataset.painted, "x.299999");
});

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve) => (made.resolve = resolve));
  return made;
}
