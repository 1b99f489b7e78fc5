// The interfaces of a component, as WIT.

import { get } from "../../http.js";
import { servedEdition } from "../../model/edition.js";
import { reread } from "../../reread.js";
import { el } from "../dom.js";
import { problemParts } from "../notices.js";

/** Makes the tab. */
export function interfacesTab(app, selection, body) {
  body.append(el("p", { class: "hint", text: "Reading the interfaces…" }));
  return reread({
    edition: () => servedEdition(app.state, selection.id),
    read: () => get("/api/wit", { component: selection.id }),
    show: (answer) => {
      const open = new Set([...body.querySelectorAll("details[open]")].map((it) => it.dataset.interface));
      const isFirst = body.querySelector("details") === null;
      const isOpen = (name, at) => (isFirst ? at === 0 : open.has(name));
      body.replaceChildren(
        part("Exports", "what others may call", answer.exports, isOpen),
        part("Imports", "what it calls through links", answer.imports, isOpen),
      );
    },
    fail: (problem) => body.replaceChildren(...problemParts(problem)),
  });
}

/** `isOpen(name, at)` says which interfaces are unfolded: the first ones, then what a person likes. */
function part(title, help, interfaces, isOpen) {
  return el(
    "section",
    { class: "wit" },
    el("h3", { text: title }, el("small", { text: ` ${help}` })),
    interfaces.length === 0 ? el("p", { class: "hint", text: "None." }) : null,
    interfaces.map(({ interface: name, wit, functions }, at) =>
      el(
        "details",
        { open: isOpen(name, at), data: { interface: name } },
        el("summary", {}, el("code", { text: name })),
        el("pre", { tabindex: "0", "aria-label": `WIT of ${name}`, text: wit ?? signatures(functions) }),
      )),
  );
}

function signatures(functions) {
  return functions.map(({ name, signature }) => `${name}: ${signature};`).join("\n");
}
