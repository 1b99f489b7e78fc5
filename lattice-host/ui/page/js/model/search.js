// What a search finds: components, links, wormholes, apps and hosts whose name, or for hosts a
// label, contains every word.

/** The most matches that are listed. */
export const MOST_MATCHES = 50;

/** Returns the matches of a search, the best first: each `{ kind, id, text, hint }`. */
export function search(state, query) {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) {
    return [];
  }
  const found = [];
  for (const thing of things(state)) {
    const score = scoreOf(thing, words);
    if (score > 0) found.push({ ...thing, score });
  }
  found.sort((a, b) => b.score - a.score || a.text.length - b.text.length || (a.text < b.text ? -1 : 1));
  return found.slice(0, MOST_MATCHES);
}

function* things(state) {
  for (const it of state.components.values()) {
    yield { kind: "component", id: it.id, text: it.id, hint: it.app ? `${it.kind}, app ${it.app}` : it.kind };
  }
  for (const it of state.wormholes.values()) {
    const names = [it.host, ...(it.domains ?? [])].filter(Boolean).join(" ");
    yield { kind: "wormhole", id: it.id, text: it.id, hint: names || "any host name" };
  }
  for (const it of state.apps.values()) {
    yield { kind: "app", id: it.name, text: it.name, hint: it.version ? `app, ${it.version}` : "app" };
  }
  for (const it of state.hosts.values()) {
    const labels = Object.entries(it.labels ?? {}).map(([name, value]) => `${name}=${value}`);
    yield { kind: "host", id: it.id, text: it.id, hint: labels.join(" ") || "host" };
  }
  for (const [key, it] of state.links) {
    const name = it.name === "default" ? "" : ` (${it.name})`;
    yield { kind: "link", id: key, text: `${it.source} → ${it.target}${name}`, hint: it.interface };
  }
}

/** A name that begins with the query is better than one that contains it, and that than a hint. */
function scoreOf({ text, hint, kind }, words) {
  const [name, more] = [text.toLowerCase(), `${hint} ${kind}`.toLowerCase()];
  let score = kind === "link" ? 0 : 1;
  for (const word of words) {
    if (name === word) score += 16;
    else if (name.startsWith(word)) score += 8;
    else if (name.includes(word)) score += 4;
    else if (more.includes(word)) score += 1;
    else return 0;
  }
  return score || 1;
}
