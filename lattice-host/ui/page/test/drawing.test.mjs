import assert from "node:assert/strict";
import test from "node:test";
import { boxShapes, drawing, escape, paint, rows, tag } from "../js/model/drawing.js";

const none = { width: 0, style: "none", color: "rgb(0, 0, 0)" };
const border = { width: 1, style: "solid", color: "rgb(216, 220, 227)" };
const place = { x: 10, y: 20, w: 100, h: 50 };
const box = (more) => boxShapes(place, { fill: "rgba(0, 0, 0, 0)", radii: [0, 0, 0, 0], sides: [none, none, none, none], ...more });

test("data can't become elements, and what XML forbids is replaced", () => {
  assert.equal(escape(`<script>"a" & 'b'`), "&lt;script&gt;&quot;a&quot; &amp; 'b'");
  assert.equal(escape("a\u0000b\u001b\ud800c\uffff"), "a\ufffdb\ufffd\ufffdc\ufffd");
  assert.equal(escape("✕ \u{1f30d}"), "✕ \u{1f30d}");
  assert.equal(tag("text", { x: 1 / 3, id: `"><script`, rx: null, fill: "" }, "a"), '<text x="0.33" id="&quot;&gt;&lt;script">a</text>');
  assert.equal(tag("path", { d: "M0 0" }), '<path d="M0 0"/>');
});

test("computed colours become those of SVG", () => {
  assert.deepEqual(paint("rgb(63, 81, 214)"), { color: "#3f51d6", opacity: 1 });
  assert.deepEqual(paint("rgba(10, 14, 20, 0.42)"), { color: "#0a0e14", opacity: 0.42 });
  assert.deepEqual(paint("color(srgb 1 1 1 / 0.52)"), { color: "#ffffff", opacity: 0.52 });
  for (const nothing of ["rgba(0, 0, 0, 0)", "none", "", "url(x)"]) assert.equal(paint(nothing), null);
});

test("a box is a rectangle with its border inside", () => {
  const sides = [border, border, border, border];
  assert.deepEqual(box({ fill: "rgb(255, 255, 255)", radii: [10, 10, 10, 10], sides }), [
    '<rect x="10.5" y="20.5" width="99" height="49" rx="9.5" fill="#ffffff" stroke="#d8dce3"/>',
  ]);
  assert.deepEqual(box({}), [], "what has no colour isn't drawn");
  const [dashed] = box({ sides: sides.map((side) => ({ ...side, style: "dashed" })) });
  assert.match(dashed, /fill="none".*stroke-dasharray="3 2"/);
});

test("a box has the borders that are seen, and corners of their own", () => {
  assert.deepEqual(box({ sides: [none, none, border, none] }), ['<path d="M10 69.5H110" stroke="#d8dce3"/>']);
  assert.deepEqual(box({ sides: [none, border, none, none] }), ['<path d="M109.5 20V70" stroke="#d8dce3"/>']);
  const [shape] = box({ fill: "rgb(0, 0, 0)", radii: [4, 4, 99, 14] });
  assert.match(shape, /^<path d="M14 20H106A4 4 0 0 1 110 24V45A25 25/, "a corner is at most half as large as the box");
});

test("letters become the rows in which they are", () => {
  const letter = (text, left, top) => ({ text, rect: { left, right: left + 5, top, bottom: top + 10 } });
  const letters = [letter("a", 0, 0), letter("b", 5, 0.5), { text: " ", rect: null }, letter("c", 0, 12), { text: "d", rect: null }];
  assert.deepEqual(rows(letters).map(({ text, left, right }) => [text, left, right]), [["ab", 0, 10], ["c", 0, 5]]);
  assert.deepEqual(rows([letter(" ", 0, 0)]), []);
});

test("a drawing says what it shows, and refers to nothing", () => {
  const text = drawing({
    area: { x: -24, y: 0, w: 100.2, h: 50 }, title: "a & b", description: "front", background: "rgb(244, 245, 248)",
    font: '"Segoe UI", sans-serif', elements: [tag("circle", { r: 1 })],
  });
  assert.ok(text.startsWith('<svg xmlns="http://www.w3.org/2000/svg" width="101" height="50" viewBox="-24 0 100.2 50" role="img" font-family="&quot;Segoe UI'));
  assert.ok(text.includes("<title>a &amp; b</title><desc>front</desc>"));
  assert.ok(text.endsWith('<circle r="1"/></svg>\n'));
  assert.equal(text.match(/http/g).length, 1);
});
