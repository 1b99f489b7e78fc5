// The two views behind their tabs, and by what each is grouped. Only the one in sight is painted.

import { byId, el, keyed, selectTab, setData, show, tabKeys } from "./dom.js";

const LOGICAL = [["app", "App"], ["kind", "Kind"], ["none", "Nothing"]];

/** `views` is `{ logical, infrastructure }`; `repaint()` is called when another one is shown. */
export function createViews(views, repaint) {
  const select = byId("group-by");
  const groupings = { logical: "app", infrastructure: "none" };
  let current = "logical";
  let labels = [];

  for (const name of Object.keys(views)) {
    byId(`tab-${name}`).addEventListener("click", () => showView(name));
  }
  tabKeys(byId("tab-logical").parentElement, (tab) => tab.click());
  select.addEventListener("change", () => {
    groupings[current] = select.value;
    views[current].groupBy(select.value);
  });
  fillGroupings();

  /** Shows a view. Returns whether another one was shown before. */
  function showView(name) {
    if (name === current) {
      return false;
    }
    current = name;
    setData(document.documentElement, "view", name);
    for (const other of Object.keys(views)) show(byId(other), other === name);
    selectTab([byId("tab-logical"), byId("tab-infrastructure")], byId(`tab-${name}`));
    fillGroupings();
    views.logical.resized();
    repaint();
    return true;
  }

  function fillGroupings() {
    const options = current === "logical"
      ? LOGICAL
      : [["none", "Nothing"], ...labels.map((label) => [`label:${label}`, `Label ${label}`])];
    keyed(select, options, ([value]) => value, ([value, text]) => el("option", { value, text }));
    select.value = groupings[current];
  }

  return {
    show: showView,
    paint: (state, changes) => views[current].paint(state, changes),
    select(kind, id, how) {
      for (const view of Object.values(views)) view.select(kind, id, how);
    },
    focus: () => views[current].focus(),
    zoomBy(key) {
      if (current === "logical") views.logical.zoomBy(key);
    },
    hasPicture: () => views[current].hasPicture(),
    /** Returns a picture of all of the view that is shown, if it has something to draw. */
    picture: (title) => views[current].picture(title),
    resized: () => views.logical.resized(),
    /** Offers the labels that hosts have. */
    updateGroupings(state) {
      if (current !== "infrastructure") return;
      const known = new Set();
      for (const host of state.hosts.values()) {
        for (const label of Object.keys(host.labels ?? {})) known.add(label);
      }
      const next = [...known].sort();
      if (next.join("\n") !== labels.join("\n")) {
        labels = next;
        fillGroupings();
      }
    },
  };
}
