// The manifest that would declare what is selected.

import { get } from "../../http.js";
import { copy, hiddenNote } from "../apply-dialog.js";
import { button, el } from "../dom.js";
import { problemParts } from "../notices.js";
import { queryOf } from "./explain.js";

/** Makes the tab. */
export function manifestTab(app, selection, body) {
  const text = el("pre", { class: "manifest", tabindex: "0", "aria-label": "Manifest" });
  const note = el("p", { class: "hint", role: "status", text: "Reading the manifest…" });
  body.append(el("div", { class: "panel-buttons" }, button("Copy", () => copy(text.textContent))), text, note);
  let isClosed = false;
  get("/api/export", selection.kind === "app" ? { app: selection.id } : queryOf(app, selection))
    .then((answer) => {
      if (isClosed) return;
      text.textContent = answer.text;
      note.textContent = hiddenNote(answer.hidden ?? []);
    })
    .catch((problem) => {
      if (!isClosed) body.replaceChildren(...problemParts(problem));
    });
  return { close: () => (isClosed = true) };
}
