// Lays out the canvas off the main thread. One answer per request, in order.

import { layout } from "./model/layout.js";

const cache = new Map();

self.addEventListener("message", ({ data }) => {
  self.postMessage({ number: data.number, layout: layout(data.input, cache) });
});
