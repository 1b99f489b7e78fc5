// The constellation as the page knows it: a fold of the server's deltas, with the indexes that the
// views read. Pure: time is passed in, and nothing here touches the document.

const KINDS = {
  component: { items: "components", key: (it) => it.id },
  link: { items: "links", key: linkKey },
  wormhole: { items: "wormholes", key: (it) => it.id },
  app: { items: "apps", key: (it) => it.name },
  unreadable: { items: "unreadable", key: (it) => it.key },
  host: { items: "hosts", key: (it) => it.id },
  replica: { items: "replicas", key: replicaKey },
  // Hosts that fell silent without a goodbye. The server forgets them after ten minutes.
  "lost-host": { items: "silent", field: "lost_hosts", key: (it) => it.host.id },
};

/** The fields of an item by which it is found in the indexes. */
const PLACES = {
  replica: ["component", "host"],
  link: ["source", "target"],
  wormhole: ["actor"],
};

/** Returns the key of a link, which is also its `data-link`: source, interface and name. */
export function linkKey(link) {
  return `${link.source} ${link.interface} ${link.name}`;
}

/** Returns the key of a replica. */
export function replicaKey(replica) {
  return `${replica.component} ${replica.host}`;
}

/** Returns an empty constellation. */
export function createState() {
  return {
    store: { state: "lost" },
    components: new Map(),
    links: new Map(),
    wormholes: new Map(),
    apps: new Map(),
    unreadable: new Map(),
    hosts: new Map(),
    replicas: new Map(),
    // Hosts that are gone without having said goodbye: id → { host, last_heard_ms }.
    silent: new Map(),
    // Those of them that a person doesn't want to see any more: id → last_heard_ms.
    hidden: new Map(),
    // Published interfaces: component → { imports: [Port], exports: [Port] }, where a port is
    // { interface, compat, functions }.
    ports: new Map(),
    replicasOf: new Map(),
    replicasOn: new Map(),
    linksOf: new Map(),
    wormholesOf: new Map(),
  };
}

/** Returns an empty set of changes: what a painter has to look at. */
export function noChanges() {
  return {
    all: false,
    store: false,
    components: new Set(),
    links: new Set(),
    wormholes: new Set(),
    apps: new Set(),
    hosts: new Set(),
    replicas: new Set(),
  };
}

/** Returns whether there is nothing to paint. */
export function isUnchanged(changes) {
  return (
    !changes.all && !changes.store &&
    ["components", "links", "wormholes", "apps", "hosts", "replicas"].every(
      (kind) => changes[kind].size === 0,
    )
  );
}

/**
 * Applies one delta, and adds what it touched to `changes`. A delta of a kind that this page
 * doesn't know is left out, so that an older page reads a newer server.
 */
export function applyDelta(state, delta, changes) {
  const [kind, value] = Object.entries(delta)[0] ?? [];
  if (kind === "snapshot") {
    applySnapshot(state, value, changes);
  } else if (kind === "store") {
    state.store = value;
    changes.store = true;
  } else if (KINDS[kind]) {
    if (value.is) {
      put(state, kind, value.is, changes);
    } else if (value.gone) {
      remove(state, kind, value.gone, changes);
    }
  }
}

/** Replaces everything by a view. */
function applySnapshot(state, view, changes) {
  for (const { items } of Object.values(KINDS)) {
    state[items] = new Map();
  }
  for (const index of ["replicasOf", "replicasOn", "linksOf", "wormholesOf"]) {
    state[index] = new Map();
  }
  const unseen = noChanges();
  for (const [kind, { items, field = items }] of Object.entries(KINDS)) {
    for (const item of view[field] ?? []) {
      put(state, kind, item, unseen);
    }
  }
  state.store = view.store ?? state.store;
  changes.all = true;
}

function put(state, kind, item, changes) {
  const { items, key: keyOf } = KINDS[kind];
  const key = keyOf(item);
  if (kind === "lost-host" && state.hidden.get(key) === item.last_heard_ms) {
    return;
  }
  const before = state[items].get(key);
  // What stays where it is keeps its place among the others, so that no list changes its order.
  if (before && PLACES[kind]?.some((field) => before[field] !== item[field])) {
    unindex(state, kind, key, before);
  }
  state[items].set(key, item);
  index(state, kind, key, item);
  if (kind === "link" && before && isOnlyLoad(before, item)) {
    // Nothing but its line shows that, and reports bring it for many links at once.
    changes.links.add(key);
    return;
  }
  touch(state, kind, key, item, changes);
  if (before) {
    touch(state, kind, key, before, changes);
  }
}

/** Returns whether two states of a link differ at most in its calls. A write has a revision of its own. */
function isOnlyLoad(before, link) {
  return ["revision", "target", "state", "reason", "app"].every((field) => before[field] === link[field]);
}

function remove(state, kind, item, changes) {
  const { items, key: keyOf } = KINDS[kind];
  const key = keyOf(item);
  const before = state[items].get(key) ?? item;
  unindex(state, kind, key, before);
  state[items].delete(key);
  touch(state, kind, key, before, changes);
  if (kind === "lost-host") {
    state.hidden.delete(key);
  }
}

/** Hides a silent host on this page, until it is heard again. */
export function hideSilent(state, id) {
  const silent = state.silent.get(id);
  if (silent) {
    state.silent.delete(id);
    state.hidden.set(id, silent.last_heard_ms);
  }
}

function index(state, kind, key, item) {
  if (kind === "replica") {
    within(state.replicasOf, item.component).set(item.host, item);
    within(state.replicasOn, item.host).set(item.component, item);
  } else if (kind === "link") {
    within(state.linksOf, item.source).set(key, item);
    within(state.linksOf, item.target).set(key, item);
  } else if (kind === "wormhole") {
    within(state.wormholesOf, item.actor).set(key, item);
  }
}

function unindex(state, kind, key, item) {
  if (kind === "replica") {
    drop(state.replicasOf, item.component, item.host);
    drop(state.replicasOn, item.host, item.component);
  } else if (kind === "link") {
    drop(state.linksOf, item.source, key);
    drop(state.linksOf, item.target, key);
  } else if (kind === "wormhole") {
    drop(state.wormholesOf, item.actor, key);
  }
}

/** A component is drawn with its replicas and its links, so it is touched with them. */
function touch(state, kind, key, item, changes) {
  if (kind === "unreadable") {
    changes.store = true;
    return;
  }
  changes[kind === "lost-host" ? "hosts" : KINDS[kind].items].add(key);
  if (kind === "replica") {
    changes.components.add(item.component);
    changes.hosts.add(item.host);
  } else if (kind === "link") {
    changes.components.add(item.source).add(item.target);
  } else if (kind === "wormhole") {
    changes.components.add(item.actor);
  }
}

function within(index, key) {
  let inner = index.get(key);
  if (!inner) {
    inner = new Map();
    index.set(key, inner);
  }
  return inner;
}

function drop(index, key, inner) {
  const items = index.get(key);
  items?.delete(inner);
  if (items?.size === 0) {
    index.delete(key);
  }
}

/**
 * Takes the published interfaces of some components: `null` for those that have none any more.
 * `ports` is the field of that name of an event.
 */
export function applyPorts(state, ports, changes) {
  for (const [component, published] of Object.entries(ports)) {
    if (published === null) {
      state.ports.delete(component);
    } else {
      state.ports.set(component, published);
    }
    changes.components.add(component);
  }
}

/** Applies an event of the stream: its kind, and its data. */
export function applyEvent(state, kind, data, changes) {
  if (kind === "snapshot") {
    state.ports = new Map();
    applyDelta(state, { snapshot: data.view }, changes);
  }
  for (const delta of data.deltas ?? []) {
    applyDelta(state, delta, changes);
  }
  applyPorts(state, data.ports ?? {}, changes);
}

/** Returns whether there is nothing that a person has put there. */
export function isEmpty(state) {
  return (
    state.components.size === 0 && state.links.size === 0 &&
    state.wormholes.size === 0 && state.apps.size === 0
  );
}
