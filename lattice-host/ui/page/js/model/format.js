// Numbers, times and sizes for people.

/** `1.2k`, `37`, `0.4`. */
export function count(value) {
  if (value >= 999_500) return `${trim(value / 1e6)}M`;
  if (value >= 9_995) return `${trim(value / 1e3)}k`;
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return trim(value);
}

/** A rate per second, or nothing while it isn't known. */
export function rate(value) {
  return value === null || value === undefined ? "" : `${count(value)}/s`;
}

/** A latency from microseconds: `870 µs`, `3.4 ms`, `1.2 s`. */
export function latency(us) {
  if (us === null || us === undefined) return "";
  if (us < 1_000) return `${us} µs`;
  if (us < 1_000_000) return `${trim(us / 1e3)} ms`;
  return `${trim(us / 1e6)} s`;
}

/** A size in bytes: `12 MiB`. */
export function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 ? value : trim(value)} ${units[at]}`;
}

/** A length of time from seconds: `42 s`, `5 min`, `3 h 20 min`, `12 d 4 h`. */
export function uptime(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 24) return min % 60 === 0 ? `${h} h` : `${h} h ${min % 60} min`;
  const d = Math.floor(h / 24);
  return h % 24 === 0 ? `${d} d` : `${d} d ${h % 24} h`;
}

/** `1 host`, `3 hosts`. */
export function plural(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(items) {
  const all = [...items];
  return all.length < 2
    ? all.join("")
    : `${all.slice(0, -1).join(", ")} and ${all[all.length - 1]}`;
}

function trim(value) {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = value.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
