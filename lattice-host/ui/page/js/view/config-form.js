// The fields of a link's config: one for each property of the schema that the target publishes, or
// a text of JSON where there is none.

import { FieldError, parseJson } from "../model/forms.js";
import { configFrom, fieldsOf } from "../model/schema.js";
import { el, setAttribute } from "./dom.js";
import { field } from "./dialog.js";

/**
 * Fills `place` with the fields of a schema, or of JSON if it is `null`. Returns a function that
 * reads the config: `undefined` for none. It fails with a [FieldError].
 */
export function configFields(place, schema, missing) {
  const fields = schema ? fieldsOf(schema) : null;
  if (!fields) {
    return jsonField(place, schema, missing);
  }
  const controls = fields.map((it) => [it, controlOf(it)]);
  place.replaceChildren(
    el("legend", { text: "Config" }),
    ...controls.map(([it, control]) => labelled(it, control)),
  );
  return () => {
    const values = {};
    for (const [it, control] of controls) {
      values[it.name] = it.editor === "check" ? control.checked : control.value;
      setAttribute(control, "aria-invalid", null);
    }
    try {
      const config = configFrom(fields, values);
      return Object.keys(config).length > 0 ? config : undefined;
    } catch (error) {
      const wrong = controls.find(([it]) => it.name === error.path)?.[1];
      setAttribute(wrong, "aria-invalid", "true");
      wrong?.focus();
      throw error;
    }
  };
}

function jsonField(place, schema, missing) {
  const text = el("textarea", { id: "link-config", rows: 5, spellcheck: "false", placeholder: '{ "key": "value" }' });
  const help = schema?.description ?? missing ?? "Leave it empty for none.";
  place.replaceChildren(el("legend", { text: "Config" }), field("Config (JSON)", text, help));
  return () => {
    setAttribute(text, "aria-invalid", null);
    if (text.value.trim() === "") {
      return undefined;
    }
    try {
      return parseJson(text.value, "config");
    } catch (error) {
      setAttribute(text, "aria-invalid", "true");
      text.focus();
      throw error instanceof FieldError ? error : new FieldError("config", error.message);
    }
  };
}

function controlOf(it) {
  const name = `config.${it.name}`;
  switch (it.editor) {
    case "check":
      return el("input", { type: "checkbox", name, checked: it.initial === true });
    case "choice":
      return el(
        "select",
        { name },
        it.isRequired ? null : el("option", { value: "", text: "not set" }),
        it.choices.map((choice) =>
          el("option", { value: String(choice), text: String(choice), selected: choice === it.initial })),
      );
    case "lines":
      return el("textarea", { name, rows: 3, text: (it.initial ?? []).join?.("\n") ?? "" });
    case "json":
      return el("textarea", { name, rows: 3, spellcheck: "false", text: it.initial === undefined ? "" : JSON.stringify(it.initial, null, 2) });
    default:
      return el("input", {
        name,
        type: it.isSecret ? "password" : "text",
        inputmode: it.editor === "text" ? null : "decimal",
        autocomplete: "off",
        placeholder: it.placeholder || null,
        value: it.initial ?? null,
        required: it.isRequired,
      });
  }
}

function labelled(it, control) {
  const label = it.isRequired ? `${it.label} (required)` : it.label;
  const help = [it.help, it.editor === "lines" ? "One a line." : "", it.editor === "json" ? "JSON." : ""];
  return field(label, control, help.filter(Boolean).join(" "));
}
