// An element without a browser.

/** As much of an element as the tests need. */
export class FakeElement {
  constructor() {
    Object.assign(this, { dataset: {}, children: [], listeners: {}, parent: null, text: "" });
  }
  setAttribute() {}
  getAttribute() { return null; }
  hasAttribute() { return false; }
  addEventListener(kind, run) { (this.listeners[kind] ??= []).push(run); }
  fire(kind) { for (const run of this.listeners[kind] ?? []) run(); }
  append(...children) {
    for (const child of children) {
      if (typeof child === "object") child.parent = this;
      this.children.push(child);
    }
  }
  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((it) => it !== this);
    this.parent = null;
  }
  set textContent(text) { this.text = text; }
  get textContent() { return this.text + this.children.map((it) => it.textContent ?? it).join(""); }
}
