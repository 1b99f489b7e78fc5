// What stays wrong with the whole lattice or with the connection to it, in one line each.

import { plural } from "../model/format.js";
import { timeOf } from "./panel/logs.js";

const STORES = {
  lost: "The host can't reach the store. What you see may be out of date, and changes fail until it is back. Check the connection to the NATS server.",
  snapshot: "The host hasn't reached the store yet, and shows what an earlier process knew. Check the connection to the NATS server.",
  replaced: "The store was replaced by another one, and links of the old one are kept. Apply your apps again.",
  "went-back": "The store was rolled back, and links of before are kept. Apply your apps again.",
  "other-key": "The store was written with another key, so it can't be read. Start the host with the lattice's key.",
  closed: "The store was closed, so nothing changes here any more. Start the host again.",
};

/** Returns the banners for what is wrong now. `retry()` connects again at once. */
export function bannersOf({ state, connection, isReadOnly }, retry) {
  const banners = [];
  if (connection.state === "lost") {
    const said = connection.why ? ` The host says: ${connection.why}.` : "";
    banners.push({
      id: "connection",
      kind: "fault",
      text: `Connection lost. What you see is from ${timeOf(connection.since).slice(0, 8)}.${said} Trying again…`,
      action: { text: "Try now", run: retry },
    });
  } else if (connection.state === "refused") {
    banners.push({
      id: "session",
      kind: "fault",
      text: "This page is signed out, because the host was started again. Open the address that `lattice up --ui` or `lattice ui` has printed.",
      action: { text: "Try now", run: retry },
    });
  }
  const store = STORES[state.store.state];
  if (store && connection.state === "live" && state.hosts.size + state.components.size > 0) {
    banners.push({ id: "store", kind: "fault", text: store });
  }
  if (state.unreadable.size > 0) {
    const [first] = state.unreadable.values();
    const more = state.unreadable.size > 1 ? ` (and ${state.unreadable.size - 1} more)` : "";
    banners.push({
      id: "unreadable",
      kind: "fault",
      text: `${plural(state.unreadable.size, "record")} can't be read: ${first.key}: ${first.reason}${more}`,
    });
  }
  if (isReadOnly) {
    banners.push({
      id: "read-only",
      kind: "note",
      text: "Read-only: this page shows the lattice and changes nothing. Start it without `--read-only` to change things.",
    });
  }
  return banners;
}
