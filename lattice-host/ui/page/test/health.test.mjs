import assert from "node:assert/strict";
import test from "node:test";
import { bytes, count, latency, listed, plural, rate, uptime } from "../js/model/format.js";
import { componentHealth, hostContext, hostProblems, isNewerRelease, linkLoadText } from "../js/model/health.js";
import { search } from "../js/model/search.js";
import { applyEvent, createState, noChanges } from "../js/model/state.js";
import { component, host, link, replica, view } from "./fixtures.mjs";

function state(more) {
  const made = createState();
  applyEvent(made, "snapshot", { view: view(more), ports: {} }, noChanges());
  return made;
}

test("a component is what its replicas are", () => {
  const looping = { phase: { "crash-looping": { failures: 3 } }, reason: "no redis" };
  for (const [declared, replicas, expected, text] of [
    [component("a"), [replica("a", "h")], "serving", /on 1 host$/],
    [component("a"), [], "waiting", /starting/],
    [component("a", { placement: { replicas: { Exactly: 2 } } }), [replica("a", "h")], "waiting", /1 of 2/],
    [component("a", { placement: { replicas: { Exactly: 0 } } }), [], "idle", /no replicas/],
    [component("a"), [replica("a", "h", looping)], "failed", /keeps failing/],
    [component("a", { is_rolled_back: true, runs: "v1" }), [replica("a", "h")], "failed", /v1 runs/],
    [component("a", { frozen_by: ["config.x"] }), [replica("a", "h")], "failed", /frozen/],
    [component("a", { placement: null, kind: "by-hand" }), [replica("a", "h")], "serving", /1 host/],
  ]) {
    const health = componentHealth(state({ components: [declared], replicas }), "a");
    assert.equal(health.state, expected, health.text);
    assert.match(health.text, text);
  }
});

test("a link has the figures of the calls over it, whatever else calls its target", () => {
  const called = (calls) => link("a", "x:y/z@1", "b", calls);
  const busy = { calls_per_second: 12.4, errors_per_second: 0.5, p99_us: 3_400 };
  assert.equal(linkLoadText(called(busy)), "12.4/s · 0.5 errors/s · p99 3.4 ms");
  assert.equal(linkLoadText(called({ ...busy, errors_per_second: 0, p99_us: null })), "12.4/s");
  assert.equal(linkLoadText(called({})), "");
});

test("every problem of a host is said", () => {
  const ids = (it, context = { newestFormat: 1 }) => hostProblems(it, context).map(({ id }) => id);
  assert.deepEqual(ids(host("h")), []);
  assert.deepEqual(ids(host("h", { is_astray: true })), ["other-store"]);
  assert.deepEqual(ids(host("h"), { newestFormat: 2 }), ["other-version"]);
  assert.deepEqual(ids(host("h", { unsaid: "too many" })), ["over-limits"]);
  assert.deepEqual(ids(host("h", { left_out: 2 })), ["over-limits"]);
  assert.deepEqual(ids(host("h", { rival: 7 })), ["doubled"]);
  assert.deepEqual(ids(host("h", { follows_store: false })), ["behind"]);
  assert.deepEqual(ids(host("h", { uptime_s: undefined })), ["unreported"]);
  assert.deepEqual(ids(host("h", { is_leaving: true })), ["leaving"]);
  assert.deepEqual(ids(host("h", { guest_memory: { used: 60, limit: 64 } })), ["over-limits"]);
  assert.deepEqual(ids(host("h", { guest_memory: { used: 32, limit: 64 } })), []);
  const context = hostContext(state({ hosts: [host("a", { release: "0.9.0" }), host("b", { versions: [1, 2], release: "0.10.0" }), host("c")] }));
  assert.deepEqual(context, { newestFormat: 2, newestRelease: "0.10.0" });
});

test("a host of an older release says which, in words, and so does one near its limits", () => {
  const said = (more, newestRelease) => hostProblems(host("h", more), { newestFormat: 1, newestRelease }).map(({ text }) => text);
  assert.deepEqual(said({ release: "0.2.0" }, "0.2.0"), []);
  assert.deepEqual(said({ release: "0.1.0" }, "0.2.0"), ["an older release: it runs 0.1.0, others 0.2.0"]);
  assert.match(said({}, "0.2.0")[0], /doesn't say which it is, others 0\.2\.0$/);
  assert.deepEqual(said({ uptime_s: undefined }, "0.2.0"), ["it hasn't reported yet"]);
  assert.deepEqual(said({}, undefined), [], "all are old");
  const memory = { guest_memory: { used: 63 << 20, limit: 64 << 20 } };
  assert.deepEqual(said(memory), ["almost over its limits: its components use 63 MiB of 64 MiB"]);
});

test("releases are compared by their numbers", () => {
  for (const [newer, older] of [["0.10.0", "0.9.9"], ["1.0.0", "1.0.0-rc.2"], ["1.0.0-rc.10", "1.0.0-rc.9"], ["2.0.0+a", "1.9.0"]]) {
    assert.ok(isNewerRelease(newer, older), newer);
    assert.ok(!isNewerRelease(older, newer), older);
    assert.ok(!isNewerRelease(newer, newer), newer);
  }
});

test("search finds by name first, then by what is known beside it", () => {
  const found = search(state({
    components: [component("shop-front", { app: "shop" }), component("cart", { app: "shop" })],
    apps: [{ name: "shop", version: null, owns: [] }],
    hosts: [host("mauve", { labels: { zone: "shop-floor" } })],
  }), "Shop");
  assert.deepEqual(found.map(({ id }) => id).slice(0, 2), ["shop", "shop-front"]);
  assert.deepEqual(new Set(found.map(({ id }) => id)), new Set(["shop", "shop-front", "cart", "mauve"]));
  assert.deepEqual(search(state({}), "  "), []);
});

test("numbers are short", () => {
  assert.deepEqual([count(0.42), count(37), count(12_345), count(2_000_000)], ["0.42", "37", "12.3k", "2M"]);
  assert.deepEqual([latency(870), latency(3_400), latency(1_200_000)], ["870 µs", "3.4 ms", "1.2 s"]);
  assert.deepEqual([bytes(512), bytes(52_428_800)], ["512 B", "50 MiB"]);
  assert.deepEqual([uptime(42), uptime(310), uptime(12_000), uptime(1_000_000)], ["42 s", "5 min", "3 h 20 min", "11 d 13 h"]);
  assert.deepEqual([plural(1, "host"), plural(2, "host"), listed(["a", "b", "c"])], ["1 host", "2 hosts", "a, b and c"]);
});
