// Where a wormhole can be reached from outside: whole addresses, as the ingresses complete them.

import { get } from "../../http.js";
import { el } from "../dom.js";

/** Makes the list of a wormhole's addresses. It is read again when its names change. */
export function addressList(app, id) {
  const element = el("section", { class: "addresses", "aria-label": "Addresses" });
  let known = null;

  async function read() {
    try {
      const { addresses, ingresses } = await get("/api/wormholes/addresses", { id });
      const isOpen = app.state.wormholes.get(id)?.state === "open";
      element.replaceChildren(
        el("ul", {}, addresses.map((address) => el("li", {}, isOpen && ingresses > 0 && /^https?:/.test(address)
          ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer", text: address })
          : el("code", { text: address })))),
        ingresses === 0
          ? el("p", { class: "hint", text: "No host has an ingress, so no request comes in. Start one with `lattice up --http 127.0.0.1:8080`." })
          : "",
      );
    } catch {
      // The explanation above says what is wrong.
      element.replaceChildren();
    }
  }

  return {
    element,
    paint() {
      const it = app.state.wormholes.get(id);
      const names = it ? JSON.stringify([it.host, it.domains, it.path, it.state]) : null;
      if (names !== known) {
        known = names;
        if (it) read();
      }
    },
  };
}
