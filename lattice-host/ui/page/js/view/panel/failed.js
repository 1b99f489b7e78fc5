// Recent failed calls of a component: how many hosts counted, and those that were tried here.

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
  let isClosed = false;

  async function load() {
    timer = null;
    try {
      const answer = await get("/api/failures", { component: selection.id });
      if (isClosed) return;
      list.replaceChildren(...answer.failures.map(rowOf));
      note.textContent = answer.failures.length === 0
        ? `No call has failed since ${timeOf(answer.since_ms)}. Hosts report how many calls failed, not which; the log says more.`
        : `Since ${timeOf(answer.since_ms)}, the newest first.`;
    } catch (problem) {
      if (!isClosed) list.replaceChildren(el("li", {}, problemParts(problem)));
    }
  }

  load();
  return {
    paint() {
      if (timer === null) timer = setTimeout(load, PAUSE);
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

function rowOf(failure) {
  const at = el("time", { text: timeOf(failure.at_ms) });
  if (failure.kind === "counted") {
    return el("li", {}, at, el("p", { text: `${plural(failure.errors, "call")} failed on host ${failure.host}` }));
  }
  const what = `${failure.interface} ${failure.function}`;
  return el(
    "li",
    {},
    at,
    el("p", {}, el("code", { text: what }), ` ${failure.message} (${failure.code}; ${RAN[failure.ran] ?? failure.ran})`),
  );
}
