import assert from "node:assert/strict";
import { test } from "node:test";

test("the greeting has the path", async () => {
  let listener;
  globalThis.addEventListener = (_, added) => (listener = added);
  await import("./index.js");
  let response;
  listener({
    request: new Request("http://localhost/Ada"),
    respondWith: (promised) => (response = promised),
  });
  assert.equal(await (await response).text(), "Hello from placeholder-name, at /Ada!\n");
});
