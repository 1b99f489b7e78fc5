// A field for a value of a WIT type: elements to fill in, and a function that reads the value.

import { editorOf, hasItems, initial, parseJson, parseScalar, typeText } from "../../model/forms.js";
import { button, el, setAttribute } from "../dom.js";

/**
 * Makes the field of a type. `path` is its name, such as `person.age`. Returns `{ element, read }`;
 * `read()` returns the value in JSON, or fails with a [FieldError] and gives the field the focus.
 */
export function valueField(type, path, label) {
  const make = { check, choice, number: text, text, fields, flags, option, cases, items, json }[editorOf(type)];
  return hasItems(type) ? list(type, path, label) : make(type, path, label);
}

let made = 0;

function labelled(label, type, control, read) {
  made += 1;
  const id = `value-${made}`;
  control.id = id;
  const element = el("div", { class: "field" },
    el("label", { for: id }, label, el("span", { class: "type", text: ` ${typeText(type)}` })), control);
  return { element, read: () => checked(control, read) };
}

function checked(control, read) {
  setAttribute(control, "aria-invalid", null);
  try {
    return read();
  } catch (error) {
    setAttribute(control, "aria-invalid", "true");
    control.focus();
    throw error;
  }
}

function check(type, path, label) {
  const control = el("input", { type: "checkbox", name: path });
  return labelled(label, type, control, () => control.checked);
}

function choice(type, path, label) {
  const control = el("select", { name: path }, type.names.map((name) => el("option", { value: name, text: name })));
  return labelled(label, type, control, () => control.value);
}

function text(type, path, label) {
  const isLong = type.kind === "string";
  const control = isLong
    ? el("textarea", { name: path, rows: 1, spellcheck: "false" })
    : el("input", { name: path, value: String(initial(type)), inputmode: "text", autocomplete: "off" });
  return labelled(label, type, control, () => parseScalar(type, control.value, path));
}

function json(type, path, label) {
  const control = el("textarea", {
    name: path, rows: 3, spellcheck: "false", text: JSON.stringify(initial(type), null, 2),
  });
  return labelled(label, type, control, () => parseJson(control.value, path));
}

function group(label, children) {
  return el("fieldset", { class: "value" }, el("legend", { text: label }), children);
}

function fields(type, path, label) {
  const inner = type.fields.map((it) => [it.name, valueField(it.type, `${path}.${it.name}`, it.name)]);
  return {
    element: group(label, inner.map(([, field]) => field.element)),
    read: () => Object.fromEntries(inner.map(([name, field]) => [name, field.read()])),
  };
}

function items(type, path, label) {
  const inner = type.items.map((item, at) => valueField(item, `${path}.${at}`, String(at)));
  return { element: group(label, inner.map((field) => field.element)), read: () => inner.map((field) => field.read()) };
}

function flags(type, path, label) {
  const controls = type.names.map((name) => el("input", { type: "checkbox", name: `${path}.${name}`, value: name }));
  return {
    element: group(label, controls.map((control) => el("label", { class: "check" }, control, control.value))),
    read: () => controls.filter((control) => control.checked).map((control) => control.value),
  };
}

/** A field that is there or not. An option of an option says which of the two is missing. */
function option(type, path, label) {
  const control = el("input", { type: "checkbox", name: `${path}?` });
  const inner = valueField(type.some, path, label);
  inner.element.hidden = true;
  control.addEventListener("change", () => (inner.element.hidden = !control.checked));
  const isNested = type.some.kind === "option";
  return {
    element: el("div", { class: "optional" }, el("label", { class: "check" }, control, `give ${label}`), inner.element),
    read: () => {
      if (!control.checked) return null;
      return isNested ? { some: inner.read() } : inner.read();
    },
  };
}

function cases(type, path, label) {
  const select = el("select", { name: `${path}.case`, "aria-label": `case of ${label}` },
    type.cases.map(({ name }) => el("option", { value: name, text: name })));
  const place = el("div");
  let inner = null;
  const change = () => {
    const chosen = type.cases.find(({ name }) => name === select.value);
    inner = chosen.type ? valueField(chosen.type, `${path}.${chosen.name}`, chosen.name) : null;
    place.replaceChildren(...(inner ? [inner.element] : []));
  };
  select.addEventListener("change", change);
  change();
  return {
    element: group(label, [select, place]),
    read: () => (inner ? { [select.value]: inner.read() } : select.value),
  };
}

function list(type, path, label) {
  const rows = [];
  const place = el("ol", { class: "items" });
  const add = () => {
    const row = valueField(type.item, `${path}.${rows.length}`, `${label} ${rows.length + 1}`);
    const element = el("li", {}, row.element);
    if (!type.length) {
      element.append(button("Remove", () => {
        rows.splice(rows.indexOf(row), 1);
        element.remove();
      }, { class: "quiet" }));
    }
    rows.push(row);
    place.append(element);
  };
  for (let at = 0; at < (type.length ?? 0); at += 1) add();
  const more = type.length ? null : button("Add", add, { class: "quiet", "aria-label": `Add to ${label}` });
  return { element: group(`${label} ${typeText(type)}`, [place, more].filter(Boolean)), read: () => rows.map((row) => row.read()) };
}
