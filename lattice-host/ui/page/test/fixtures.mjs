// Small constellations for the tests.

/** Returns a component as the server sends it. */
export function component(id, more = {}) {
  return {
    id, kind: "actor", app: null, image: "file:a.wasm",
    placement: { replicas: { Exactly: 1 }, require: {}, exclude: {}, spread: [] },
    run: "replicated", revision: 1, is_rolled_back: false, rollback_reason: null, runs: null, frozen_by: [],
    ...more,
  };
}

/** Returns a link. */
export function link(source, contract, target, more = {}) {
  return {
    source, interface: contract, name: "default", target, version: contract, locality: "PreferLocal",
    state: "active", reason: null, app: null, revision: 1, ...more,
  };
}

/** Returns a replica that serves. */
export function replica(id, host, more = {}) {
  return { component: id, host, phase: "serving", generation: 1, reason: null, ...more };
}

/** Returns a host that has reported. */
export function host(id, more = {}) {
  return {
    id, epoch: 1, labels: {}, versions: [1, 1], uptime_s: 5, in_flight: 0, memory: 1024, revision: 1,
    follows_store: true, left_out: 0, is_leaving: false, is_apart: false, is_astray: false, rival: null, ...more,
  };
}

/** Returns a host that fell silent. */
export function lost(id, heard) {
  return { host: host(id), last_heard_ms: heard };
}

/** Returns a port. */
export function port(name, compat) {
  return { interface: name, compat, functions: [] };
}

/** Returns a view. */
export function view(more = {}) {
  return {
    store: { state: "following", incarnation: 1, revision: 1 },
    components: [], links: [], wormholes: [], apps: [], unreadable: [], hosts: [], replicas: [], ...more,
  };
}
