// An actor that counts visits, in the key-value store that it is linked to.

import { increment } from "lattice:keyvalue/store@0.1.0";

addEventListener("fetch", (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const path = new URL(request.url).pathname;
  try {
    const visits = increment(`visits${path}`, 1n);
    return new Response(`Hello from placeholder-name, at ${path}, visit ${visits}!\n`);
  } catch (error) {
    // The store's error is the payload.
    console.error("the visit was not counted:", error?.payload?.tag ?? String(error));
    return new Response("the visit was not counted\n", { status: 503 });
  }
}
