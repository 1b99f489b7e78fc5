// Components and wormholes as elements: a name, a state, figures, and ports to draw links from.

import { rate } from "../model/format.js";
import { nodeSize } from "../model/geometry.js";
import { componentHealth, componentLoad, loadText } from "../model/health.js";
import { shortInterface } from "../model/interface-name.js";
import { el, setAttribute, setData, setText, show } from "./dom.js";
import { kindIcon, setStateIcon, stateIcon } from "./icons.js";

const KIND_NAMES = { actor: "actor", provider: "provider", "by-hand": "program", missing: "missing" };

/** Returns the name of a kind, as it is shown. */
export function kindName(kind) {
  return KIND_NAMES[kind] ?? kind;
}

/** Returns the name of all of a kind. */
export function kindsName(kind) {
  const name = kindName(kind);
  return name[0].toUpperCase() + name.slice(1) + (kind === "missing" ? "" : "s");
}

/** Makes the element of a node of the graph. */
export function createNode(node) {
  const isWormhole = node.type === "wormhole";
  const element = el(
    "div",
    { class: "node", role: "group", tabindex: "-1", data: { key: node.key, kind: node.kind } },
    el(
      "div",
      { class: "node-head" },
      kindIcon(node.kind),
      el("button", { type: "button", class: "node-title", tabindex: "-1", text: node.id, title: node.id }),
      stateIcon("idle"),
    ),
    el("p", { class: "node-state" }),
    el("p", { class: "node-load" }),
  );
  element.dataset[isWormhole ? "wormhole" : "component"] = node.id;
  if (!isWormhole && node.inlets.length + node.outlets.length > 0) {
    element.append(portList(node));
  }
  // Looking parts up costs more than changing them.
  element.parts = {
    icon: element.querySelector(".state-icon"),
    state: element.querySelector(".node-state"),
    load: element.querySelector(".node-load"),
    ports: [...element.querySelectorAll(".port")],
  };
  const { w, h } = nodeSize(node);
  element.style.width = `${w}px`;
  element.style.height = `${h}px`;
  return element;
}

function portList(node) {
  return el(
    "ul",
    { class: "ports", "aria-label": `interfaces of ${node.id}` },
    node.inlets.map((port) => portRow(node, port, "inlet")),
    node.outlets.map((port) => portRow(node, port, "outlet")),
  );
}

function portRow(node, port, side) {
  const control = el(
    "button",
    {
      type: "button",
      class: `port ${side}`,
      tabindex: "-1",
      title: port.interface,
      "aria-label": `${side} ${port.interface} of ${node.id}`,
      data: { of: node.id, compat: port.key },
    },
    el("span", { class: "port-dot" }),
    el("span", { class: "port-name", text: shortInterface(port.interface) }),
  );
  control.dataset[side] = port.interface;
  return el("li", {}, control);
}

/** Brings a component's element up to date. Returns its state. */
export function updateComponentNode(element, node, state) {
  const health = componentHealth(state, node.id);
  const kind = kindName(node.kind);
  setData(element, "state", health.state);
  setAttribute(element, "aria-label", `${kind} ${node.id}, ${health.text}`);
  setStateIcon(element.parts.icon, health.state);
  setText(element.parts.state, node.kind === "missing" ? health.text : `${kind} · ${health.text}`);
  setText(element.parts.load, loadText(componentLoad(state, node.id), rate));
  setAttribute(element, "title", health.reason);
  markOutlets(element, node, state);
  return health.state;
}

function markOutlets(element, node, state) {
  if (node.outlets.length === 0) {
    return;
  }
  const linked = new Set();
  for (const link of state.linksOf.get(node.id)?.values() ?? []) {
    if (link.source === node.id) linked.add(link.interface);
  }
  for (const port of element.parts.ports) {
    if (port.dataset.outlet === undefined) continue;
    const isLinked = linked.has(port.dataset.compat);
    setData(port, "linked", String(isLinked));
    const name = `outlet ${port.dataset.outlet} of ${node.id}, ${isLinked ? "linked" : "not linked"}`;
    setAttribute(port, "aria-label", name);
  }
}

/** Brings a wormhole's element up to date. */
export function updateWormholeNode(element, node, state) {
  const wormhole = state.wormholes.get(node.id);
  if (!wormhole) {
    return "idle";
  }
  setData(element, "state", wormhole.state);
  setAttribute(element, "aria-label", `wormhole ${node.id}, ${wormhole.state}`);
  setStateIcon(element.parts.icon, wormhole.state);
  const guard = wormhole.auth ? ` · asks for ${wormhole.auth}` : "";
  setText(element.parts.state, `wormhole · ${wormhole.state}${guard}`);
  const more = (wormhole.domains ?? []).length - (wormhole.host ? 0 : 1);
  const first = wormhole.host ?? wormhole.domains?.[0] ?? "*";
  setText(element.parts.load, `${first}${wormhole.path}${more > 0 ? ` +${more}` : ""}`);
  return wormhole.state === "open" ? "serving" : "idle";
}

/** Makes a node the one that Tab reaches, with its ports, or takes that from it. */
export function setCurrent(element, isCurrent) {
  setAttribute(element, "tabindex", isCurrent ? "0" : "-1");
  for (const port of element.parts.ports) {
    setAttribute(port, "tabindex", isCurrent ? "0" : "-1");
  }
}

/** Makes the element of a group. */
export function createGroup(id) {
  const element = el(
    "div",
    { class: "group", data: { app: id } },
    el(
      "div",
      { class: "group-head" },
      el("button", { type: "button", class: "group-toggle" }, el("span", { class: "chevron", "aria-hidden": "true", text: "▸" })),
      el("button", { type: "button", class: "group-title", text: id, tabindex: "-1" }),
      el("span", { class: "group-count" }),
    ),
    el("p", { class: "group-summary" }),
  );
  element.parts = {
    toggle: element.querySelector(".group-toggle"),
    title: element.querySelector(".group-title"),
    count: element.querySelector(".group-count"),
    summary: element.querySelector(".group-summary"),
  };
  return element;
}

/** Brings a group's element up to date. `tally` counts its components by state. */
export function updateGroup(element, { title, count, isCollapsed, tally, isApp }) {
  setData(element, "collapsed", String(isCollapsed));
  const { toggle, title: name, count: total, summary } = element.parts;
  setAttribute(toggle, "aria-expanded", String(!isCollapsed));
  const members = `${count} component${count === 1 ? "" : "s"}`;
  setAttribute(toggle, "aria-label", `${isApp ? "app " : ""}${title}, ${members}`);
  setText(name, title);
  setAttribute(name, "disabled", !isApp);
  setText(total, String(count));
  const parts = [];
  if (tally.failed) parts.push(`▲ ${tally.failed} failing`);
  if (tally.waiting) parts.push(`◔ ${tally.waiting} waiting`);
  if (tally.serving) parts.push(`✓ ${tally.serving} serving`);
  setText(summary, parts.join("   "));
  show(summary, isCollapsed);
  setData(element, "state", tally.failed ? "failed" : tally.waiting ? "waiting" : "serving");
}
