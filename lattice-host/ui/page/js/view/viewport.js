// Panning and zooming: a world of fixed coordinates, moved and scaled under a window.

import { el } from "./dom.js";

const CLOSEST = 2;
const FARTHEST = 0.08;
/** The scale below which nodes show their name only. */
const FAR = 0.42;
/** Further from the origin than any node. */
const EVERYTHING = 1e9;

/** Makes the world in `canvas`. `onMove()` is called after each move or zoom. */
export function createViewport(canvas, onMove) {
  const world = el("div", { class: "world" });
  canvas.append(world);
  const at = { x: 40, y: 40, k: 1 };
  let isTouched = false;
  let isInFull = false;
  let gliding = null;

  function apply() {
    world.style.transform = `translate(${at.x}px, ${at.y}px) scale(${at.k})`;
    const grid = 24 * at.k * (at.k < 0.5 ? 2 : 1);
    canvas.style.backgroundSize = `${grid}px ${grid}px`;
    canvas.style.backgroundPosition = `${at.x}px ${at.y}px`;
    world.classList.toggle("is-far", at.k < FAR);
    onMove();
  }

  function zoomAt(factor, clientX, clientY) {
    const box = canvas.getBoundingClientRect();
    const [px, py] = [clientX - box.left, clientY - box.top];
    const k = Math.min(CLOSEST, Math.max(FARTHEST, at.k * factor));
    at.x = px - ((px - at.x) * k) / at.k;
    at.y = py - ((py - at.y) * k) / at.k;
    at.k = k;
    apply();
  }

  function glide() {
    world.classList.add("is-gliding");
    clearTimeout(gliding);
    gliding = setTimeout(() => world.classList.remove("is-gliding"), 260);
  }

  function fit(bounds) {
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (!bounds || w === 0 || h === 0) {
      return;
    }
    const margin = 48;
    const k = Math.min((w - 2 * margin) / bounds.w, (h - 2 * margin) / bounds.h, 1);
    at.k = Math.max(FARTHEST, k);
    at.x = (w - bounds.w * at.k) / 2 - bounds.x * at.k;
    at.y = Math.max(margin, (h - bounds.h * at.k) / 2) - bounds.y * at.k;
    apply();
  }

  /** Moves as little as is needed to have a rectangle of the world in sight. */
  function reveal(rect) {
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (at.k < FAR) at.k = Math.min(1, FAR * 1.6);
    const margin = 40;
    const [left, top] = [at.x + rect.x * at.k, at.y + rect.y * at.k];
    const [right, bottom] = [left + rect.w * at.k, top + rect.h * at.k];
    const isInside = left >= margin && top >= margin && right <= w - margin && bottom <= h - margin;
    if (!isInside) {
      at.x = w / 2 - (rect.x + rect.w / 2) * at.k;
      at.y = h / 2 - (rect.y + rect.h / 2) * at.k;
      glide();
    }
    apply();
  }

  pointers(canvas, world, {
    pan(dx, dy) {
      isTouched = true;
      at.x += dx;
      at.y += dy;
      apply();
    },
    zoom(factor, x, y) {
      isTouched = true;
      zoomAt(factor, x, y);
    },
  });

  apply();
  return {
    world,
    fit(bounds) {
      isTouched = false;
      glide();
      fit(bounds);
    },
    /** Fits as long as nobody has moved the world. */
    keepFit(bounds) {
      if (!isTouched) fit(bounds);
    },
    reveal(rect) {
      const before = { ...at };
      reveal(rect);
      isTouched ||= before.x !== at.x || before.y !== at.y || before.k !== at.k;
    },
    zoom(factor) {
      isTouched = true;
      const box = canvas.getBoundingClientRect();
      zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
    },
    scale: () => at.k,
    /** Returns the point of the world under a point of the window. */
    toWorld(clientX, clientY) {
      const box = canvas.getBoundingClientRect();
      return { x: (clientX - box.left - at.x) / at.k, y: (clientY - box.top - at.y) / at.k };
    },
    /**
     * Returns the result of `work()`, during which the world is neither moved nor scaled, and
     * everything is in sight and shows all that it has. Nothing of that is painted.
     */
    inFull(work) {
      isInFull = true;
      world.classList.remove("is-far", "is-gliding");
      world.style.transform = "none";
      try {
        return work();
      } finally {
        isInFull = false;
        apply();
      }
    },
    /** Returns what is in sight, with a margin in pixels of the window. */
    inSight(margin) {
      if (isInFull) return { x: -EVERYTHING, y: -EVERYTHING, w: 2 * EVERYTHING, h: 2 * EVERYTHING };
      return {
        x: (-at.x - margin) / at.k,
        y: (-at.y - margin) / at.k,
        w: (canvas.clientWidth + 2 * margin) / at.k,
        h: (canvas.clientHeight + 2 * margin) / at.k,
      };
    },
  };
}

/** Drags on the background pan, two fingers pinch, and the wheel zooms. */
function pointers(canvas, world, on) {
  const down = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    const isBackground = !event.target.closest("button, .node, [data-link]");
    if (event.button !== 0 || (!isBackground && event.pointerType === "mouse")) {
      return;
    }
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before || world.dataset.linking !== undefined) {
      return;
    }
    const now = { x: event.clientX, y: event.clientY };
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    down.set(event.pointerId, now);
    // Only now, so that a press without a move stays a click on what is under it.
    canvas.setPointerCapture(event.pointerId);
    if (other) {
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      on.zoom(distance(now) / distance(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      on.pan(now.x - before.x, now.y - before.y);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => down.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey) {
      on.pan(-event.deltaY - event.deltaX, 0);
      return;
    }
    const unit = event.deltaMode === 1 ? 18 : 1;
    const strength = event.ctrlKey ? 0.01 : 0.0016;
    on.zoom(Math.exp(-event.deltaY * unit * strength), event.clientX, event.clientY);
  }, { passive: false });
}
