import assert from "node:assert/strict";
import test from "node:test";
import { FieldError, editorOf, hasItems, initial, parseJson, parseScalar, typeText } from "../js/model/forms.js";
import { configFrom, fieldsOf } from "../js/model/schema.js";

test("integers keep their range and their digits", () => {
  const u64 = { kind: "u64", min: "0", max: "18446744073709551615" };
  assert.equal(parseScalar(u64, "18446744073709551615", "n"), "18446744073709551615");
  assert.equal(parseScalar(u64, " 7 ", "n"), 7);
  assert.equal(parseScalar({ kind: "s8" }, "-128", "n"), -128);
  for (const text of ["256", "-1", "1.5", "", "x"]) {
    assert.throws(() => parseScalar({ kind: "u8" }, text, "n"), FieldError, text);
  }
});

test("floats, characters and enums are checked", () => {
  assert.equal(parseScalar({ kind: "f64" }, "2.5", "x"), 2.5);
  assert.equal(parseScalar({ kind: "f32" }, "nan", "x"), "nan");
  assert.throws(() => parseScalar({ kind: "f64" }, "", "x"), FieldError);
  assert.equal(parseScalar({ kind: "char" }, "🌒", "c"), "🌒");
  assert.throws(() => parseScalar({ kind: "char" }, "ab", "c"), FieldError);
  assert.throws(() => parseScalar({ kind: "enum", names: ["red"] }, "blue", "e"), /red/);
  assert.throws(() => parseJson("{", "j"), FieldError);
});

test("every type has an editor, a first value and a text", () => {
  const u32 = { kind: "u32", min: "0", max: "4294967295" };
  const text = { kind: "string" };
  for (const [type, editor, first, wit] of [
    [{ kind: "bool" }, "check", false, "bool"],
    [{ kind: "record", fields: [{ name: "age", type: u32 }] }, "fields", { age: 0 }, "record { age: u32 }"],
    [{ kind: "variant", cases: [{ name: "none", type: null }, { name: "some", type: u32 }] }, "cases", "none", "variant { none, some(u32) }"],
    [{ kind: "enum", names: ["a", "b"] }, "choice", "a", "enum { a, b }"],
    [{ kind: "flags", names: ["r", "w"] }, "flags", [], "flags { r, w }"],
    [{ kind: "tuple", items: [text, u32] }, "items", ["", 0], "tuple<string, u32>"],
    [{ kind: "list", item: u32, length: null }, "json", [], "list<u32>"],
    [{ kind: "list", item: u32, length: 2 }, "json", [0, 0], "list<u32, 2>"],
    [{ kind: "option", some: u32 }, "option", null, "option<u32>"],
    [{ kind: "result", ok: null, err: text }, "json", { ok: null }, "result<_, string>"],
    [{ kind: "map", key: text, value: u32 }, "json", [], "map<string, u32>"],
  ]) {
    assert.equal(editorOf(type), editor, type.kind);
    assert.deepEqual(initial(type), first, type.kind);
    assert.equal(typeText(type), wit);
  }
});

test("a fixed list that is too long for fields is edited as JSON", () => {
  const u8 = { kind: "u8", min: "0", max: "255" };
  assert.ok(hasItems({ kind: "list", item: u8, length: 8 }) && hasItems({ kind: "list", item: u8, length: null }));
  const long = { kind: "list", item: u8, length: 4_294_967_295 };
  assert.equal(hasItems(long), false);
  assert.deepEqual(initial(long), []);
  let nested = u8;
  for (let at = 0; at < 12; at += 1) nested = { kind: "list", item: { kind: "record", fields: [{ name: "a", type: nested }] }, length: 16 };
  assert.equal(hasItems(nested), false);
  assert.deepEqual(initial(nested), []);
});

const SCHEMA = {
  type: "object",
  required: ["bucket"],
  properties: {
    ttl: { type: "integer", description: "In seconds." },
    bucket: { $ref: "#/$defs/name" },
    mode: { enum: ["fast", "safe"], default: "safe" },
    password: { type: "string", writeOnly: true },
    hosts: { type: "array", items: { type: "string" } },
    tls: { type: ["boolean", "null"] },
    ratio: { anyOf: [{ type: "number" }, { type: "null" }] },
    more: { type: "object" },
  },
  $defs: { name: { type: "string", title: "Bucket" } },
};

test("a schema becomes fields, the required ones first", () => {
  const fields = Object.fromEntries(fieldsOf(SCHEMA).map((field) => [field.name, field]));
  assert.equal(fieldsOf(SCHEMA)[0].name, "bucket");
  assert.equal(fields.bucket.label, "Bucket");
  assert.deepEqual(
    Object.values(fields).map(({ name, editor }) => [name, editor]).sort(),
    [["bucket", "text"], ["hosts", "lines"], ["mode", "choice"], ["more", "json"], ["password", "text"], ["ratio", "number"], ["tls", "check"], ["ttl", "integer"]],
  );
  assert.ok(fields.password.isSecret);
  assert.equal(fieldsOf({ type: "string" }), null);
  assert.equal(fieldsOf(null), null);
});

test("a config has what was filled in, with its types", () => {
  const fields = fieldsOf(SCHEMA);
  assert.deepEqual(
    configFrom(fields, { bucket: "b", ttl: "30", mode: "fast", hosts: "a\n\n b ", tls: false, more: '{"x":1}', password: "", ratio: "" }),
    { bucket: "b", ttl: 30, mode: "fast", hosts: ["a", "b"], more: { x: 1 } },
  );
  assert.throws(() => configFrom(fields, { bucket: " " }), /Bucket is required/);
  assert.throws(() => configFrom(fields, { bucket: "b", ttl: "1.5" }), /whole number/);
});
