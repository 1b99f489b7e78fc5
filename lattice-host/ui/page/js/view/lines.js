// Lines: links, what leads from a wormhole to its actor, and bundles of links between groups that
// are collapsed. The label is text on the line; the reason of a refused link is there as well.

import { linkLoadText } from "../model/health.js";
import { setAttribute, setData, setText, svg } from "./dom.js";

/** How many letters of a reason fit into a row, and how many rows there are. */
const ROW = 26;
const ROWS = 3;

/** Makes the element of a line: `link`, `wormhole` or `bundle`. */
export function createLine(type, id) {
  const element = svg(
    "g",
    { class: `line ${type}`, tabindex: "-1", role: type === "link" ? "button" : "img" },
    svg("title"),
    svg("path", { class: "hit" }),
    svg("path", { class: "stroke" }),
    svg("text", { class: "link-label" }),
  );
  const [title, hit, stroke, label] = element.children;
  element.parts = { title, hit, stroke, label, reason: null, why: null };
  if (type === "link") element.dataset.link = id;
  if (type === "wormhole") element.dataset.wormholeLine = id;
  if (type === "bundle") element.dataset.bundle = id;
  return element;
}

/** Puts a line in its place. */
export function placeLine(element, path, { x, y }) {
  if (element.path === path) {
    return;
  }
  element.path = path;
  const { hit, stroke, label, reason } = element.parts;
  hit.setAttribute("d", path);
  stroke.setAttribute("d", path);
  element.middle = `translate(${Math.round(x)} ${Math.round(y)})`;
  label.setAttribute("transform", element.middle);
  reason?.setAttribute("transform", element.middle);
}

/** Brings the line of a link up to date. */
export function updateLinkLine(element, link) {
  setData(element, "state", link.state);
  const named = link.name === "default" ? "" : `as ${link.name}`;
  const shown = link.state === "rejected" ? "refused" : link.state;
  const load = linkLoadText(link);
  const mark = { rejected: "✕ refused", pending: "◔ pending" }[link.state] ?? "";
  setText(element.parts.label, [named, mark, load].filter(Boolean).join(" · "));
  const why = link.reason ? `: ${link.reason}` : "";
  const calls = load ? `; ${load}` : "";
  const name = `link ${link.source} to ${link.target} through ${link.version} (${link.name}), ${link.state}${why}${calls}`;
  setAttribute(element, "aria-label", name);
  setText(element.parts.title, `${link.version} (${link.name}): ${shown}${why}${calls}`);
  setReason(element, link.reason || null);
}

function setReason(element, reason) {
  if (element.parts.why === reason) {
    return;
  }
  element.parts.why = reason;
  element.parts.reason?.remove();
  element.parts.reason = null;
  setAttribute(element, "data-reason", reason);
  if (!reason) {
    return;
  }
  const rows = wrap(reason).map((row, at) => svg("tspan", { x: 0, dy: at === 0 ? 15 : 13, text: row }));
  const text = svg("text", { class: "link-reason", "aria-label": reason }, rows);
  setAttribute(text, "transform", element.middle);
  element.parts.reason = text;
  element.append(text);
}

/** Returns a text in rows of a line's width; the last one says if there is more. */
export function wrap(text, width = ROW, most = ROWS) {
  const rows = [""];
  for (const word of text.split(/\s+/)) {
    const last = rows[rows.length - 1];
    if (last === "" || last.length + 1 + word.length <= width) {
      rows[rows.length - 1] = last === "" ? word : `${last} ${word}`;
    } else {
      rows.push(word);
    }
  }
  if (rows.length > most) {
    rows.length = most;
    rows[most - 1] = `${rows[most - 1].slice(0, width - 1)}…`;
  }
  return rows;
}

/** Brings the line from a wormhole up to date. */
export function updateWormholeLine(element, wormhole) {
  setData(element, "state", wormhole.state === "open" ? "active" : "closed");
  setText(element.parts.label, wormhole.state === "open" ? "" : "closed");
  setAttribute(element, "aria-label", `wormhole ${wormhole.id} leads to ${wormhole.actor}, ${wormhole.state}`);
}

/** Brings a bundle up to date: how many links it stands for, and the worst of their states. */
export function updateBundle(element, links, wormholes) {
  const count = (state) => links.filter((link) => link.state === state).length;
  const [rejected, pending] = [count("rejected"), count("pending")];
  setData(element, "state", rejected ? "rejected" : pending ? "pending" : "active");
  const parts = [links.length + wormholes === 1 ? "" : String(links.length + wormholes)];
  if (rejected) parts.push(`✕ ${rejected} refused`);
  if (pending) parts.push(`◔ ${pending} pending`);
  setText(element.parts.label, parts.filter(Boolean).join(" · "));
  const name = `${links.length} links, ${rejected} refused, ${pending} pending`;
  setAttribute(element, "aria-label", name);
  setText(element.parts.title, name);
}
