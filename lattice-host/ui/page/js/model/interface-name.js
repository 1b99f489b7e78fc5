// Names of interfaces, `ns:pkg/iface@version`, and which versions can replace each other. The same
// rules as `InterfaceName` in `lattice-core/proto`.

/** Returns the name in its parts; `version` is `null` if it has none. */
export function parseInterface(text) {
  const at = text.indexOf("@");
  const path = at < 0 ? text : text.slice(0, at);
  const version = at < 0 ? null : text.slice(at + 1);
  const slash = path.indexOf("/");
  return {
    path,
    version,
    package: slash < 0 ? path : path.slice(0, slash),
    name: slash < 0 ? path : path.slice(slash + 1),
  };
}

/** Returns the name with its compatible version: `wasi:keyvalue/store@0.2` for `…@0.2.7`. */
export function compatible(text) {
  const { path, version } = parseInterface(text);
  if (version === null) {
    return path;
  }
  const [core, pre] = splitOnce(version.split("+")[0], "-");
  if (pre !== null) {
    return `${path}@${core}-${pre}`;
  }
  const [major, minor = "0", patch = "0"] = core.split(".");
  if (major !== "0") {
    return `${path}@${major}`;
  }
  return minor === "0" && core.split(".").length === 3
    ? `${path}@0.0.${patch}`
    : `${path}@0.${minor}`;
}

/** Returns whether one can replace the other. */
export function isCompatible(a, b) {
  return a === b || compatible(a) === compatible(b);
}

/** Returns the short form that fits on a node: the interface and its version. */
export function shortInterface(text) {
  const { package: pack, name, version } = parseInterface(text);
  const own = pack.includes(":") ? pack.slice(pack.indexOf(":") + 1) : pack;
  const base = name === own || name === "" ? own : `${own}/${name}`;
  return version === null ? base : `${base} ${version}`;
}

function splitOnce(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}
