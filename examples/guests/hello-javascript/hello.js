// Says hello over HTTP. A wormhole leads requests to it. `.ci/javascript-guests.sh` builds it.

addEventListener("fetch", (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const path = new URL(request.url).pathname;
  return new Response(`Hello from JavaScript, at ${path}!\n`);
}
