// Collects what changed until the next frame, paints it once, and tells when it is on the screen:
// `data-painted` on the document is the id of the newest event that has been painted.

import { isUnchanged, noChanges } from "./model/state.js";

/** How many of the latest times are kept for measurements. */
const KEPT = 4_096;

/** Returns a painter. `paint(changes)` is called once in a frame. */
export function createPainter(paint) {
  let changes = noChanges();
  // Of the events of this frame, however many: a page in the background gets no frames for hours.
  let batch = null;
  let isScheduled = false;
  const times = [];
  window.latticePaints = times;

  // A message that is posted in a frame arrives after that frame has been painted.
  const after = new MessageChannel();
  after.port1.onmessage = ({ data }) => tell(data);

  function schedule() {
    if (!isScheduled) {
      isScheduled = true;
      requestAnimationFrame(frame);
    }
  }

  function frame() {
    isScheduled = false;
    const [now, painted] = [changes, batch];
    changes = noChanges();
    batch = null;
    if (!isUnchanged(now)) {
      paint(now);
    }
    if (painted) {
      after.port2.postMessage(painted);
    }
  }

  function tell({ id, received, oldest, events }) {
    const ms = performance.now() - oldest;
    times.push(ms);
    if (times.length > KEPT) {
      times.splice(0, times.length - KEPT);
    }
    const { dataset } = document.documentElement;
    dataset.paintedMs = ms.toFixed(1);
    dataset.painted = id;
    const detail = { id, received, ms, events };
    document.dispatchEvent(new CustomEvent("lattice:painted", { detail }));
  }

  return {
    /** Returns the changes to add to, for the next frame. */
    changes: () => changes,
    /** Says that an event's changes were added. */
    add(id, received) {
      batch = { id, received, oldest: batch?.oldest ?? received, events: (batch?.events ?? 0) + 1 };
      schedule();
    },
    schedule,
  };
}
