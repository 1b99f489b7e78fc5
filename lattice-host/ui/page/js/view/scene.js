// What is on the canvas: which groups are collapsed, which nodes and lines have elements, and where
// they are. A change of structure draws what is known at once and asks for a layout; a change of
// numbers or states only touches the elements that show them.

import { NO_GROUP, createGraph, rebuild, update } from "../model/graph.js";
import { GROUP_HEAD, GROUP_PAD, curve, inletPlace, middle, nodeSize, outletPlace } from "../model/geometry.js";
import { componentHealth } from "../model/health.js";
import { el, keyed, svg } from "./dom.js";
import { createLayouter, layoutInput } from "./layouter.js";
import { createLine, placeLine, updateBundle, updateLinkLine, updateWormholeLine } from "./lines.js";
import { createGroup, createNode, kindsName, updateComponentNode, updateGroup, updateWormholeNode } from "./nodes.js";

/** The most components that are shown without collapsing their groups. */
const COLLAPSE_ABOVE = 150;
/** The most nodes that have elements while they are out of sight. */
const CULL_ABOVE = 400;
const MARGIN = 320;

export class Scene {
  constructor(viewport, onLayout) {
    this.viewport = viewport;
    this.graph = createGraph();
    this.layout = { groups: {}, nodes: {} };
    this.choices = new Map();
    this.healths = new Map();
    this.tallies = new Map();
    this.nodes = new Map();
    this.lines = new Map();
    this.groups = new Map();
    this.bundles = new Map();
    this.marked = new Set();
    this.state = null;
    this.isLayoutWanted = false;
    this.linesLayer = svg("svg", { class: "lines", width: 1, height: 1, role: "group", "aria-label": "Links" });
    this.groupsLayer = el("div", { class: "groups" });
    this.nodesLayer = el("div", { class: "nodes" });
    viewport.world.append(this.groupsLayer, this.linesLayer, this.nodesLayer);
    this.layouter = createLayouter((layout) => {
      this.layout = layout;
      this.draw();
      onLayout(this.bounds());
    });
  }

  /** Paints changes of the state. Returns whether elements were made or removed. */
  paint(state, changes) {
    this.state = state;
    let structural = changes.all;
    if (changes.all) {
      rebuild(this.graph, state);
      this.countAll();
    } else {
      structural = update(this.graph, state, changes);
      for (const id of changes.components) this.count(`c:${id}`);
      for (const id of changes.wormholes) this.count(`w:${id}`);
    }
    if (structural) {
      this.dropChanged();
      this.relayout();
      this.draw();
    }
    this.refresh(changes);
    return structural;
  }

  /** Asks for a layout of the structure as it then is, after the frame that is painted now. */
  relayout() {
    document.documentElement.dataset.layout = "pending";
    if (this.isLayoutWanted) return;
    this.isLayoutWanted = true;
    setTimeout(() => {
      this.isLayoutWanted = false;
      const input = layoutInput(this.graph, (group) => this.isCollapsed(group));
      this.layouter.request(input);
    });
  }

  /** Groups by `app`, `kind` or `none`. */
  groupBy(by) {
    this.graph.groupBy = by;
    this.choices.clear();
    if (this.state) {
      rebuild(this.graph, this.state);
      this.countAll();
      this.dropChanged();
      this.relayout();
      this.draw();
    }
  }

  isCollapsed(group) {
    return this.choices.get(group) ?? this.graph.nodes.size > COLLAPSE_ABOVE;
  }

  setCollapsed(group, isCollapsed) {
    if (this.isCollapsed(group) !== isCollapsed) {
      this.choices.set(group, isCollapsed);
      this.relayout();
    }
  }

  setAllCollapsed(isCollapsed) {
    for (const group of this.graph.groups.keys()) this.choices.set(group, isCollapsed);
    this.relayout();
  }

  /** Counts the states of all nodes anew. */
  countAll() {
    this.healths.clear();
    this.tallies.clear();
    for (const key of this.graph.nodes.keys()) this.count(key);
  }

  /** Counts the state of one node in its group. */
  count(key) {
    const before = this.healths.get(key);
    const node = this.graph.nodes.get(key);
    const health = node?.type === "component" ? componentHealth(this.state, node.id).state : node ? "wormhole" : null;
    if (before?.group === node?.group && before?.health === health) {
      return;
    }
    if (before) this.tally(before.group)[before.health] -= 1;
    if (node) {
      const tally = this.tally(node.group);
      tally[health] = (tally[health] ?? 0) + 1;
      this.healths.set(key, { group: node.group, health });
    } else {
      this.healths.delete(key);
    }
  }

  tally(group) {
    if (!this.tallies.has(group)) this.tallies.set(group, {});
    return this.tallies.get(group);
  }

  /** Forgets the elements of nodes whose shape changed, so that they are made anew. */
  dropChanged() {
    for (const [key, known] of this.nodes) {
      if (this.graph.nodes.get(key)?.shape !== known.shape) {
        known.element.remove();
        this.nodes.delete(key);
      }
    }
  }

  /** Makes the elements those that should be there, and puts each in its place. */
  draw() {
    if (!this.state) return;
    this.drawGroups();
    const wanted = this.wantedNodes();
    for (const [key, { element }] of this.nodes) {
      if (!wanted.has(key)) {
        element.remove();
        this.nodes.delete(key);
      }
    }
    for (const [key, place] of wanted) this.drawNode(key, place);
    this.drawLines(wanted);
  }

  /** Draws again after the world was moved, if some nodes were out of sight. */
  moved() {
    if (this.isCulled) this.draw();
  }

  drawGroups() {
    const shown = [...this.graph.groups.keys()].filter((id) => this.layout.groups[id]);
    keyed(this.groupsLayer, shown, (id) => id, (id) => {
      const element = createGroup(id);
      this.groups.set(id, element);
      return element;
    }, (element, id) => {
      const place = this.layout.groups[id];
      const { x, y, w, h } = place;
      const before = element.place;
      if (before && before.x === x && before.y === y && before.w === w && before.h === h) return;
      element.place = place;
      element.style.transform = `translate(${x}px, ${y}px)`;
      element.style.width = `${w}px`;
      element.style.height = `${h}px`;
    });
    for (const id of this.groups.keys()) {
      if (!this.layout.groups[id] || !this.graph.groups.has(id)) this.groups.delete(id);
      else this.refreshGroup(id);
    }
  }

  refreshGroup(id) {
    const element = this.groups.get(id);
    if (!element) return;
    const isApp = this.graph.groupBy === "app" && id !== NO_GROUP;
    const none = this.graph.groupBy === "none" ? "Everything" : "Not in an app";
    updateGroup(element, {
      title: isApp ? id : id === NO_GROUP ? none : kindsName(id),
      count: this.graph.groups.get(id)?.size ?? 0,
      isCollapsed: this.isCollapsed(id),
      tally: this.tally(id),
      isApp,
    });
  }

  /** Returns the nodes that should have elements, with their places. */
  wantedNodes() {
    const wanted = new Map();
    for (const key of this.graph.nodes.keys()) {
      const place = this.placeOf(key);
      if (place) wanted.set(key, place);
    }
    this.isCulled = wanted.size > CULL_ABOVE;
    if (this.isCulled) {
      const sight = this.viewport.inSight(MARGIN);
      for (const [key, { x, y }] of wanted) {
        const { w, h } = nodeSize(this.graph.nodes.get(key));
        const isSeen = x + w > sight.x && x < sight.x + sight.w && y + h > sight.y && y < sight.y + sight.h;
        if (!isSeen) wanted.delete(key);
      }
    }
    return wanted;
  }

  /** Returns where a node is; one that has no layout yet waits beneath its group. */
  placeOf(key) {
    const node = this.graph.nodes.get(key);
    if (!node || this.isCollapsed(node.group)) {
      return null;
    }
    const place = this.layout.nodes[key];
    if (place) return place;
    const group = this.layout.groups[node.group];
    if (!group && !this.bounds()) return null;
    const bounds = group ?? { x: 0, y: this.bounds()?.h ?? 0, h: 0 };
    return { x: bounds.x + GROUP_PAD, y: bounds.y + bounds.h + (group ? GROUP_PAD : GROUP_HEAD) };
  }

  drawNode(key, { x, y }) {
    let known = this.nodes.get(key);
    if (!known) {
      const node = this.graph.nodes.get(key);
      known = { element: createNode(node), shape: node.shape };
      this.nodes.set(key, known);
      this.nodesLayer.append(known.element);
      this.refreshNode(key);
    }
    const transform = `translate(${x}px, ${y}px)`;
    if (known.transform !== transform) {
      known.transform = transform;
      known.element.style.transform = transform;
    }
  }

  /** Draws lines between nodes, and bundles of those that end at a collapsed group. */
  drawLines(shown) {
    const wanted = new Map();
    const before = this.bundles;
    this.bundles = new Map();
    for (const edge of this.graph.edges.values()) {
      const [from, to] = [this.graph.nodes.get(edge.from), this.graph.nodes.get(edge.to)];
      if (!from || !to) continue;
      const [a, b] = [this.endOf(from), this.endOf(to)];
      if (a === from.key && b === to.key) {
        if (!this.isCulled || shown.has(a) || shown.has(b)) wanted.set(edge.key, { edge, from, to });
      } else if (a !== b) {
        const key = `${a}⇒${b}`;
        wanted.set(key, { bundle: key, from, to });
        if (!this.bundles.has(key)) this.bundles.set(key, []);
        this.bundles.get(key).push(edge);
      }
    }
    for (const [key, element] of this.lines) {
      if (!wanted.has(key)) {
        element.remove();
        this.lines.delete(key);
      }
    }
    for (const [key, line] of wanted) {
      this.drawLine(key, line);
      if (line.bundle && !isSame(before.get(key), this.bundles.get(key))) this.refreshLine(key);
    }
  }

  endOf(node) {
    return this.isCollapsed(node.group) ? `g:${node.group}` : node.key;
  }

  drawLine(key, { edge, bundle, from, to }) {
    const start = this.pointOf(from, edge?.fromPort, outletPlace);
    const end = this.pointOf(to, edge?.toPort, inletPlace);
    if (!start || !end) return;
    let element = this.lines.get(key);
    const isNew = !element;
    if (isNew) {
      element = createLine(bundle ? "bundle" : edge.type, bundle ?? edge.id);
      this.lines.set(key, element);
      this.linesLayer.append(element);
    }
    placeLine(element, curve(start, end), middle(start, end));
    if (isNew) this.refreshLine(key);
  }

  pointOf(node, port, place) {
    if (this.isCollapsed(node.group)) {
      const group = this.layout.groups[node.group];
      return group && { x: place === outletPlace ? group.x + group.w : group.x, y: group.y + group.h / 2 };
    }
    const at = this.placeOf(node.key);
    if (!at) return null;
    const offset = place(node, port ?? null);
    return { x: at.x + offset.x, y: at.y + offset.y };
  }

  /** Brings the texts and states of what changed up to date. */
  refresh(changes) {
    if (changes.all) {
      for (const key of this.nodes.keys()) this.refreshNode(key);
      for (const key of this.lines.keys()) this.refreshLine(key);
      for (const id of this.groups.keys()) this.refreshGroup(id);
      return;
    }
    const groups = new Set();
    const touch = (key) => {
      this.refreshNode(key);
      const group = this.graph.nodes.get(key)?.group;
      if (group !== undefined) groups.add(group);
    };
    for (const id of changes.components) touch(`c:${id}`);
    for (const id of changes.wormholes) {
      touch(`w:${id}`);
      this.refreshLine(`w:${id}`);
    }
    // Each once: the figures of many links of a bundle change together.
    const lines = new Set([...changes.links].map((link) => this.lineOf(link)));
    for (const key of lines) this.refreshLine(key);
    for (const group of groups) this.refreshGroup(group);
  }

  refreshNode(key) {
    const known = this.nodes.get(key);
    const node = this.graph.nodes.get(key);
    if (!known || !node) return;
    const update = node.type === "wormhole" ? updateWormholeNode : updateComponentNode;
    update(known.element, node, this.state);
  }

  /** Returns the key of the line of a link: its own, or that of the bundle that it is in. */
  lineOf(link) {
    const edge = this.graph.edges.get(`l:${link}`);
    const [from, to] = [this.graph.nodes.get(edge?.from), this.graph.nodes.get(edge?.to)];
    if (!from || !to) return null;
    const [a, b] = [this.endOf(from), this.endOf(to)];
    return a === from.key && b === to.key ? edge.key : `${a}⇒${b}`;
  }

  refreshLine(key) {
    const element = this.lines.get(key);
    if (!element) return;
    if (this.bundles.has(key)) {
      const edges = this.bundles.get(key);
      const links = edges.filter((edge) => edge.type === "link").map((edge) => this.state.links.get(edge.id));
      updateBundle(element, links.filter(Boolean), edges.filter((edge) => edge.type === "wormhole").length);
    } else if (key.startsWith("l:")) {
      const link = this.state.links.get(key.slice(2));
      if (link) updateLinkLine(element, link);
    } else {
      const wormhole = this.state.wormholes.get(key.slice(2));
      if (wormhole) updateWormholeLine(element, wormhole);
    }
  }

  /** Returns the rectangle of everything that has a place. */
  bounds() {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const { x, y, w, h } of Object.values(this.layout.groups)) {
      left = Math.min(left, x);
      top = Math.min(top, y);
      right = Math.max(right, x + w);
      bottom = Math.max(bottom, y + h);
    }
    return left === Infinity ? null : { x: left, y: top, w: right - left, h: bottom - top };
  }

  /** Returns the rectangle of a node, or of the group in which it is collapsed. */
  rectOf(key) {
    const node = this.graph.nodes.get(key);
    const place = node && this.placeOf(key);
    return place ? { ...place, ...nodeSize(node) } : this.layout.groups[node?.group] ?? null;
  }

  /** Marks the element of what is selected, and the lines that end there. */
  mark({ node, line }) {
    for (const element of this.marked) {
      element.removeAttribute("data-selected");
      element.removeAttribute("data-near");
    }
    this.marked.clear();
    this.markOne(this.nodes.get(node)?.element, "data-selected");
    this.markOne(this.lines.get(line), "data-selected");
    if (!node) return;
    for (const edge of this.graph.edges.values()) {
      if (edge.from === node || edge.to === node) this.markOne(this.lines.get(edge.key), "data-near");
    }
  }

  markOne(element, name) {
    if (element) {
      element.setAttribute(name, "");
      this.marked.add(element);
    }
  }
}

function isSame(a, b) {
  return a !== undefined && a.length === b.length && a.every((edge, at) => edge === b[at]);
}
