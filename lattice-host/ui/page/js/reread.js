// Reading something when it is shown, and again when another edition of it is there.

/**
 * Reads at once, and on each `paint()` for which `edition()` returns another text than for the last
 * read; `null` is none. Calls `show(answer)` or `fail(problem)` for each read, one at a time. Returns
 * `{ paint, close }`; after `close()` nothing is shown any more.
 */
export function reread({ edition, read, show, fail }) {
  let seen = null;
  let isReading = false;
  let isClosed = false;

  async function ask() {
    seen = edition() ?? seen;
    isReading = true;
    try {
      const answer = await read();
      if (!isClosed) show(answer);
    } catch (problem) {
      if (!isClosed) fail(problem);
    } finally {
      isReading = false;
    }
    paint();
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
