// Small drawings that tell kinds and states apart by shape, so that colour is never the only sign.

import { svg } from "./dom.js";

const KINDS = {
  actor: "M8 1.5 L13.6 4.75 V11.25 L8 14.5 L2.4 11.25 V4.75 Z",
  provider: "M2.5 4 C2.5 1.8 13.5 1.8 13.5 4 V12 C13.5 14.2 2.5 14.2 2.5 12 Z M2.5 4 C2.5 6.2 13.5 6.2 13.5 4",
  "by-hand": "M1.5 3 H14.5 V13 H1.5 Z M4 6 L6.5 8 L4 10 M8 10.5 H11.5",
  missing: "M8 2 A6 6 0 1 1 7.99 2 M6 6.3 C6 4 10 4 10 6.4 C10 8 8 7.8 8 9.6 M8 11.4 V11.6",
  wormhole: "M8 1.8 A6.2 6.2 0 1 1 7.99 1.8 M8 4.6 A3.4 3.4 0 1 1 7.99 4.6 M8 7 A1 1 0 1 1 7.99 7",
  host: "M2 2.5 H14 V7 H2 Z M2 9 H14 V13.5 H2 Z M4.4 4.75 H5 M4.4 11.25 H5",
  app: "M2 2 H7 V7 H2 Z M9 2 H14 V7 H9 Z M2 9 H7 V14 H2 Z M9 9 H14 V14 H9 Z",
  link: "M6.5 9.5 L9.5 6.5 M5 7.5 L3.6 8.9 A2.5 2.5 0 0 0 7.1 12.4 L8.5 11 M7.5 5 L8.9 3.6 A2.5 2.5 0 0 1 12.4 7.1 L11 8.5",
};

const STATES = {
  serving: "M3 8.4 L6.6 12 L13 4.6",
  waiting: "M8 2.2 A5.8 5.8 0 1 1 7.99 2.2 M8 4.8 V8.2 L10.4 9.6",
  failed: "M8 2 L14.4 13.4 H1.6 Z M8 6.4 V9.6 M8 11.4 V11.6",
  idle: "M3 8 H13",
  open: "M3 8.4 L6.6 12 L13 4.6",
  closed: "M3.4 7.4 H12.6 V13.4 H3.4 Z M5.4 7.2 V5 A2.6 2.6 0 0 1 10.6 5 V7.2",
};

/** Returns the drawing of a kind. */
export function kindIcon(kind) {
  return icon(KINDS[kind] ?? KINDS.missing, `icon kind-${kind}`);
}

/** Returns the drawing of a state, which [setStateIcon] changes. */
export function stateIcon(state) {
  return icon(STATES[state] ?? "", "icon state-icon");
}

/** Makes the drawing that of another state. */
export function setStateIcon(element, state) {
  const path = element.firstChild;
  const shape = STATES[state] ?? "";
  if (path.getAttribute("d") !== shape) {
    path.setAttribute("d", shape);
  }
}

function icon(path, names) {
  return svg("svg", { viewBox: "0 0 16 16", class: names, "aria-hidden": "true" }, svg("path", { d: path }));
}
