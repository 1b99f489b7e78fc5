// Forms from types: a value of every WIT type of `api/call/form`, from what a person has typed.
// Fields are described by plain objects and read by plain texts, so that all of this is pure.

/** Thrown for a text that is no value of its type. `path` names the field. */
export class FieldError extends Error {
  constructor(path, message) {
    super(message);
    this.path = path;
  }
}

/** Kinds that one field of text or one choice can hold. */
const SCALARS = new Set(["bool", "char", "string", "f32", "f64", "enum"]);
const INTEGER = /^[us](8|16|32|64)$/;

/** The most fields or values that a form makes of the lists of fixed length in a type. */
const MOST_FIXED = 64;

/** Returns how many values are in a value of a type, at least. */
function sizeOf(type) {
  const sum = (types) => types.reduce((size, it) => size + sizeOf(it), 0);
  switch (type?.kind) {
    case "list":
      return 1 + (type.length ?? 0) * sizeOf(type.item);
    case "record":
      return sum(type.fields.map((field) => field.type));
    case "tuple":
      return sum(type.items);
    default:
      return 1;
  }
}

/**
 * Returns whether a type is a list whose items have a field each. One of a fixed length that has too
 * many of them, which a component may publish as it likes, is edited as JSON.
 */
export function hasItems(type) {
  return type.kind === "list" && editorOf(type.item) !== "json" && sizeOf(type) <= MOST_FIXED;
}

/** Returns how a type is edited: `text`, `number`, `check`, `choice`, or `json` for the rest. */
export function editorOf(type) {
  if (type.kind === "bool") return "check";
  if (type.kind === "enum") return "choice";
  if (INTEGER.test(type.kind) || type.kind === "f32" || type.kind === "f64") return "number";
  if (SCALARS.has(type.kind)) return "text";
  return { record: "fields", flags: "flags", option: "option", variant: "cases", tuple: "items" }[
    type.kind
  ] ?? "json";
}

/** Returns the value that a field of a type starts with, in JSON. */
export function initial(type) {
  if (INTEGER.test(type.kind)) return 0;
  switch (type.kind) {
    case "bool":
      return false;
    case "f32":
    case "f64":
      return 0;
    case "char":
    case "string":
      return "";
    case "enum":
      return type.names[0];
    case "flags":
    case "map":
      return [];
    case "record":
      return Object.fromEntries(type.fields.map((field) => [field.name, initial(field.type)]));
    case "tuple":
      return type.items.map(initial);
    case "list":
      return sizeOf(type) > MOST_FIXED ? [] : Array.from({ length: type.length ?? 0 }, () => initial(type.item));
    case "option":
      return null;
    case "result":
      return { ok: type.ok ? initial(type.ok) : null };
    case "variant":
      return initialCase(type.cases[0]);
    default:
      return null;
  }
}

function initialCase({ name, type }) {
  return type ? { [name]: initial(type) } : name;
}

/** Returns the value of a scalar type from a text, or fails with a [FieldError]. */
export function parseScalar(type, text, path) {
  if (INTEGER.test(type.kind)) {
    return parseInteger(type, text.trim(), path);
  }
  switch (type.kind) {
    case "f32":
    case "f64":
      return parseFloatText(text.trim(), path);
    case "char":
      if ([...text].length !== 1) throw new FieldError(path, "write exactly one character");
      return text;
    case "enum":
      if (!type.names.includes(text)) {
        throw new FieldError(path, `choose one of ${type.names.join(", ")}`);
      }
      return text;
    default:
      return text;
  }
}

/** Integers of 64 bits are sent as texts where a number of JavaScript would lose digits. */
function parseInteger(type, text, path) {
  if (!/^[+-]?\d+$/.test(text)) {
    throw new FieldError(path, "write a whole number");
  }
  const value = BigInt(text.replace(/^\+/, ""));
  const [min, max] = [BigInt(type.min ?? limits(type.kind)[0]), BigInt(type.max ?? limits(type.kind)[1])];
  if (value < min || value > max) {
    throw new FieldError(path, `write a number from ${min} to ${max}`);
  }
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

function limits(kind) {
  const bits = BigInt(kind.slice(1));
  return kind.startsWith("u")
    ? [0n, 2n ** bits - 1n]
    : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
}

function parseFloatText(text, path) {
  if (["nan", "inf", "-inf"].includes(text)) return text;
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) {
    throw new FieldError(path, "write a number, `nan`, `inf` or `-inf`");
  }
  return value;
}

/** Returns the value of a field that is edited as JSON, or fails with a [FieldError]. */
export function parseJson(text, path) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FieldError(path, `this isn't JSON: ${error.message}`);
  }
}

/** Returns a type as WIT has it: `list<tuple<string, u32>>`. */
export function typeText(type) {
  if (!type) return "_";
  const inner = (types) => types.map(typeText).join(", ");
  switch (type.kind) {
    case "record":
      return `record { ${type.fields.map((it) => `${it.name}: ${typeText(it.type)}`).join(", ")} }`;
    case "variant":
      return `variant { ${type.cases.map(caseText).join(", ")} }`;
    case "enum":
    case "flags":
      return `${type.kind} { ${type.names.join(", ")} }`;
    case "tuple":
      return `tuple<${inner(type.items)}>`;
    case "list":
      return `list<${typeText(type.item)}${type.length ? `, ${type.length}` : ""}>`;
    case "option":
      return `option<${typeText(type.some)}>`;
    case "map":
      return `map<${inner([type.key, type.value])}>`;
    case "result":
      return type.err ? `result<${inner([type.ok, type.err])}>`
        : type.ok ? `result<${typeText(type.ok)}>` : "result";
    default:
      return type.kind;
  }
}

function caseText({ name, type }) {
  return type ? `${name}(${typeText(type)})` : name;
}
