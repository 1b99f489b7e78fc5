// Whether an outlet can be linked to an inlet, and why not, in words that say what to do next.

import { compatible, isCompatible, parseInterface } from "./interface-name.js";

/**
 * Returns `{ fits: true }`, or `{ fits: false, why }`. `outlet` and `inlet` are
 * `{ of, interface }`.
 */
export function fit(outlet, inlet) {
  if (outlet.of === inlet.of) {
    return no("a component can't be linked to itself; choose another one");
  }
  if (isCompatible(outlet.interface, inlet.interface)) {
    return { fits: true };
  }
  const [out, into] = [parseInterface(outlet.interface), parseInterface(inlet.interface)];
  if (out.path === into.path) {
    return no(
      `${outlet.of} imports version ${out.version ?? "none"} and ${inlet.of} exports ` +
        `${into.version ?? "none"}, which can't replace each other; build one of them with the ` +
        "other's version",
    );
  }
  return no(
    `${inlet.of} exports ${into.path} here and ${outlet.of} imports ${out.path}; ` +
      `choose an inlet for ${out.path}`,
  );
}

function no(why) {
  return { fits: false, why };
}

/**
 * Returns the targets for an outlet: every other component, those that fit first, each
 * `{ id, fits, why }`. Components whose interfaces aren't known fit, because the server decides.
 */
export function targetsFor(outlet, components, portsOf) {
  const targets = [];
  for (const id of components) {
    if (id === outlet.of) {
      continue;
    }
    const known = portsOf(id);
    if (!known) {
      targets.push({ id, fits: true, why: "its interfaces aren't known yet; the server will check" });
      continue;
    }
    const checks = known.exports.map((port) => fit(outlet, { of: id, interface: port.interface }));
    if (checks.some((check) => check.fits)) {
      targets.push({ id, fits: true, why: "" });
    } else {
      targets.push({ id, fits: false, why: whyNone(outlet, id, known.exports, checks) });
    }
  }
  return targets.sort((a, b) => Number(b.fits) - Number(a.fits) || a.id.localeCompare(b.id));
}

function whyNone(outlet, id, exports, checks) {
  const path = parseInterface(outlet.interface).path;
  const near = exports.findIndex((port) => parseInterface(port.interface).path === path);
  if (near >= 0) {
    return checks[near].why;
  }
  return exports.length === 0
    ? `${id} exports nothing`
    : `${id} doesn't export ${path}`;
}

/** Returns a link name that the outlet doesn't use yet, `default` first. */
export function freeName(outlet, links) {
  const wanted = compatible(outlet.interface);
  const taken = new Set();
  for (const link of links) {
    if (link.source === outlet.of && link.interface === wanted) {
      taken.add(link.name);
    }
  }
  if (!taken.has("default")) {
    return "default";
  }
  for (let number = 2; ; number += 1) {
    if (!taken.has(`link-${number}`)) {
      return `link-${number}`;
    }
  }
}
