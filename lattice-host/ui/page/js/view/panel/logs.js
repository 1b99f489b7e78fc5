// The log as it comes: of a component, or the lines of one host. A connection of its own, which
// ends when the tab is closed. A hidden page has none, as in `stream.js`. A log that is paused then
// stays as it is until it is resumed.

import { relative } from "../../http.js";
import { button, el, setText, show } from "../dom.js";

const LEVELS = ["trace", "debug", "info", "warn", "error"];
const MARKS = { warn: "!", error: "▲" };
/** The most lines that are kept. */
const MOST = 1_000;

/** Makes the tab. */
export function logsTab(app, selection, body) {
  const level = el("select", { "aria-label": "Least level" }, LEVELS.map((name) =>
    el("option", { value: name, text: name, selected: name === "info" })));
  const lines = el("div", { id: "log-lines", role: "log", tabindex: "0", "aria-label": `Log of ${selection.id}` });
  const status = el("p", { class: "hint", role: "status" });
  const pause = button("Pause", () => {
    isPaused = !isPaused;
    setText(pause, isPaused ? "Resume" : "Pause");
    pause.setAttribute("aria-pressed", String(isPaused));
    if (isPaused) return;
    if (source === null) open();
    flush();
  }, { "aria-pressed": "false" });
  body.append(
    el("div", { class: "panel-buttons" }, el("label", {}, "Least level ", level), pause,
      button("Clear", () => lines.replaceChildren())),
    status,
    lines,
  );
  let source = null;
  let isPaused = false;
  let waiting = [];
  let isScheduled = false;

  function open() {
    close();
    if (document.hidden) return;
    const query = new URLSearchParams({ recent: "200", level: level.value });
    if (selection.kind === "component") query.set("component", selection.id);
    source = new EventSource(`${relative("/api/logs")}?${query}`);
    setText(status, "Waiting for lines…");
    show(status, true);
    const on = (kind, toLine) => source.addEventListener(kind, (event) => {
      const said = JSON.parse(event.data || "{}");
      if (selection.kind === "host" && said.host !== undefined && said.host !== selection.id) return;
      add(toLine(said));
    });
    on("line", (said) => said);
    on("dropped", (said) => note(`${said.lines} lines of ${said.host} were dropped, because there were too many at once`));
    on("missed", (said) => note(`${said.messages} messages were missed`));
    on("end", () => {
      source.close();
      return note("the host has ended the log");
    });
    source.addEventListener("error", () => {
      setText(status, source.readyState === EventSource.CLOSED
        ? "The log can't be read now. Close another log, or choose the level again to try again."
        : "The connection is lost. Trying again…");
      show(status, true);
    });
    source.addEventListener("open", () => {
      // Hosts send the earlier lines again, also after a lost connection.
      lines.replaceChildren();
      waiting = [];
      show(status, true);
      setText(status, "Waiting for lines…");
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  function turn() {
    if (document.hidden) {
      close();
    } else if (source === null && !isPaused) {
      open();
    }
  }

  function note(text) {
    return { level: "warn", text, said_ms: Date.now(), component: "", host: "" };
  }

  function add(line) {
    waiting.push(line);
    if (waiting.length > MOST) waiting.splice(0, waiting.length - MOST);
    if (!isScheduled && !isPaused) {
      isScheduled = true;
      requestAnimationFrame(flush);
    }
  }

  function flush() {
    isScheduled = false;
    if (isPaused || waiting.length === 0) return;
    const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 24;
    lines.append(...waiting.map((line) => lineOf(line, selection.kind)));
    waiting = [];
    while (lines.childElementCount > MOST) lines.firstElementChild.remove();
    if (isAtEnd) lines.scrollTop = lines.scrollHeight;
    show(status, false);
  }

  level.addEventListener("change", () => {
    lines.replaceChildren();
    open();
  });
  document.addEventListener("visibilitychange", turn);
  open();
  return {
    close() {
      document.removeEventListener("visibilitychange", turn);
      close();
    },
  };
}

function lineOf({ level, text, said_ms: at, component, host }, kind) {
  const name = String(level).toLowerCase();
  const from = kind === "host" ? component : host;
  return el(
    "p",
    { class: "log-line", data: { level: name } },
    el("time", { text: timeOf(at) }),
    el("span", { class: "log-level", text: `${MARKS[name] ?? ""}${name}` }),
    from ? el("span", { class: "log-from", text: from }) : null,
    el("span", { class: "log-text", text }),
  );
}

/** Returns a time of the day with milliseconds. */
export function timeOf(ms) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
