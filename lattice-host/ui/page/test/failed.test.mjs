import assert from "node:assert/strict";
import test from "node:test";
import { FakeElement } from "./fake-element.mjs";

globalThis.document = { createElement: () => new FakeElement(), getElementById: () => null };
const { failedTab, noteOf, servedText } = await import("../js/view/panel/failed.js");

test("a call that failed once, and several that failed alike", () => {
  const failure = {
    caller: "component `web`",
    host: "a",
    message: "it panicked",
    code: "callee-failed",
    took_ms: 7,
    times: 1,
  };
  assert.equal(
    servedText(failure),
    " from component `web`, on host a, after 7 ms: it panicked (callee-failed)",
  );
  assert.match(servedText({ ...failure, times: 3 }), /, 3 times, the last after 7 ms: /);
});

test("a host that is too old is named", () => {
  const old = { host: "a", code: "too-old", message: "host `a` is too old; update it" };
  const note = noteOf({ failures: [], unknown: [old] });
  assert.ok(note.startsWith("Host `a` is too old; update it. "), note);
  assert.match(noteOf({ failures: [{}], unknown: [] }), /^The newest first/);
});

test("one read at a time, and another one for what has changed meanwhile", async ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const answers = [];
  globalThis.fetch = () => new Promise((resolve) => {
    answers.push((message) => resolve({ ok: true, json: async () => ({ failures: [], unknown: [{ message }] }) }));
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const body = new FakeElement();
  const part = failedTab({}, { id: "a" }, body);
  const [buttons, note] = body.children;
  part.paint();
  mock.timers.tick(2_000);
  buttons.children[0].fire("click");
  assert.equal(answers.length, 1, "the first one isn't answered");
  answers[0]("old");
  await settled();
  assert.match(note.textContent, /^Old\. /);
  mock.timers.tick(2_000);
  assert.equal(answers.length, 2);
  answers[1]("new");
  await settled();
  assert.match(note.textContent, /^New\. /);
  part.paint();
  buttons.children[0].fire("click");
  answers[2]("newest");
  await settled();
  mock.timers.tick(2_000);
  assert.equal(answers.length, 3, "the button has read what the timer would");
  part.close();
});
