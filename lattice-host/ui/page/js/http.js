// Requests to the server of this page, and its errors. Addresses are relative, because the service
// may be mounted under a prefix.

/** What the server says when it refuses: what, why and what to do next. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.what ?? `the server answered with status ${status}`);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.why = body.why ?? null;
    this.next = body.next ?? null;
    this.details = body.details ?? null;
  }
}

/** How long the page waits for an answer, in milliseconds: somewhat longer than the server. */
const PATIENCE = 65_000;

/** Returns the answer to a GET. `query` is an object of parameters; `null` ones are left out. */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return ask(text ? `${relative(path)}?${text}` : relative(path), { method: "GET" });
}

/** Returns the answer to a POST of JSON. */
export function post(path, body) {
  return ask(relative(path), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Returns a path of the interface relative to the page. */
export function relative(path) {
  return path.replace(/^\/+/, "");
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    throw unreachable(error);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Problem(response.status, body);
  }
  return body;
}

function unreachable(error) {
  const isLate = error.name === "TimeoutError";
  return new Problem(0, {
    code: isLate ? "late" : "unreachable",
    what: isLate ? "the host took too long to answer" : "the host can't be reached",
    why: isLate ? "the change may still have been made" : null,
    next: "look at what the page shows now, check that the host runs, and try again",
  });
}
