// The panel for what is selected: a heading, tabs, and the tab that is open. Tabs are made when
// they are opened, and closed tabs cost nothing.

import { button, byId, el, selectTab, setText, show, tabKeys } from "../dom.js";
import { kindIcon } from "../icons.js";
import { kindName } from "../nodes.js";
import { callTab } from "./call.js";
import { failedTab } from "./failed.js";
import { interfacesTab } from "./interfaces.js";
import { logsTab } from "./logs.js";
import { manifestTab } from "./manifest.js";
import { overviewTab } from "./overview.js";

const TABS = [
  { id: "overview", text: "Overview", for: ["component", "link", "wormhole", "app", "host"], make: overviewTab },
  { id: "interfaces", text: "Interfaces", for: ["component"], make: interfacesTab },
  { id: "logs", text: "Logs", for: ["component", "host"], make: logsTab },
  { id: "failed", text: "Failed calls", for: ["component"], make: failedTab },
  { id: "call", text: "Call", for: ["component"], make: callTab },
  { id: "manifest", text: "Manifest", for: ["component", "link", "wormhole", "app"], make: manifestTab },
];

/** Makes the panel. Returns what shows a selection, and what brings it up to date. */
export function createPanel(app) {
  const panel = byId("panel");
  let open = null;

  /** Shows `{ kind, id }`, with the tab of this name if it has it. `null` closes the panel. */
  function select(selection, wantedTab = null) {
    close();
    show(panel, selection !== null);
    if (selection === null) {
      return;
    }
    panel.dataset.kind = selection.kind;
    panel.dataset.id = selection.id;
    const tabs = TABS.filter((tab) => tab.for.includes(selection.kind));
    const list = el("div", { class: "tabs", role: "tablist", "aria-label": "About" }, tabs.map((tab) =>
      el("button", {
        type: "button",
        role: "tab",
        id: `panel-tab-${tab.id}`,
        "aria-controls": `panel-${tab.id}`,
        text: tab.text,
        on: { click: () => openTab(tab) },
      })));
    const status = el("p", { class: "panel-state" });
    const body = el("div", { class: "panel-body", role: "tabpanel", tabindex: "0" });
    panel.replaceChildren(heading(app, selection), status, list, body);
    tabKeys(list, (tab) => tab.click());
    open = { selection, body, list, status, tab: null, part: null };
    openTab(tabs.find((tab) => tab.id === wantedTab) ?? tabs[0]);
  }

  function heading(app, { kind, id }) {
    const shown = kind === "component" ? app.state.components.get(id)?.kind ?? "missing" : kind;
    const text = kind === "link" ? linkTitle(app, id) : id;
    return el(
      "div",
      { class: "panel-head" },
      kindIcon(shown),
      el("div", {}, el("span", { class: "panel-kind", text: kindName(shown) }), el("h2", { text, title: text })),
      button("×", () => app.select(null), { class: "quiet close", "aria-label": "Close panel" }),
    );
  }

  function openTab(tab) {
    open.part?.close?.();
    open.tab = tab;
    selectTab(open.list.children, byId(`panel-tab-${tab.id}`));
    open.body.id = `panel-${tab.id}`;
    open.body.setAttribute("aria-labelledby", `panel-tab-${tab.id}`);
    open.body.replaceChildren();
    open.part = tab.make(app, open.selection, open.body);
    paint({ all: true });
  }

  function close() {
    open?.part?.close?.();
    open = null;
    panel.replaceChildren();
  }

  /** Brings the panel up to date with changes, if they touch what is selected. */
  function paint(changes) {
    if (!open || !(changes.all || touches(changes, open.selection, app.state))) {
      return;
    }
    setText(open.status, statusOf(app, open.selection));
    open.part?.paint?.(changes);
  }

  return { select, paint, openTab: (id) => open && openTab(TABS.find((tab) => tab.id === id)) };
}

function linkTitle(app, id) {
  const link = app.state.links.get(id);
  return link ? `${link.source} → ${link.target}` : id.split(" ").slice(0, 1).join(" ");
}

function touches(changes, { kind, id }, state) {
  switch (kind) {
    case "component":
      return changes.components.has(id);
    case "link":
      return changes.links.has(id) || changes.components.has(state.links.get(id)?.target);
    case "wormhole":
      return changes.wormholes.has(id);
    case "app":
      return changes.apps.has(id) || changes.components.size > 0 || changes.links.size > 0;
    default:
      return changes.hosts.has(id);
  }
}

function statusOf(app, { kind, id }) {
  const items = { component: "components", link: "links", wormhole: "wormholes", app: "apps", host: "hosts" };
  const exists = app.state[items[kind]].has(id);
  if (exists || (kind === "component" && app.state.linksOf.has(id))) {
    return "";
  }
  return kind === "host" && app.state.silent.has(id)
    ? "This host is silent: no heartbeat comes from it. What you see is its last state."
    : `This ${kind} is gone.`;
}
