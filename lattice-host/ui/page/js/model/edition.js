// What tells one edition of something from the next, so that what was read of it is read again when
// another one is there. Pure.

import { parseInterface } from "./interface-name.js";

/**
 * Returns a text for what a component serves: its generations and the digests of its types, over all
 * hosts, and its published interfaces. `null` while no host serves it, when there is nothing new.
 */
export function servedEdition(state, id) {
  const replicas = [...(state.replicasOf.get(id)?.values() ?? [])];
  const served = replicas.filter((it) => it.types || it.generation !== null);
  if (served.length === 0) {
    return null;
  }
  const distinct = (values) => [...new Set(values)].sort();
  return JSON.stringify([
    distinct(served.map((it) => it.generation ?? "")),
    distinct(served.map((it) => it.types ?? "")),
    state.ports.get(id) ?? null,
  ]);
}

/** Returns a text for what a manifest of a selection would be made of, or `null` if it is gone. */
export function declaredEdition(state, { kind, id }) {
  switch (kind) {
    case "component":
      return edition(state.components.get(id), (it) => [
        it.revision, it.kind, it.revision === null ? revisions(state.linksOf.get(id)?.values() ?? []) : [],
      ]);
    case "link":
      return edition(state.links.get(id), (it) => it.revision);
    case "wormhole":
      return edition(state.wormholes.get(id), (it) => it);
    case "app":
      return edition(state.apps.get(id), (it) => [
        it, ...["components", "links", "wormholes"].map((kind) => owned(state[kind], id, kind)),
      ]);
    default:
      return null;
  }
}

function edition(item, of) {
  return item === undefined ? null : JSON.stringify(of(item));
}

function owned(items, app, kind) {
  const own = [...items.values()].filter((it) => it.app === app);
  return kind === "wormholes" ? own : revisions(own);
}

function revisions(items) {
  return [...items].map((it) => [it.id ?? `${it.source} ${it.interface} ${it.name}`, it.revision]);
}

/**
 * Returns the place of the function that can take what was typed for another one: of the same
 * interface, or of another version of it, with the same name and types. -1 if there is none.
 */
export function sameFunction(functions, before) {
  if (!before) {
    return -1;
  }
  const text = ({ name, signature, params, result, callable }) => JSON.stringify([name, signature, params, result, callable]);
  const like = functions.filter((it) => text(it) === text(before));
  const path = parseInterface(before.interface).path;
  const found = like.find((it) => it.interface === before.interface) ??
    like.find((it) => parseInterface(it.interface).path === path);
  return found === undefined ? -1 : functions.indexOf(found);
}
