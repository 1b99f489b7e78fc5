// Making and changing elements. Data becomes text or attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. `attributes` may have `class`, `text`, `on` (listeners), `data` (data
 * attributes), and attributes by their names: `true` for an empty one, `null` and `false` for none.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, { text, on, data, ...rest }, children) {
  for (const [name, value] of Object.entries(rest)) {
    setAttribute(element, name, value);
  }
  for (const [name, value] of Object.entries(data ?? {})) {
    element.dataset[name] = value;
  }
  for (const [name, listener] of Object.entries(on ?? {})) {
    element.addEventListener(name, listener);
  }
  if (text !== undefined && text !== null) {
    element.textContent = text;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets an attribute if it differs: `null` and `false` remove it. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) {
    element.setAttribute(name, text);
  }
}

/** Sets a text if it differs. */
export function setText(element, text) {
  const first = element.firstChild;
  if (first?.nodeType === Node.TEXT_NODE && element.childNodes.length === 1) {
    if (first.data !== text) first.data = text;
  } else if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Sets a data attribute if it differs. */
export function setData(element, name, value) {
  if (element.dataset[name] !== value) {
    element.dataset[name] = value;
  }
}

/** Shows or hides an element. */
export function show(element, isShown) {
  if (element.hidden === isShown) {
    element.hidden = !isShown;
  }
}

/** Returns the element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes the children of `parent` those of `items`, in order: kept by key, made by `make(item)`,
 * brought up to date by `update(element, item)`.
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = parent.keyedChildren ?? new Map();
  const next = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = known.get(key);
    if (!element) {
      element = make(item);
    }
    known.delete(key);
    next.set(key, element);
    update?.(element, item);
    if (element === at) {
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(element, at);
    }
  }
  for (const element of known.values()) {
    // It may have been moved to another parent meanwhile.
    if (element.parentNode === parent) element.remove();
  }
  parent.keyedChildren = next;
}

/** Makes a button. */
export function button(text, onClick, attributes = {}) {
  return el("button", { type: "button", text, on: { click: onClick }, ...attributes });
}

/** Makes tabs work by keyboard: arrows move, Home and End go to the ends. `pick(tab)` is called. */
export function tabKeys(list, pick) {
  list.addEventListener("keydown", (event) => {
    const tabs = [...list.querySelectorAll("[role=tab]:not([hidden])")];
    const at = tabs.indexOf(document.activeElement);
    const to = {
      ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: tabs.length - 1,
    }[event.key];
    if (at < 0 || to === undefined) {
      return;
    }
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.focus();
    pick(tab);
  });
}

/** Marks one of some tabs as the selected one. */
export function selectTab(tabs, selected) {
  for (const tab of tabs) {
    setAttribute(tab, "aria-selected", String(tab === selected));
    setAttribute(tab, "tabindex", tab === selected ? null : "-1");
  }
}
