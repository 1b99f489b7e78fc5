// The logical view: the scene under a window, and what keys and pointers do with it.

import { byId, setAttribute, setText } from "./dom.js";
import { createLinking } from "./linking.js";
import { setCurrent } from "./nodes.js";
import { pictureOf } from "./picture.js";
import { Scene } from "./scene.js";
import { createViewport } from "./viewport.js";

/** What is left free around a picture, in pixels. */
const MARGIN = 24;

/**
 * Makes the view. `on.select(kind, id)` is called for what a person selects, and `on.link(link)`
 * and `on.refused(why)` as in [createLinking].
 */
export function createLogical(on) {
  const canvas = byId("canvas");
  let current = null;
  let selected = { node: null, line: null };
  let isMoving = false;
  let waiting = null;
  let viewport = null;
  let scene = null;

  viewport = createViewport(canvas, () => {
    setText(byId("zoom-level"), `${Math.round((viewport?.scale() ?? 1) * 100)}%`);
    if (!isMoving && scene) {
      isMoving = true;
      requestAnimationFrame(() => {
        isMoving = false;
        scene.moved();
        decorate();
      });
    }
  });
  scene = new Scene(viewport, (bounds) => {
    viewport.keepFit(bounds);
    decorate();
    waiting?.();
  });

  /** New elements learn what is selected, and which node Tab reaches. */
  function decorate() {
    if (!scene.nodes.has(current)) {
      current = scene.nodes.keys().next().value ?? null;
    }
    for (const [key, { element }] of scene.nodes) {
      if (element.isCurrent !== (key === current)) {
        element.isCurrent = key === current;
        setCurrent(element, key === current);
      }
    }
    scene.mark(selected);
    updateExpandAll();
  }

  function updateExpandAll() {
    const groups = [...scene.graph.groups.keys()];
    const anyCollapsed = groups.some((group) => scene.isCollapsed(group));
    const control = byId("expand-all");
    setText(control, anyCollapsed ? "Expand all" : "Collapse all");
    setAttribute(control, "disabled", groups.length === 0);
  }

  createLinking(canvas, viewport, {
    open: on.link,
    refused: on.refused,
    allowed: on.allowed,
    isKnown: (id) => scene.state?.ports.has(id) ?? false,
  });

  canvas.addEventListener("click", (event) => {
    const line = event.target.closest("[data-link]");
    const toggle = event.target.closest(".group-toggle");
    const title = event.target.closest(".group-title");
    const node = event.target.closest(".node");
    if (line) {
      on.select("link", line.dataset.link);
    } else if (toggle) {
      toggleGroup(toggle.closest(".group").dataset.app);
    } else if (title) {
      on.select("app", title.closest(".group").dataset.app);
    } else if (node && !event.target.closest(".outlet")) {
      selectNode(node);
    }
  });
  canvas.addEventListener("dblclick", (event) => {
    const group = event.target.closest(".group[data-collapsed=true]");
    if (group && !event.target.closest("button")) toggleGroup(group.dataset.app);
  });
  canvas.addEventListener("focusin", (event) => {
    const node = event.target.closest(".node");
    if (node && node.dataset.key !== current) {
      current = node.dataset.key;
      decorate();
    }
  });
  canvas.addEventListener("keydown", (event) => onKey(event));

  function toggleGroup(id) {
    scene.setCollapsed(id, !scene.isCollapsed(id));
  }

  function selectNode(node) {
    const { wormhole, component } = node.dataset;
    on.select(wormhole === undefined ? "component" : "wormhole", wormhole ?? component);
  }

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const node = event.target.closest(".node");
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      moveFocus(event.key.slice(5).toLowerCase(), event.target);
    } else if (event.key === "Enter" || event.key === " ") {
      if (event.target === node) {
        event.preventDefault();
        selectNode(node);
      } else if (event.target.dataset?.link) {
        event.preventDefault();
        on.select("link", event.target.dataset.link);
      }
    }
  }

  /** Moves to the nearest node or collapsed group in a direction; sideways counts twice. */
  function moveFocus(direction, from) {
    const stops = stopsOf(scene);
    const here = stops.find((stop) => stop.key === focusKey(from)) ?? stops.find((stop) => stop.key === current);
    if (!here) {
      stops[0]?.element().focus({ preventScroll: true });
      return;
    }
    const [dx, dy] = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[direction];
    let best = null;
    for (const stop of stops) {
      const [x, y] = [stop.x - here.x, stop.y - here.y];
      const along = x * dx + y * dy;
      const cost = along + 2 * Math.abs(x * dy + y * dx);
      if (along > 4 && (!best || cost < best.cost)) best = { stop, cost };
    }
    if (best) {
      viewport.reveal(best.stop.rect);
      scene.draw();
      best.stop.element()?.focus({ preventScroll: true });
    }
  }

  /** Brings a node into sight, and gives the focus to it or to another element. */
  function reveal(key, focused) {
    const node = scene.graph.nodes.get(key);
    if (!node) {
      return;
    }
    const go = () => {
      waiting = null;
      const rect = scene.rectOf(key);
      if (rect) viewport.reveal(rect);
      scene.draw();
      decorate();
      focused?.()?.focus({ preventScroll: true });
    };
    if (scene.isCollapsed(node.group)) {
      waiting = go;
      scene.setCollapsed(node.group, false);
    } else {
      go();
    }
  }

  byId("zoom-in").addEventListener("click", () => viewport.zoom(1.25));
  byId("zoom-out").addEventListener("click", () => viewport.zoom(0.8));
  byId("zoom-fit").addEventListener("click", () => viewport.fit(scene.bounds()));
  byId("expand-all").addEventListener("click", () => {
    const anyCollapsed = [...scene.graph.groups.keys()].some((group) => scene.isCollapsed(group));
    scene.setAllCollapsed(!anyCollapsed);
  });

  return {
    paint(state, changes) {
      if (scene.paint(state, changes)) decorate();
    },
    groupBy: (by) => scene.groupBy(by),
    /** Marks what is selected; `isShown` also brings it into sight. */
    select(kind, id, { isShown, isFocused }) {
      const key = kind === "component" ? `c:${id}` : kind === "wormhole" ? `w:${id}` : null;
      const edge = kind === "link" ? scene.graph.edges.get(`l:${id}`) : null;
      selected = { node: key, line: edge ? `l:${id}` : null };
      if (key && scene.graph.nodes.has(key)) current = key;
      if (isShown) {
        if (kind === "app" && scene.graph.groups.has(id)) {
          const rect = scene.layout.groups[id];
          if (rect) viewport.reveal(rect);
          if (isFocused) scene.groups.get(id)?.parts.title.focus({ preventScroll: true });
        }
        const element = () => (key ? scene.nodes.get(key)?.element : scene.lines.get(selected.line));
        reveal(key ?? edge?.from, isFocused ? element : null);
      }
      decorate();
    },
    /** Zooms by a key: `+`, `-`, or `0` for everything. */
    zoomBy(key) {
      if (key === "+" || key === "=") viewport.zoom(1.25);
      else if (key === "-") viewport.zoom(0.8);
      else if (key === "0") viewport.fit(scene.bounds());
    },
    /** Gives the focus to the element of what is selected. */
    focus() {
      (scene.nodes.get(current)?.element ?? canvas.querySelector(".group-toggle"))?.focus({ preventScroll: true });
    },
    hasPicture: () => scene.bounds() !== null,
    /** Returns a picture of everything, whatever is in sight. */
    picture(title) {
      const bounds = scene.bounds();
      return viewport.inFull(() => {
        scene.moved();
        const { left, top } = viewport.world.getBoundingClientRect();
        const area = {
          x: left + bounds.x - MARGIN, y: top + bounds.y - MARGIN, w: bounds.w + 2 * MARGIN, h: bounds.h + 2 * MARGIN,
        };
        const names = [...scene.graph.nodes.values()].map((node) => scene.nodes.get(node.key)?.element.getAttribute("aria-label") ?? node.id);
        return pictureOf(viewport.world, { title, description: names.join("; "), area });
      });
    },
    /** Fits everything into the window if nobody has moved it, as after a change of size. */
    resized() {
      viewport.keepFit(scene.bounds());
      scene.moved();
    },
  };
}

function focusKey(element) {
  const node = element.closest(".node");
  const group = element.closest(".group");
  return node ? node.dataset.key : group ? `g:${group.dataset.app}` : null;
}

/** Returns everything that arrow keys move between, with its middle. */
function stopsOf(scene) {
  const stops = [];
  const add = (key, rect, element) => {
    if (rect) stops.push({ key, rect, x: rect.x + rect.w / 2, y: rect.y + rect.h / 2, element });
  };
  for (const [key, node] of scene.graph.nodes) {
    if (!scene.isCollapsed(node.group)) add(key, scene.rectOf(key), () => scene.nodes.get(key)?.element);
  }
  for (const id of scene.graph.groups.keys()) {
    if (scene.isCollapsed(id)) {
      add(`g:${id}`, scene.layout.groups[id], () => scene.groups.get(id)?.querySelector(".group-toggle"));
    }
  }
  return stops;
}
