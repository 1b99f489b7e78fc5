// Reading something when it is shown, and again when another edition of it is there.

/**
 * Reads at once, and on each `paint()` for which `edition()` returns another text than for the last
 * read; `null` is none. After a read that failed, the next `paint()` reads the same one again. Calls
 * `show(answer)` or `fail(problem)` for each read, one at a time. Returns `{ paint, close }`; after
 * `close()` nothing is shown any more.
 */
export function reread({ edition, read, show, fail }) {
  let seen = null;
  let isReading = false;
  let isClosed = false;

  async function ask() {
    seen = edition() ?? seen;
    isReading = true;
    let hasFailed = false;
    try {
      const answer = await read();
      if (!isClosed) show(answer);
    } catch (problem) {
      hasFailed = true;
      if (!isClosed) fail(problem);
    } finally {
      isReading = false;
    }
    // Another edition may have come meanwhile. The same one isn't tried again at once.
    paint();
    if (hasFailed && !isReading) seen = null;
  }

  function paint() {
    if (isClosed || isReading) {
      return;
    }
    const now = edition();
    if (now !== null && now !== seen) {
      ask();
    }
  }

  ask();
  return { paint, close: () => (isClosed = true) };
}
