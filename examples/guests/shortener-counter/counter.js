// Counts the clicks that the URL shortener publishes, by link and day. `.ci/javascript-guests.sh`
// builds it.

import { Connection } from "lattice:sql/database@0.1.0";

export const handler = {
  // A message whose handler fails is delivered again, and so may be one that was counted.
  handleMessage(message) {
    const click = read(message.body);
    const connection = new Connection();
    try {
      countOrCreateTables(connection, click);
    } catch (error) {
      throw `the click wasn't counted: ${inWords(error)}`;
    } finally {
      connection[Symbol.dispose]();
    }
  },
};

function read(body) {
  let click;
  try {
    // The engine has no TextDecoder, and a click is ASCII.
    click = JSON.parse(String.fromCharCode(...body.slice(0, 1_000)));
  } catch {
    throw "the message isn't a click: it isn't JSON";
  }
  const { id, link, day } = click ?? {};
  const areTexts = typeof id === "string" && typeof link === "string" && typeof day === "string";
  if (!areTexts || !/^\d{4}-\d\d-\d\d$/.test(day)) {
    throw "the message isn't a click: it has no `id`, `link` and `day`";
  }
  return { id, link, day };
}

function countOrCreateTables(connection, click) {
  try {
    count(connection, click);
  } catch (error) {
    // A statement that names a table that doesn't exist.
    if (error?.payload?.tag !== "syntax") {
      throw error;
    }
    createTables(connection);
    count(connection, click);
  }
}

// Counts a click, unless it was counted before.
function count(connection, { id, link, day }) {
  // One that isn't committed is undone when it is disposed.
  const transaction = connection.begin("read-committed", "read-write");
  try {
    const added = transaction.execute(
      "INSERT INTO counted (click, day) VALUES ($1, $2) ON CONFLICT (click) DO NOTHING",
      [text(id), text(day)],
    );
    if (Number(added) > 0) {
      transaction.execute(
        `INSERT INTO clicks (link, day, clicks) VALUES ($1, $2, 1)
         ON CONFLICT (link, day) DO UPDATE SET clicks = clicks.clicks + 1`,
        [text(link), text(day)],
      );
      transaction.commit();
    }
  } finally {
    transaction[Symbol.dispose]();
  }
}

// Several counters may do this at once.
function createTables(connection) {
  for (const table of [
    "counted (click TEXT PRIMARY KEY, day TEXT NOT NULL)",
    `clicks (link TEXT NOT NULL, day TEXT NOT NULL, clicks BIGINT NOT NULL,
             PRIMARY KEY (link, day))`,
  ]) {
    try {
      connection.execute(`CREATE TABLE IF NOT EXISTS ${table}`, []);
    } catch (error) {
      // PostgreSQL refuses the same name to all but the first.
      if (error?.payload?.tag !== "constraint") {
        throw error;
      }
    }
  }
}

function text(val) {
  return { tag: "str", val };
}

// The error of a call has its value as its payload; of some cases that is a record.
function inWords(error) {
  const { tag, val } = error?.payload ?? {};
  return tag === undefined ? String(error) : `${tag}: ${val?.message ?? val}`;
}
