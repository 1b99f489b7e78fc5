// The interfaces of a component, as WIT.

import { get } from "../../http.js";
import { el } from "../dom.js";
import { problemParts } from "../notices.js";

/** Makes the tab. */
export function interfacesTab(app, selection, body) {
  body.append(el("p", { class: "hint", text: "Reading the interfaces…" }));
  let isClosed = false;
  get("/api/wit", { component: selection.id })
    .then((answer) => {
      if (isClosed) return;
      const parts = [part("Exports", "what others may call", answer.exports), part("Imports", "what it calls through links", answer.imports)];
      body.replaceChildren(...parts);
    })
    .catch((problem) => {
      if (!isClosed) body.replaceChildren(...problemParts(problem));
    });
  return { close: () => (isClosed = true) };
}

function part(title, help, interfaces) {
  return el(
    "section",
    { class: "wit" },
    el("h3", { text: title }, el("small", { text: ` ${help}` })),
    interfaces.length === 0 ? el("p", { class: "hint", text: "None." }) : null,
    interfaces.map(({ interface: name, wit, functions }, at) =>
      el(
        "details",
        { open: at === 0 },
        el("summary", {}, el("code", { text: name })),
        el("pre", { tabindex: "0", "aria-label": `WIT of ${name}`, text: wit ?? signatures(functions) }),
      )),
  );
}

function signatures(functions) {
  return functions.map(({ name, signature }) => `${name}: ${signature};`).join("\n");
}
