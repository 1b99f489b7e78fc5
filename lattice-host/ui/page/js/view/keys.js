// What keys do.

import { openDialog } from "./dialog.js";
import { el } from "./dom.js";

const KEYS = [
  ["Arrow keys", "move between components, or between hosts"],
  ["Enter", "selects a component, or opens the dialog of a link on an outlet"],
  ["Tab", "goes from a component into its outlets and inlets"],
  ["+  −  0", "zoom in, zoom out, fit all"],
  ["1  2", "logical view, infrastructure view"],
  ["/", "search"],
  ["Escape", "closes the panel or a dialog, or drops the line that is being drawn"],
  ["?", "these keys"],
];

/** Shows what keys do. */
export function openKeys() {
  openDialog({
    id: "keys-dialog",
    title: "Keys",
    body: [el("dl", { class: "keys" }, KEYS.map(([key, what]) =>
      el("div", {}, el("dt", {}, el("kbd", { text: key })), el("dd", { text: what }))))],
  });
}
