import assert from "node:assert/strict";
import test from "node:test";

globalThis.document = { createElement: () => null, getElementById: () => null };
const { noteOf, servedText } = await import("../js/view/panel/failed.js");

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
