// The manifest that would declare what is selected.

import { get } from "../../http.js";
import { declaredEdition } from "../../model/edition.js";
import { reread } from "../../reread.js";
import { copy, hiddenNote } from "../apply-dialog.js";
import { button, el, setText } from "../dom.js";
import { problemParts } from "../notices.js";
import { queryOf } from "./explain.js";

/** Makes the tab. */
export function manifestTab(app, selection, body) {
  const text = el("pre", { class: "manifest", tabindex: "0", "aria-label": "Manifest" });
  const note = el("p", { class: "hint", role: "status", text: "Reading the manifest…" });
  const buttons = el("div", { class: "panel-buttons" }, button("Copy", () => copy(text.textContent)));
  const parts = [buttons, text, note];
  body.append(...parts);
  return reread({
    edition: () => declaredEdition(app.state, selection),
    read: () => get("/api/export", selection.kind === "app" ? { app: selection.id } : queryOf(app, selection)),
    show: (answer) => {
      setText(text, answer.text);
      setText(note, [hiddenNote(answer.hidden ?? []), answer.note].filter(Boolean).join(" "));
      if (!parts.every((part) => part.parentNode === body)) body.replaceChildren(...parts);
    },
    fail: (problem) => body.replaceChildren(...problemParts(problem)),
  });
}
