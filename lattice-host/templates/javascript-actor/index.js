// An actor that serves HTTP. A wormhole leads requests to it.

addEventListener("fetch", (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const path = new URL(request.url).pathname;
  return new Response(`Hello from placeholder-name, at ${path}!\n`);
}
