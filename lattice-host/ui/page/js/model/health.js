// How components and hosts are, in one word for the eye and one sentence for the reader.

import { bytes, latency, plural, rate } from "./format.js";

/** The share of its memory that a host's components use when it is almost over its limits. */
const ALMOST = 0.9;

const SERVING = new Set(["serving", "updating", "handing-over"]);

/** Returns the name of a phase: it is a text, or an object with one field for one with a number. */
export function phaseName(phase) {
  return typeof phase === "string" ? phase : Object.keys(phase ?? {})[0] ?? "unknown";
}

/** Returns the phase as people read it. */
export function phaseText(phase) {
  const name = phaseName(phase);
  const failures = phase?.["crash-looping"]?.failures;
  return failures === undefined ? name.replaceAll("-", " ") : `failed ${failures} times in a row`;
}

/** Returns whether calls reach a replica. */
export function isServing(replica) {
  return SERVING.has(phaseName(replica.phase));
}

/**
 * Returns how a component is: `state` is `serving`, `waiting`, `failed` or `idle`, `text` says it,
 * and `reason` is the last error, if there is one.
 */
export function componentHealth(state, id) {
  const component = state.components.get(id);
  const replicas = [...(state.replicasOf.get(id)?.values() ?? [])];
  const serving = replicas.filter(isServing).length;
  const reason = replicas.find((replica) => replica.reason)?.reason ?? null;
  if (!component) {
    return { state: "waiting", text: "neither declared nor served", reason: null };
  }
  if (component.frozen_by?.length > 0) {
    return { state: "failed", text: "frozen: a record of it can't be read", reason };
  }
  if (component.is_rolled_back) {
    const runs = component.runs ? `, ${component.runs} runs` : "";
    return { state: "failed", text: `rolled back${runs}`, reason: component.rollback_reason };
  }
  return declaredHealth(component, replicas, serving, reason);
}

function declaredHealth(component, replicas, serving, reason) {
  const wanted = wantedReplicas(component);
  const looping = replicas.filter((it) => phaseName(it.phase) === "crash-looping").length;
  if (looping > 0) {
    const rest = serving > 0 ? `, serves on ${plural(serving, "host")}` : "";
    return { state: "failed", text: `keeps failing on ${plural(looping, "host")}${rest}`, reason };
  }
  if (wanted === 0) {
    return { state: "idle", text: "declared with no replicas", reason };
  }
  if (serving === 0) {
    const text = reason ? "no host serves it" : "starting";
    return { state: reason ? "failed" : "waiting", text, reason };
  }
  if (wanted !== null && serving < wanted) {
    return { state: "waiting", text: `serves on ${serving} of ${wanted} hosts`, reason };
  }
  return { state: "serving", text: `serves on ${plural(serving, "host")}`, reason };
}

/** Returns how many replicas are wanted, or `null` if that depends on the hosts. */
export function wantedReplicas(component) {
  if (!component.placement) {
    return null;
  }
  if (component.run === "once") {
    return 1;
  }
  return component.placement.replicas?.Exactly ?? component.placement.replicas?.exactly ?? null;
}

/**
 * Returns the calls of a component over all hosts: `rate` and `errors` per second, `null` while
 * unknown, and the worst `p99` in microseconds.
 */
export function componentLoad(state, id) {
  return sumLoad(state.replicasOf.get(id)?.values() ?? []);
}

/**
 * Returns the load of a link in words, as [loadText]: the calls over it that the hosts of its target
 * have served or refused. Empty without any.
 */
export function linkLoadText(link) {
  return loadText({ rate: link.calls_per_second, errors: link.errors_per_second, p99: link.p99_us }, rate);
}

/** Returns the sum of the loads of replicas. */
export function sumLoad(replicas) {
  const load = { rate: null, errors: null, p99: null };
  for (const replica of replicas) {
    load.rate = add(load.rate, replica.calls_per_second);
    load.errors = add(load.errors, replica.errors_per_second);
    load.p99 = Math.max(load.p99 ?? 0, replica.p99_us ?? 0) || load.p99;
  }
  return load;
}

function add(sum, value) {
  return value === null || value === undefined ? sum : (sum ?? 0) + value;
}

/** Returns a load in words: `12/s · 0.5 errors/s · p99 3.4 ms`; empty without any calls. */
export function loadText(load, rate) {
  const parts = [];
  if (load.rate) parts.push(rate(load.rate));
  if (load.errors) parts.push(`${rate(load.errors).replace("/s", "")} errors/s`);
  if (load.p99 && load.rate) parts.push(`p99 ${latency(load.p99)}`);
  return parts.join(" · ");
}

/** Returns the state of a host: `live`, `leaving` or `apart`. A silent one isn't among the hosts. */
export function hostState(host) {
  if (host.is_leaving) return "leaving";
  return host.is_apart ? "apart" : "live";
}

/**
 * Returns what is wrong with a host, each as `{ id, text, severe }`. `context` is what
 * [hostContext] returns.
 */
export function hostProblems(host, context) {
  const problems = [];
  const say = (id, text, severe = true) => problems.push({ id, text, severe });
  if (host.is_astray) {
    say("other-store", "another store: it runs nothing of what is declared here");
  }
  if (context.newestFormat !== undefined && host.versions?.[1] !== context.newestFormat) {
    say("other-version", `another version: it reads frames up to ${host.versions?.[1]}, others up to ${context.newestFormat}`);
  }
  const behind = olderRelease(host, context.newestRelease);
  if (behind) {
    say("other-release", behind);
  }
  if (host.rival !== null && host.rival !== undefined) {
    say("doubled", "two live hosts have this id");
  }
  const over = overLimits(host);
  if (over) {
    say("over-limits", over);
  }
  if (host.follows_store === false) {
    say("behind", "it can't reach the store");
  }
  if (host.uptime_s === undefined || host.uptime_s === null) {
    say("unreported", "it hasn't reported yet", false);
  }
  if (host.is_leaving) {
    say("leaving", "leaving: others take over its components", false);
  } else if (host.is_apart) {
    say("apart", "takes no part in placement", false);
  }
  return problems;
}

function overLimits(host) {
  if (host.unsaid) {
    return `over its limits: ${host.unsaid}`;
  }
  if (host.left_out > 0) {
    return `over its limits: ${plural(host.left_out, "component")} didn't fit into its report`;
  }
  const memory = host.guest_memory;
  if (memory && memory.used >= memory.limit * ALMOST) {
    return `almost over its limits: its components use ${guestMemoryText(host)}`;
  }
  return null;
}

/** Returns the memory of the components of a host in words; empty if it isn't reported. */
export function guestMemoryText({ guest_memory: memory }) {
  return memory ? `${bytes(memory.used)} of ${bytes(memory.limit)}` : "";
}

/** Returns in words that a host runs an older release than another one. `null` if it doesn't, or hasn't reported. */
function olderRelease(host, newest) {
  const hasReported = host.uptime_s !== undefined && host.uptime_s !== null;
  if (newest === undefined || !hasReported || host.release === newest) {
    return null;
  }
  return `an older release: it runs ${host.release ?? "one that doesn't say which it is"}, others ${newest}`;
}

/**
 * Returns whether a release, such as `1.10.0`, is newer than another one. One before a release, such
 * as `1.0.0-rc.1`, is older than that.
 */
export function isNewerRelease(release, other) {
  const [a, b] = [release, other].map((text) => {
    const [core, pre = ""] = text.split("+")[0].split(/-(.*)/s);
    return { parts: core.split(".").map(Number), pre };
  });
  const at = a.parts.findIndex((part, index) => part !== b.parts[index]);
  if (at >= 0) {
    return a.parts[at] > (b.parts[at] ?? -1);
  }
  if (a.pre === "" || b.pre === "") {
    return a.pre === "" && b.pre !== "";
  }
  return a.pre.localeCompare(b.pre, "en", { numeric: true }) > 0;
}

/**
 * Returns what hosts are compared with: the newest version of frames that any of them reads, and the
 * newest release that any of them runs.
 */
export function hostContext(state) {
  let [newestFormat, newestRelease] = [undefined, undefined];
  for (const host of state.hosts.values()) {
    const newest = host.versions?.[1];
    if (newest !== undefined && (newestFormat === undefined || newest > newestFormat)) {
      newestFormat = newest;
    }
    if (host.release && (newestRelease === undefined || isNewerRelease(host.release, newestRelease))) {
      newestRelease = host.release;
    }
  }
  return { newestFormat, newestRelease };
}
