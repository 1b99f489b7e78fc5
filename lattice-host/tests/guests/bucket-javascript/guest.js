// Uses everything that the store has, as `bucket-user` does: see `bucket.wit`.

import { open } from "lattice-test:bucket/store@0.1.0";

export const checks = {
  check() {
    errors();
    entries();
    pages();
  },
};

function errors() {
  for (const [name, expected] of [
    ["missing", { tag: "no-such-store" }],
    ["secret", { tag: "access-denied" }],
    ["", { tag: "other", val: "a bucket has a name" }],
  ]) {
    let opened = true;
    try {
      open(name);
    } catch (error) {
      opened = false;
      const { tag, val } = error.payload;
      same([tag, val], [expected.tag, expected.val]);
    }
    same(opened, false);
  }
}

function entries() {
  const large = new Uint8Array(100_000).fill(7);
  const bucket = open("entries");
  same(bucket.get("a") ?? null, null);
  bucket.set("a", bytes("1"));
  bucket.set("a", bytes("2"));
  bucket.set("large", large);
  bucket.set("empty", bytes(""));
  same([...bucket.get("a")], [...bytes("2")]);
  const found = bucket.get("large");
  same([found.length, found.every((byte) => byte === 7)], [100_000, true]);
  same([...bucket.get("empty")], []);
  // A second handle of the same bucket, which outlives the first one.
  const again = open("entries");
  bucket[Symbol.dispose]();
  same(again.exists("a"), true);
  again.delete("a");
  again.delete("a");
  same(again.exists("a"), false);
  same(again.get("a") ?? null, null);
  again[Symbol.dispose]();
}

function pages() {
  const keys = ["a", "b", "c", "d", "e"];
  const [bucket, other] = [open("pages"), open("other")];
  for (const key of keys) {
    bucket.set(key, bytes(key));
  }
  same(listed(bucket), keys);
  same(listed(other), []);
}

function listed(bucket) {
  const found = [];
  let cursor = null;
  do {
    const page = bucket.listKeys(cursor);
    found.push(...page.keys);
    cursor = page.cursor ?? null;
  } while (cursor !== null);
  return found;
}

function bytes(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function same(found, expected) {
  const [left, right] = [found, expected].map((value) => JSON.stringify(value));
  if (left !== right) {
    throw `${left} instead of ${right}`;
  }
}
