// The search: matches as one types, arrows move, Enter takes.

import { search } from "../model/search.js";
import { byId, el, keyed, setAttribute, show } from "./dom.js";
import { kindIcon } from "./icons.js";

/** Makes the search of the header work. Returns `{ focus }`. */
export function createSearch(app) {
  const input = byId("search");
  const list = byId("matches");
  let matches = [];
  let at = 0;

  input.addEventListener("input", update);
  input.addEventListener("focus", update);
  input.addEventListener("blur", () => show(list, false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && matches.length > 0) {
      event.preventDefault();
      take(matches[at]);
    } else if (event.key === "Escape") {
      input.value = "";
      update();
      input.blur();
    }
  });
  // Before the input loses the focus.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) take({ kind: option.dataset.kind, id: option.dataset.id });
  });

  function update() {
    const query = input.value.trim();
    matches = search(app.state, query);
    at = 0;
    if (matches.length === 0) {
      list.replaceChildren(el("li", { class: "hint", text: `Nothing is called “${query}”` }));
      list.keyedChildren = undefined;
    } else {
      if (!list.keyedChildren) list.replaceChildren();
      keyed(list, matches, (match) => `${match.kind} ${match.id}`, option);
    }
    show(list, query !== "");
    mark();
  }

  function option(match) {
    const made = el(
      "li",
      { role: "option", id: `match-${(option.made += 1)}`, data: { kind: match.kind, id: match.id } },
      kindIcon(match.kind === "component" ? app.state.components.get(match.id)?.kind : match.kind),
      el("span", { class: "match-name", text: match.text }),
      el("span", { class: "match-hint", text: match.hint }),
    );
    return made;
  }
  option.made = 0;

  function move(step) {
    if (matches.length > 0) at = (at + step + matches.length) % matches.length;
    mark();
  }

  function mark() {
    const options = [...list.querySelectorAll("[role=option]")];
    options.forEach((it, index) => setAttribute(it, "aria-selected", String(index === at)));
    setAttribute(input, "aria-activedescendant", options[at]?.id ?? null);
    options[at]?.scrollIntoView({ block: "nearest" });
  }

  function take({ kind, id }) {
    input.value = "";
    update();
    input.blur();
    app.select(kind, id, { isShown: true, isFocused: true });
  }

  return {
    focus() {
      input.focus();
      input.select();
    },
  };
}
