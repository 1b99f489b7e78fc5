// The overview of what is selected: the explanation, facts, and what is connected to it.

import { bytes, count, rate, uptime } from "../../model/format.js";
import { componentHealth, guestMemoryText, isServing, linkLoadText, loadText, phaseText, wantedReplicas } from "../../model/health.js";
import { post } from "../../http.js";
import { openExport } from "../apply-dialog.js";
import { confirmThat } from "../dialog.js";
import { button, el, keyed, setText } from "../dom.js";
import { openEditLink } from "../link-dialog.js";
import { failed } from "../notices.js";
import { changeWormhole, copyAddress, openNewWormhole, openRename } from "../wormhole-dialog.js";
import { addressList } from "./addresses.js";
import { explainPart } from "./explain.js";

/** Makes the tab. */
export function overviewTab(app, selection, body) {
  const explain = explainPart(app, selection);
  const buttons = el("div", { class: "panel-buttons" });
  const facts = el("dl", { class: "facts" });
  const lists = el("div", { class: "lists" });
  const addresses = selection.kind === "wormhole" ? addressList(app, selection.id) : null;
  body.append(...[explain.element, addresses?.element, buttons, facts, lists].filter(Boolean));
  const show = { component, link, wormhole, app: appOverview, host }[selection.kind];
  return {
    paint() {
      const { rows, links, actions } = show(app, selection.id);
      keyed(facts, rows, ([name]) => name, factRow, (row, [, value]) => setText(row.lastElementChild, value));
      keyed(lists, links.filter((list) => list.items.length > 0), (list) => list.title, makeList, updateList);
      keyed(buttons, app.isReadOnly ? actions.filter((it) => it.isRead) : actions, (it) => it.key + it.text, makeAction);
      explain.paint();
      addresses?.paint();
    },
    close: explain.close,
  };
}

function factRow([name]) {
  return el("div", {}, el("dt", { text: name }), el("dd"));
}

function makeAction({ key, text, run, isDanger }) {
  return button(text, run, { class: isDanger ? "danger-quiet" : "", data: { do: key } });
}

function makeList(list) {
  return el("section", { class: "list" }, el("h3", { text: list.title }), el("ul"));
}

function updateList(section, list) {
  keyed(section.querySelector("ul"), list.items, (item) => item.key, (item) =>
    el("li", {}, button("", item.run, { class: "row-button" }), el("p", { class: "row-note" })),
  (row, item) => {
    row.dataset.state = item.state ?? "";
    setText(row.firstElementChild, item.text);
    setText(row.lastElementChild, item.note ?? "");
  });
}

function component(app, id) {
  const { state } = app;
  const it = state.components.get(id);
  const health = componentHealth(state, id);
  const rows = [["State", health.text]];
  if (health.reason) rows.push(["Last error", health.reason]);
  if (it?.image) rows.push(["Image", it.image]);
  if (it?.app) rows.push(["App", it.app]);
  if (it?.placement) rows.push(["Replicas", replicasText(it)], ...placementRows(it.placement));
  const links = [...(state.linksOf.get(id)?.values() ?? [])];
  return {
    rows,
    links: [
      { title: "Runs on", items: [...(state.replicasOf.get(id)?.values() ?? [])].map((replica) => replicaItem(app, replica, "host")) },
      { title: "Calls", items: links.filter((link) => link.source === id).map((link) => linkItem(app, link, link.target)) },
      { title: "Called by", items: links.filter((link) => link.target === id).map((link) => linkItem(app, link, link.source)) },
      { title: "Wormholes", items: [...(state.wormholesOf.get(id)?.values() ?? [])].map((it) => wormholeItem(app, it)) },
    ],
    actions: it ? [{ key: "new-wormhole", text: "New wormhole to it", run: () => openNewWormhole(app, id) }] : [],
  };
}

function replicasText(it) {
  if (it.run === "once") return "once in the lattice";
  const wanted = wantedReplicas(it);
  return wanted === null ? "one on each host that the rules allow" : String(wanted);
}

function placementRows({ require = {}, exclude = {}, spread = [] }) {
  const texts = (labels) => Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(" ");
  return [
    ["Requires", texts(require)],
    ["Excludes", texts(exclude)],
    ["Spread over", spread.map((rule) => rule.label).join(", ")],
  ].filter(([, text]) => text !== "");
}

function replicaItem(app, replica, other) {
  const load = loadText({
    rate: replica.calls_per_second, errors: replica.errors_per_second, p99: replica.p99_us,
  }, rate);
  const of = replica.process;
  const process = of && [
    `process: ${bytes(of.memory)}`, of.restarts ? `started again ${of.restarts} times` : "", of.last_exit ?? "",
  ].filter(Boolean).join(", ");
  const target = other === "host" ? replica.host : replica.component;
  return {
    key: target,
    text: `${target} · ${phaseText(replica.phase)}`,
    note: [load, replica.reason, process].filter(Boolean).join(" · "),
    state: isServing(replica) ? "serving" : "failed",
    run: () => app.select(other, target, { isShown: true }),
  };
}

function linkItem(app, link, other) {
  const named = link.name === "default" ? "" : ` (${link.name})`;
  return {
    key: `${link.source} ${link.interface} ${link.name}`,
    text: `${other} · ${link.version}${named}`,
    note: [link.state === "rejected" ? "refused" : link.state, link.reason].filter(Boolean).join(": "),
    state: { active: "serving", pending: "waiting", rejected: "failed" }[link.state],
    run: () => app.select("link", `${link.source} ${link.interface} ${link.name}`),
  };
}

function wormholeItem(app, it) {
  return {
    key: it.id,
    text: `${it.id} · ${it.state}`,
    note: `${it.host ?? "*"}${it.path}`,
    state: it.state === "open" ? "serving" : "idle",
    run: () => app.select("wormhole", it.id, { isShown: true }),
  };
}

function link(app, id) {
  const it = app.state.links.get(id);
  if (!it) return { rows: [], links: [], actions: [] };
  const current = () => app.state.links.get(id) ?? it;
  return {
    rows: [
      ["State", it.state === "rejected" ? "refused" : it.state],
      ...(it.reason ? [["Reason", it.reason]] : []),
      ["Interface", it.version],
      ["Name", it.name],
      ["Locality", it.locality],
      ...(it.app ? [["App", it.app]] : []),
      ["Load", linkLoadText(it) || "no calls"],
    ],
    links: [{ title: "Ends", items: [it.source, it.target].map((end, at) => ({
      key: `${at} ${end}`,
      text: `${at === 0 ? "from" : "to"} ${end}`,
      note: componentHealth(app.state, end).text,
      run: () => app.select("component", end, { isShown: true }),
    })) }],
    actions: [
      { key: "edit", text: "Edit link", run: () => openEditLink(app, current()) },
      { key: "delete", text: "Delete link", isDanger: true, run: () => confirmThat({
        title: "Delete the link",
        text: `${it.source} may then no longer call ${it.target} through ${it.version}.` +
          (it.app ? ` App ${it.app} owns it: applying the app again puts it back.` : ""),
        verb: "Delete",
        run: async () => {
          const { source, interface: contract, name, revision, app: owner } = current();
          const body = { source, interface: contract, name, revision, force: owner !== null };
          app.changed((await post("/api/links/delete", body)).undo, "The link was deleted");
        },
      }) },
    ],
  };
}

function wormhole(app, id) {
  const it = app.state.wormholes.get(id);
  if (!it) return { rows: [], links: [], actions: [] };
  const names = [it.host, ...(it.domains ?? [])].filter(Boolean);
  const verb = it.state === "open" ? "close" : "open";
  const change = (what) => changeWormhole(app, id, what);
  return {
    rows: [
      ["State", it.state === "open" ? "open to the public" : "closed: it looks as if it didn't exist"],
      ["Addresses", (names.length > 0 ? names : ["*"]).map((name) => name + it.path).join(", ")],
      ["Lets through", it.auth ? `requests with valid credentials (${it.auth})` : "every request"],
      ...(it.verifier ? [["Verifier", it.verifier]] : []),
      ...(it.app ? [["App", it.app]] : []),
    ],
    links: [{ title: "Leads to", items: [{
      key: it.actor,
      text: it.actor,
      note: componentHealth(app.state, it.actor).text,
      run: () => app.select("component", it.actor, { isShown: true }),
    }] }],
    actions: [
      { key: verb, text: verb === "open" ? "Open" : "Close", run: () => change(verb).catch(failed) },
      { key: "rename", text: "Rename", run: () => openRename(app, app.state.wormholes.get(id) ?? it) },
      { key: "copy", text: "Copy address", isRead: true, run: () => copyAddress(id) },
      { key: "delete", text: "Delete", isDanger: true, run: () => confirmThat({
        title: "Delete the wormhole",
        text: `Its address ${names[0] ?? it.path} then stops working.`,
        verb: "Delete",
        run: () => change("delete"),
      }) },
    ],
  };
}

function appOverview(app, name) {
  const it = app.state.apps.get(name);
  const members = [...app.state.components.values()].filter((component) => component.app === name);
  return {
    rows: [
      ...(it?.version ? [["Version", it.version]] : []),
      ["Components", String(members.length)],
      ["Links", String([...app.state.links.values()].filter((link) => link.app === name).length)],
    ],
    links: [{ title: "Components", items: members.map((member) => {
      const health = componentHealth(app.state, member.id);
      return {
        key: member.id, text: member.id, note: health.text, state: health.state,
        run: () => app.select("component", member.id, { isShown: true }),
      };
    }) }],
    actions: [
      { key: "export", text: "Export", isRead: true, run: () => openExport(app, name) },
      { key: "delete", text: "Delete app", isDanger: true, run: () => confirmThat({
        title: `Delete app ${name}`,
        text: "All that it declares is deleted: its components stop, its links and wormholes are gone.",
        verb: "Delete",
        run: async () => app.changed((await post("/api/apps/delete", { app: name })).undo, `App ${name} was deleted`),
      }) },
    ],
  };
}

function host(app, id) {
  const it = app.state.hosts.get(id) ?? app.state.silent.get(id)?.host;
  if (!it) return { rows: [], links: [], actions: [] };
  const labels = Object.entries(it.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const known = it.uptime_s !== undefined && it.uptime_s !== null;
  return {
    rows: [
      ["Up for", known ? uptime(it.uptime_s) : "not reported yet"],
      ...(known ? [["Calls in flight", count(it.in_flight)], ["Memory", bytes(it.memory) || "unknown"]] : []),
      ...(it.guest_memory ? [["Components use", guestMemoryText(it)]] : []),
      ...(known ? [["Release", it.release ?? "unknown"]] : []),
      ["Labels", labels.join(" ") || "none"],
      ["Frames", `version ${it.versions?.[0]} to ${it.versions?.[1]}`],
      ["Boot", String(it.epoch)],
      ...(known ? [["Store", it.follows_store ? `follows it, at revision ${it.revision}` : "out of reach"]] : []),
      ["Drain", it.is_leaving ? "leaving: others take over what it runs" : "stop its process, and others take over what it runs"],
    ],
    links: [{ title: "What runs there", items: [...(app.state.replicasOn.get(id)?.values() ?? [])].map((replica) => replicaItem(app, replica, "component")) }],
    actions: app.state.silent.has(id)
      ? [{ key: "forget", text: "Forget this host", isRead: true, run: () => app.forget(id) }]
      : [],
  };
}

