// What must be true of the files of the page as a whole.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const files = readdirSync(ROOT, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)));
const own = files.filter((file) => file.startsWith("js/") && file.endsWith(".js"));
const read = (file) => readFileSync(join(ROOT, file), "utf8");

test("every import names a file of the page", () => {
  for (const file of own) {
    for (const [, path] of read(file).matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)) {
      const target = relative(ROOT, resolve(ROOT, dirname(file), path));
      assert.ok(files.includes(target), `${file} imports ${path}`);
    }
  }
});

test("every imported name is exported", async () => {
  for (const file of own) {
    for (const [, names, path] of read(file).matchAll(/import \{([^}]+)\} from "(\.[^"]+)"/g)) {
      const target = resolve(ROOT, dirname(file), path);
      const text = readFileSync(target, "utf8");
      for (const name of names.split(",").map((it) => it.trim().split(" as ")[0]).filter(Boolean)) {
        const isExported = new RegExp(`export (async )?(function\\*?|const|class) ${name}\\b|export\\s*\\{[^}]*\\b${name}\\b`).test(text);
        assert.ok(isExported, `${file} imports ${name} from ${path}`);
      }
    }
  }
});

test("no data becomes markup, no code becomes from text, and nothing is loaded from elsewhere", () => {
  for (const file of own) {
    const text = read(file);
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, file);
    assert.doesNotMatch(text.replaceAll("http://www.w3.org/2000/svg", "").replaceAll("http://127.0.0.1:8080", ""), /https?:\/\//, file);
    assert.doesNotMatch(text, /(fetch|get|post|EventSource)\("\/(?!api)/, file);
  }
  const html = read("index.html");
  assert.doesNotMatch(html, /\sstyle=|\son[a-z]+=|<script(?![^>]*src=)/);
  assert.doesNotMatch(html.replaceAll("http://www.w3.org/2000/svg", ""), /https?:\/\//);
});

test("no module has more than 500 lines", () => {
  for (const file of own) {
    assert.ok(read(file).split("\n").length <= 500, file);
  }
});

test("ids that the code asks for are in the page", () => {
  const html = read("index.html");
  const made = own.map(read).join("\n");
  for (const [, id] of made.matchAll(/byId\("([^"]+)"\)/g)) {
    const isThere = html.includes(`id="${id}"`) || new RegExp(`id: "${id}"`).test(made);
    assert.ok(isThere, id);
  }
});
