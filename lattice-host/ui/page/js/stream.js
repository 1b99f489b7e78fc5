// The one connection over which the constellation comes. States, as `data-connection` shows them:
//
//   connecting ──► live ◄──► lost ──► refused (the session is over)
//
// The browser reconnects by itself and sends the last event's id. When it gives up, which it does
// when the server answers with an error, this module tries again with a growing delay.
//
// A browser has six connections to a server at most, over all of its tabs. So a page that is hidden
// has none, and gets everything anew when it is shown: it is connecting then.

import { get } from "./http.js";

const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 10_000;

/**
 * Follows the stream. Calls `on.event(kind, data, id, received)` for each event, and
 * `on.connection(state, why)` when the connection changes. Returns `{ retry }`, which tries at once.
 */
export function follow(on) {
  let source = null;
  let delay = FIRST_DELAY;
  let timer = null;
  let said = null;

  function open() {
    close();
    if (document.hidden) {
      return;
    }
    source = new EventSource("api/stream");
    source.addEventListener("open", () => {
      delay = FIRST_DELAY;
      said = null;
      on.connection("live", null);
    });
    for (const kind of ["snapshot", "changes"]) {
      source.addEventListener(kind, (event) => {
        const received = performance.now();
        on.event(kind, JSON.parse(event.data), event.lastEventId, received);
      });
    }
    source.addEventListener("bye", (event) => {
      said = JSON.parse(event.data).why ?? null;
    });
    source.addEventListener("error", failed);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function failed() {
    if (source === null) {
      return;
    }
    on.connection("lost", said);
    if (source.readyState === EventSource.CLOSED) {
      timer = setTimeout(reopen, delay);
      delay = Math.min(delay * 2, LONGEST_DELAY);
    }
  }

  /** Asks first whether the session is still valid: an EventSource can't tell. */
  async function reopen() {
    clearTimeout(timer);
    try {
      await get("api/config");
    } catch (problem) {
      if (problem.status === 401 || problem.status === 421) {
        on.connection("refused", problem.next ?? problem.message);
        close();
        if (document.hidden) return;
        timer = setTimeout(reopen, LONGEST_DELAY);
        return;
      }
    }
    open();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
    } else if (source === null) {
      on.connection("connecting", null);
      reopen();
    }
  });
  open();
  return { retry: reopen };
}
