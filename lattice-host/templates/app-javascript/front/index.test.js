import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const asModule = (text) => `data:text/javascript,${encodeURIComponent(text)}`;

// Only a component has a store. Here, another module stands in for it.
const store = asModule("export const increment = (...given) => globalThis.increment(...given);");
let listener;
globalThis.addEventListener = (_, added) => (listener = added);
const actor = await readFile(new URL("./index.js", import.meta.url), "utf8");
await import(asModule(actor.replace("lattice:keyvalue/store@0.1.0", store)));

async function answer(path) {
  let response;
  listener({
    request: new Request(`http://localhost${path}`),
    respondWith: (promised) => (response = promised),
  });
  return response;
}

test("the greeting has the path and the number", async () => {
  globalThis.increment = (key, by) => (key === "visits/Ada" ? by + 1n : by);
  const response = await answer("/Ada?a=b");
  assert.equal(await response.text(), "Hello from placeholder-name, at /Ada, visit 2!\n");
});

test("a visit that can't be counted is an error", async () => {
  globalThis.increment = () => {
    throw Object.assign(new Error(), { payload: { tag: "other" } });
  };
  assert.equal((await answer("/Ada")).status, 503);
});
