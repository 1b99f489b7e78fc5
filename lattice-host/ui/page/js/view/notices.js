// Notices: what was done, and what went wrong with what to do next. And the banners above the view
// for what stays wrong: the connection, the store, records that can't be read.

import { button, byId, el, keyed } from "./dom.js";

/** How long a notice of success stays, in milliseconds. Errors stay until they are dismissed. */
const STAYS = 6_000;
const MOST = 5;
/** The most notices of success at once: only the last change can be undone. */
const MOST_DONE = 2;

/** Says that something was done. `action` may be `{ text, run }`. */
export function done(text, action = null) {
  passing(add("done", "status", el("p", { text }), action));
}

function passing(notice) {
  let timer = null;
  const go = () => {
    clearTimeout(timer);
    timer = setTimeout(() => notice.remove(), STAYS);
  };
  go();
  // It stays while somebody reads or uses it.
  for (const kind of ["focusin", "pointerenter"]) notice.addEventListener(kind, () => clearTimeout(timer));
  for (const kind of ["focusout", "pointerleave"]) notice.addEventListener(kind, go);
}

/** Says that something failed: a [Problem], or any error. */
export function failed(problem) {
  add("error", "alert", el("div", {}, problemParts(problem)), null);
}

/** Says why something isn't possible. Nothing has failed, so this goes away by itself. */
export function refused(why) {
  passing(add("error", "status", el("p", { text: sentence(why) }), null));
}

/** Returns elements that say what a problem is, why, and what to do next. */
export function problemParts(problem) {
  const parts = [el("p", { class: "what", text: sentence(problem.message) })];
  if (problem.why) {
    parts.push(el("p", { class: "why-text", text: sentence(problem.why) }));
  }
  const problems = problem.details?.problems ?? [];
  if (problems.length > 0) {
    parts.push(el("ul", { class: "places" }, problems.map(placeOf)));
  }
  if (problem.next) {
    parts.push(el("p", { class: "advice", text: sentence(problem.next) }));
  }
  return parts;
}

function placeOf({ line, column, path, message }) {
  const where = line ? `line ${line}${column ? `, column ${column}` : ""}` : path ?? "";
  return el("li", {}, where ? el("span", { class: "place", text: `${where}: ` }) : null, message);
}

/** Returns a text as a sentence: the server's begin in lower case, without a full stop. */
export function sentence(text) {
  const first = /^[a-z]/.test(text) && !/^[a-z]+[-.:/][a-z]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

function add(kind, role, content, action) {
  const region = byId("notices");
  const notice = el(
    "div",
    { class: "notice", role, data: { kind } },
    el("span", { class: "notice-mark", "aria-hidden": "true", text: kind === "done" ? "✓" : "▲" }),
    content,
    action ? button(action.text, () => { notice.remove(); action.run(); }, { class: "quiet" }) : null,
    button("×", () => notice.remove(), { class: "quiet dismiss", "aria-label": "Dismiss" }),
  );
  // What is said again takes the place of what was said before.
  for (const other of [...region.children]) {
    if (other.dataset.kind === kind && other.textContent === notice.textContent) other.remove();
  }
  region.append(notice);
  const isDone = (other) => other.dataset.kind === "done";
  const surplus = (others, most) => others.slice(0, Math.max(0, others.length - most));
  for (const other of surplus([...region.children].filter(isDone), MOST_DONE)) other.remove();
  for (const other of surplus([...region.children], MOST)) other.remove();
  return notice;
}

/** Shows the banners: each `{ id, kind, text, action }`, where `action` may be `{ text, run }`. */
export function showBanners(banners) {
  keyed(
    byId("banners"),
    banners,
    (banner) => `${banner.id} ${banner.text}`,
    ({ id, kind, text, action }) =>
      el(
        "div",
        { class: "banner", role: kind === "fault" ? "alert" : "status", data: { banner: id, kind } },
        el("span", { "aria-hidden": "true", class: "banner-mark", text: kind === "fault" ? "▲" : "◔" }),
        el("p", { text }),
        action ? button(action.text, action.run) : null,
      ),
  );
}
