// The infrastructure view: a card for each host with its labels, load, problems, and what runs on
// it. Cards out of sight cost nothing to paint (`content-visibility` in the style sheet).

import { bytes, count, latency, plural, rate, uptime } from "../model/format.js";
import { guestMemoryText, hostContext, hostProblems, hostState, isServing, phaseName, phaseText, sumLoad } from "../model/health.js";
import { byId, el, keyed, setAttribute, setData, setText, show } from "./dom.js";
import { kindIcon } from "./icons.js";
import { timeOf } from "./panel/logs.js";
import { pictureOf } from "./picture.js";

/** The most replicas that a card lists before it is opened. */
const FEW = 8;

/** Makes the view. `on.select(kind, id)` is called for what a person selects. */
export function createInfrastructure(on) {
  const place = byId("hosts");
  const cards = new Map();
  let groupBy = "none";
  let selected = null;
  let context = {};

  place.addEventListener("click", (event) => {
    const replica = event.target.closest("[data-replica]");
    const host = event.target.closest("[data-host]");
    if (event.target.closest(".more")) {
      host.dataset.open = String(host.dataset.open !== "true");
      host.update();
    } else if (replica) {
      on.select("component", replica.dataset.replica);
    } else if (host && event.target.closest(".host-title")) {
      on.select("host", host.dataset.host);
    }
  });
  place.addEventListener("keydown", (event) => moveFocus(place, event));

  function paint(state, changes) {
    const before = context;
    context = hostContext(state);
    const known = new Set([...state.hosts.keys(), ...state.silent.keys()]);
    const isChanged = changes.all || known.size !== cards.size ||
      [...changes.hosts].some((id) => cards.has(id) !== known.has(id) || groupOf(state, id) !== cards.get(id)?.group);
    if (isChanged) {
      arrange(state, known);
    }
    const isOther = before.newestFormat !== context.newestFormat || before.newestRelease !== context.newestRelease;
    const stale = changes.all || isChanged || isOther ? known : changes.hosts;
    for (const id of stale) {
      if (known.has(id)) update(state, id);
    }
  }

  function arrange(state, known) {
    const groups = new Map();
    for (const id of [...known].sort()) {
      const group = groupOf(state, id);
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(id);
    }
    const names = [...groups.keys()].sort();
    keyed(place, names, (name) => `${groupBy} ${name}`, makeSection, (section, name) => {
      const ids = groups.get(name);
      const heading = section.querySelector("h2");
      setText(heading, groupBy === "none" ? plural(ids.length, "host") : `${name} · ${plural(ids.length, "host")}`);
      keyed(section.querySelector(".cards"), ids, (id) => id, (id) => cards.get(id)?.element ?? makeCard(id));
      for (const id of ids) cards.get(id).group = name;
    });
    for (const id of cards.keys()) {
      if (!known.has(id)) cards.delete(id);
    }
    show(byId("no-hosts") ?? place.appendChild(noHosts()), known.size === 0);
  }

  function groupOf(state, id) {
    if (groupBy === "none") return "";
    const label = groupBy.slice("label:".length);
    const host = state.hosts.get(id) ?? state.silent.get(id)?.host;
    const value = host?.labels?.[label];
    return value === undefined ? `no ${label}` : `${label}=${value}`;
  }

  function makeCard(id) {
    const element = createCard(id);
    element.update = () => update(lastState, id);
    cards.set(id, { element });
    return element;
  }

  let lastState = null;
  function update(state, id) {
    lastState = state;
    const card = cards.get(id)?.element;
    if (card) updateCard(card, state, id, context);
    if (card) setAttribute(card, "data-selected", id === selected);
  }

  return {
    paint(state, changes) {
      lastState = state;
      paint(state, changes);
    },
    groupBy(by) {
      groupBy = by;
      if (lastState) paint(lastState, { all: true, hosts: new Set() });
    },
    select(kind, id, { isShown, isFocused }) {
      selected = kind === "host" ? id : null;
      for (const [host, { element }] of cards) {
        setAttribute(element, "data-selected", host === selected);
        if (host !== selected) continue;
        if (isShown) element.scrollIntoView({ block: "nearest" });
        if (isFocused) element.querySelector(".host-title").focus({ preventScroll: true });
      }
    },
    hasPicture: () => cards.size > 0,
    /** Returns a picture of all hosts. */
    picture(title) {
      const names = [...cards.values()].map(({ element }) => element.getAttribute("aria-label"));
      return pictureOf(place, { title, description: names.join("; ") });
    },
    focus: () => place.querySelector("[data-selected] .host-title, .host-title")?.focus(),
  };
}

function makeSection() {
  return el("section", { class: "host-group" }, el("h2"), el("div", { class: "cards" }));
}

function noHosts() {
  return el("p", { id: "no-hosts", text: "No host is known yet. Start one with `lattice up`." });
}

function createCard(id) {
  return el(
    "div",
    { class: "host", role: "group", data: { host: id, open: "false" } },
    el("div", { class: "host-head" }, kindIcon("host"), el("button", { type: "button", class: "host-title", text: id })),
    el("ul", { class: "badges", "aria-label": "Problems" }),
    el("p", { class: "labels" }),
    el("dl", { class: "figures" }),
    el("ul", { class: "replicas", "aria-label": `What runs on ${id}` }),
    el("button", { type: "button", class: "more quiet", hidden: true }),
  );
}

function updateCard(card, state, id, context) {
  const silent = state.silent.get(id);
  const host = state.hosts.get(id) ?? silent?.host;
  const problems = silent
    ? [{ id: "silent", text: `silent: last heard at ${timeOf(silent.last_heard_ms).slice(0, 8)}`, severe: true }]
    : hostProblems(host, context);
  setData(card, "state", silent ? "silent" : hostState(host));
  setData(card, "problems", problems.map((problem) => problem.id).join(" "));
  const said = problems.length > 0 ? problems.map((problem) => problem.text).join("; ") : "live";
  setAttribute(card, "aria-label", `host ${id}, ${said}`);
  keyed(card.querySelector(".badges"), problems, (problem) => problem.id + problem.text, badge);
  const labels = Object.entries(host.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  keyed(card.querySelector(".labels"), labels, (text) => text, (text) => el("span", { class: "label", text }));
  keyed(card.querySelector(".figures"), figures(state, host), ([name]) => name, figure, (element, [, value]) =>
    setText(element.lastElementChild, value));
  updateReplicas(card, state, id);
}

function badge({ text, severe }) {
  return el(
    "li",
    { class: "badge", data: { severe: String(severe) } },
    el("span", { "aria-hidden": "true", text: severe ? "▲ " : "◔ " }),
    text,
  );
}

function figures(state, host) {
  if (host.uptime_s === undefined || host.uptime_s === null) {
    return [];
  }
  return [
    ["Up for", uptime(host.uptime_s)],
    ["Calls", rate(sumLoad(state.replicasOn.get(host.id)?.values() ?? []).rate) || "none"],
    ["In flight", count(host.in_flight)],
    ["Memory", bytes(host.memory) || "unknown"],
    ["Components use", guestMemoryText(host)],
    ["Release", host.release ?? "unknown"],
  ].filter(([, text]) => text !== "");
}

function figure([name]) {
  return el("div", {}, el("dt", { text: name }), el("dd"));
}

function updateReplicas(card, state, id) {
  const all = [...(state.replicasOn.get(id)?.values() ?? [])];
  all.sort((a, b) => Number(isServing(a)) - Number(isServing(b)) || (a.component < b.component ? -1 : 1));
  const isOpen = card.dataset.open === "true";
  const shown = isOpen ? all : all.slice(0, FEW);
  keyed(card.querySelector(".replicas"), shown, (it) => it.component, createReplica, updateReplica);
  const more = card.querySelector(".more");
  show(more, all.length > FEW);
  setText(more, isOpen ? "Show fewer" : `${all.length - FEW} more`);
  setAttribute(more, "aria-expanded", String(isOpen));
}

function createReplica(replica) {
  return el(
    "li",
    { data: { replica: replica.component, on: replica.host } },
    el("button", { type: "button", class: "replica" },
      el("span", { class: "phase-mark", "aria-hidden": "true" }),
      el("span", { class: "replica-name", text: replica.component }),
      el("span", { class: "replica-phase" }),
      el("span", { class: "replica-load" })),
  );
}

const MARKS = { serving: "✓", updating: "↻", "handing-over": "⇄", starting: "◔", "waiting-for-lease": "◔", draining: "↓" };

function updateReplica(element, replica) {
  const phase = phaseName(replica.phase);
  setData(element, "phase", phase);
  setText(element.querySelector(".phase-mark"), MARKS[phase] ?? "▲");
  setText(element.querySelector(".replica-phase"), phase === "serving" ? "" : phaseText(replica.phase));
  const load = replica.calls_per_second ? `${rate(replica.calls_per_second)} · ${latency(replica.p99_us)}` : "";
  setText(element.querySelector(".replica-load"), load);
  setAttribute(element.firstElementChild, "title", replica.reason);
  const why = replica.reason ? `: ${replica.reason}` : "";
  setAttribute(element.firstElementChild, "aria-label", `${replica.component}, ${phaseText(replica.phase)}${why}${load ? `, ${load}` : ""}`);
}

/** Arrow keys move between hosts, in rows of as many as there are beside each other. */
function moveFocus(place, event) {
  const title = event.target.closest(".host-title");
  if (!title || !event.key.startsWith("Arrow")) {
    return;
  }
  const titles = [...place.querySelectorAll(".host-title")];
  const here = title.getBoundingClientRect();
  const inRow = titles.filter((other) => Math.abs(other.getBoundingClientRect().top - here.top) < 4).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -inRow, ArrowDown: inRow }[event.key];
  event.preventDefault();
  titles[titles.indexOf(title) + step]?.focus();
}
