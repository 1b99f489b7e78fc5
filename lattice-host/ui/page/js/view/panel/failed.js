// Recent failed calls of a component: those that its hosts have kept, and those tried on this page.

import { get } from "../../http.js";
import { plural } from "../../model/format.js";
import { button, el } from "../dom.js";
import { problemParts } from "../notices.js";
import { timeOf } from "./logs.js";

/** The least time between two requests, in milliseconds. */
const PAUSE = 2_000;
const RAN = { yes: "it ran", no: "it did not run", maybe: "it may have run" };

/** Makes the tab. */
export function failedTab(app, selection, body) {
  const list = el("ul", { class: "failures", "aria-label": "Failed calls" });
  const note = el("p", { class: "hint", role: "status" });
  body.append(el("div", { class: "panel-buttons" }, button("Read again", () => load())), note, list);
  let timer = null;
  let isReading = false;
  let isClosed = false;

  /** One at a time: an older answer must not replace a newer one. */
  async function load() {
    clearTimeout(timer);
    timer = null;
    if (isReading) {
      paint();
      return;
    }
    isReading = true;
    try {
      const answer = await get("/api/failures", { component: selection.id });
      if (isClosed) return;
      list.replaceChildren(...answer.failures.map(rowOf));
      note.textContent = noteOf(answer);
    } catch (problem) {
      if (!isClosed) list.replaceChildren(el("li", {}, problemParts(problem)));
    } finally {
      isReading = false;
    }
  }

  function paint() {
    if (timer === null) timer = setTimeout(load, PAUSE);
  }

  load();
  return {
    paint,
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** What is said above the calls: which hosts have not said theirs, and what the list is. */
export function noteOf({ failures, unknown }) {
  const said = failures.length === 0
    ? "The hosts of this component have kept no failed call."
    : "The newest first. Each host keeps 32 of a component, those that failed alike as one.";
  return [...unknown.map((host) => `${sentence(host.message)}.`), said].join(" ");
}

/** The text of a call that a host has kept, after the name of its function. */
export function servedText({ caller, host, message, code, took_ms: took, times }) {
  const last = times > 1 ? `${plural(times, "time")}, the last after ${took} ms` : `after ${took} ms`;
  return ` from ${caller}, on host ${host}, ${last}: ${message} (${code})`;
}

function rowOf(failure) {
  const at = el("time", { text: timeOf(failure.at_ms) });
  if (failure.kind === "served") {
    return el("li", {}, at, el("p", {}, el("code", { text: failure.function }), servedText(failure)));
  }
  const what = `${failure.interface} ${failure.function}`;
  const { message, code, ran } = failure;
  return el(
    "li",
    {},
    at,
    el("p", {}, el("code", { text: what }), ` tried here: ${message} (${code}; ${RAN[ran] ?? ran})`),
  );
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
