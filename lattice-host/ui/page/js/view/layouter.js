// Asks the worker for layouts, one at a time: while one is made, the wish for the next is
// remembered, so that many changes of structure cost one layout.

import { nodeSize } from "../model/geometry.js";

/** `onLayout(layout)` is called with each result. */
export function createLayouter(onLayout) {
  let run = inWorker(done, fallBack);
  let isBusy = false;
  let next = null;
  let sent = null;
  let signature = null;

  /** A structure that looks like the last one needs no layout, such as one more link of two groups. */
  function request(input) {
    const wanted = JSON.stringify(input);
    if (wanted === signature) {
      document.documentElement.dataset.layout = isBusy ? "pending" : "done";
      return;
    }
    signature = wanted;
    start(input);
  }

  function start(input) {
    document.documentElement.dataset.layout = "pending";
    if (isBusy) {
      next = input;
      return;
    }
    isBusy = true;
    sent = input;
    run(input);
  }

  function done(layout) {
    isBusy = false;
    const more = next;
    next = null;
    if (more) {
      start(more);
    } else {
      document.documentElement.dataset.layout = "done";
    }
    onLayout(layout);
  }

  /** Without workers, the layout is made here. */
  function fallBack() {
    const module = import("../model/layout.js");
    const cache = new Map();
    run = (input) => module.then(({ layout }) => done(layout(input, cache)));
    if (isBusy) run(sent);
  }

  return { request };
}

function inWorker(done, failed) {
  let worker;
  try {
    worker = new Worker(new URL("../layout-worker.js", import.meta.url), { type: "module" });
  } catch {
    queueMicrotask(failed);
    return () => {};
  }
  let number = 0;
  worker.addEventListener("message", ({ data }) => done(data.layout));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    worker.terminate();
    failed();
  });
  return (input) => {
    number += 1;
    worker.postMessage({ number, input });
  };
}

/** Returns what the worker needs of a graph. `isCollapsed(group)` says which groups are. */
export function layoutInput(graph, isCollapsed) {
  const inner = new Map();
  const groups = [...graph.groups].map(([id, members]) => {
    const collapsed = isCollapsed(id);
    const group = { id, collapsed, nodes: [], edges: [] };
    if (!collapsed) {
      for (const key of members) group.nodes.push({ id: key, ...nodeSize(graph.nodes.get(key)) });
      group.nodes.sort((a, b) => (a.id < b.id ? -1 : 1));
      inner.set(id, group);
    }
    return group;
  });
  groups.sort((a, b) => (a.id < b.id ? -1 : 1));
  const between = new Map();
  for (const edge of graph.edges.values()) {
    const [from, to] = [graph.nodes.get(edge.from), graph.nodes.get(edge.to)];
    if (!from || !to) continue;
    if (from.group === to.group) {
      inner.get(from.group)?.edges.push([edge.from, edge.to, ...portsOf(edge, from, to)]);
    } else {
      between.set(`${from.group}\n${to.group}`, [from.group, to.group]);
    }
  }
  for (const { edges } of groups) sortPairs(edges);
  return { groups, edges: sortPairs([...between.values()]) };
}

/** Returns the numbers of the ports between which a link leads. */
function portsOf(edge, from, to) {
  if (edge.type !== "link") return [];
  return [
    from.outlets.findIndex(({ key }) => key === edge.fromPort),
    to.inlets.findIndex(({ key }) => key === edge.toPort),
  ];
}

/** In one order, whatever the order in which links came. */
function sortPairs(pairs) {
  const name = (pair) => pair.join("\n");
  return pairs.sort((a, b) => (name(a) < name(b) ? -1 : 1));
}
