// Fields of a form from the JSON schema of a link's config, and the config from the form. Schemas
// may say much more than a form can show: properties that it can't are edited as JSON.

import { FieldError, parseJson } from "./forms.js";

/**
 * Returns the fields of a schema, or `null` if it describes no object with properties: each is
 * `{ name, label, help, editor, choices, isRequired, isSecret, initial }`, where `editor` is
 * `text`, `number`, `integer`, `check`, `choice`, `lines` or `json`.
 */
export function fieldsOf(schema) {
  const root = resolve(schema, schema);
  const properties = Object.entries(root?.properties ?? {});
  if (properties.length === 0) {
    return null;
  }
  const required = new Set(root.required ?? []);
  const fields = properties.map(([name, property]) =>
    fieldOf(name, resolve(schema, property), required.has(name)),
  );
  return fields.sort((a, b) => Number(b.isRequired) - Number(a.isRequired));
}

function fieldOf(name, property, isRequired) {
  const choices = property.enum ?? (property.const === undefined ? null : [property.const]);
  return {
    name,
    label: property.title ?? name,
    help: property.description ?? "",
    editor: editorOf(property, choices),
    choices,
    isRequired,
    isSecret: property.writeOnly === true,
    initial: property.default,
    placeholder: example(property),
  };
}

function editorOf(property, choices) {
  if (choices) return "choice";
  switch (typeOf(property)) {
    case "string":
      return "text";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "boolean":
      return "check";
    case "array":
      return typeOf(property.items ?? {}) === "string" ? "lines" : "json";
    default:
      return "json";
  }
}

/** Returns the one type of a property beside `null`, or nothing if it may have several. */
function typeOf(property) {
  const types = [property.type ?? []].flat().filter((type) => type !== "null");
  return types.length === 1 ? types[0] : undefined;
}

function example(property) {
  const [first] = property.examples ?? [];
  return first === undefined ? "" : typeof first === "string" ? first : JSON.stringify(first);
}

/** Follows references within the schema, and `anyOf` of a type and `null`. */
function resolve(schema, part, depth = 0) {
  if (!part || depth > 8) {
    return part ?? {};
  }
  if (typeof part.$ref === "string" && part.$ref.startsWith("#/")) {
    const steps = part.$ref.slice(2).split("/");
    const found = steps.reduce((at, step) => at?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], schema);
    const { $ref, ...own } = part;
    return { ...resolve(schema, found, depth + 1), ...own };
  }
  const some = part.anyOf?.filter((one) => one.type !== "null");
  if (some?.length === 1) {
    const { anyOf, ...own } = part;
    return { ...resolve(schema, some[0], depth + 1), ...own };
  }
  return part;
}

/**
 * Returns the config from the texts of a form: `values` is field name → text, or a boolean for a
 * check. Empty fields that aren't required are left out.
 */
export function configFrom(fields, values) {
  const config = {};
  for (const field of fields) {
    const value = valueFrom(field, values[field.name]);
    if (value !== undefined) {
      config[field.name] = value;
    }
  }
  return config;
}

function valueFrom(field, given) {
  if (field.editor === "check") {
    return given === true || field.isRequired || field.initial !== undefined ? given === true : undefined;
  }
  const text = given ?? "";
  if (text.trim() === "") {
    if (field.isRequired) {
      throw new FieldError(field.name, `${field.label} is required; fill it in`);
    }
    return undefined;
  }
  switch (field.editor) {
    case "number":
    case "integer":
      return numberFrom(field, text.trim());
    case "choice":
      return field.choices.find((choice) => String(choice) === text);
    case "lines":
      return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    case "json":
      return parseJson(text, field.name);
    default:
      return text;
  }
}

function numberFrom(field, text) {
  const value = Number(text);
  if (!Number.isFinite(value) || (field.editor === "integer" && !Number.isInteger(value))) {
    const kind = field.editor === "integer" ? "a whole number" : "a number";
    throw new FieldError(field.name, `${field.label} must be ${kind}`);
  }
  return value;
}
