// Drawing a link: from an outlet to an inlet by pointer. While the line is drawn, inlets that fit
// stand out, and the others say why they don't. By keyboard, Enter on an outlet opens the dialog,
// which lists the targets with the same reasons.

import { curve } from "../model/geometry.js";
import { fit } from "../model/fit.js";
import { el, setText, show, svg } from "./dom.js";

/** How far a pointer moves before a press becomes a drag, in pixels. */
const SLACK = 5;

/**
 * Lets links be drawn on a canvas. `on.open({ source, interface, target })` is called for a link to
 * put, with a `target` of `null` if it has to be chosen, and `on.refused(why)` for one that doesn't
 * fit. `on.allowed()` says whether links may be changed.
 */
export function createLinking(canvas, viewport, on) {
  const why = el("p", { class: "why", role: "status", hidden: true });
  canvas.append(why);
  let drawing = null;

  canvas.addEventListener("pointerdown", (event) => {
    const outlet = event.target.closest(".outlet");
    if (!outlet || event.button !== 0 || !on.allowed()) {
      return;
    }
    drawing = {
      outlet,
      from: { of: outlet.dataset.of, interface: outlet.dataset.outlet },
      start: { x: event.clientX, y: event.clientY },
      pointer: event.pointerId,
      line: null,
      hovered: null,
    };
    event.preventDefault();
    outlet.focus({ preventScroll: true });
  });
  window.addEventListener("pointermove", (event) => {
    if (!drawing || event.pointerId !== drawing.pointer) {
      return;
    }
    const { start } = drawing;
    if (!drawing.line && Math.hypot(event.clientX - start.x, event.clientY - start.y) > SLACK) {
      begin();
    }
    if (drawing.line) {
      follow(event.clientX, event.clientY);
    }
  });
  window.addEventListener("pointerup", (event) => {
    if (!drawing || event.pointerId !== drawing.pointer) {
      return;
    }
    const { line, from } = drawing;
    const drop = line ? targetAt(event.clientX, event.clientY) : null;
    end();
    if (!line) {
      on.open({ source: from.of, interface: from.interface, target: null });
    } else if (drop?.fits) {
      on.open({ source: from.of, interface: from.interface, target: drop.of });
    } else if (drop) {
      on.refused(drop.why);
    }
  });
  window.addEventListener("pointercancel", end);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drawing?.line) {
      event.stopPropagation();
      end();
    }
  }, true);
  // A press of Enter or Space is a click without a pointer.
  canvas.addEventListener("click", (event) => {
    const outlet = event.target.closest(".outlet");
    if (outlet && event.detail === 0 && on.allowed()) {
      on.open({ source: outlet.dataset.of, interface: outlet.dataset.outlet, target: null });
    }
  });

  function begin() {
    drawing.line = svg("path", { class: "drawing" });
    viewport.world.querySelector(".lines").append(drawing.line);
    viewport.world.dataset.linking = drawing.from.interface;
    drawing.outlet.dataset.drawing = "";
    for (const inlet of viewport.world.querySelectorAll(".inlet")) {
      const check = fit(drawing.from, { of: inlet.dataset.of, interface: inlet.dataset.inlet });
      inlet.dataset.fit = check.fits ? "yes" : "no";
      if (!check.fits) inlet.title = check.why;
    }
    for (const node of viewport.world.querySelectorAll(".node")) {
      node.dataset.fit = nodeFits(node) ? "yes" : "no";
    }
  }

  function follow(x, y) {
    const dot = drawing.outlet.querySelector(".port-dot").getBoundingClientRect();
    const from = viewport.toWorld(dot.left + dot.width / 2, dot.top + dot.height / 2);
    drawing.line.setAttribute("d", curve(from, viewport.toWorld(x, y)));
    const drop = targetAt(x, y);
    drawing.hovered?.removeAttribute("data-over");
    drawing.hovered = drop?.element ?? null;
    drawing.hovered?.setAttribute("data-over", drop.fits ? "yes" : "no");
    show(why, Boolean(drop));
    if (drop) {
      setText(why, drop.fits ? `Link to ${drop.of}` : `✕ ${drop.why}`);
      why.dataset.fit = drop.fits ? "yes" : "no";
      const box = canvas.getBoundingClientRect();
      why.style.transform = `translate(${x - box.left + 14}px, ${y - box.top + 18}px)`;
    }
  }

  /** Returns what is under the pointer: an inlet, or a component whose fitting inlet is meant. */
  function targetAt(x, y) {
    const under = document.elementFromPoint(x, y);
    const inlet = under?.closest?.(".inlet");
    if (inlet) {
      const check = fit(drawing.from, { of: inlet.dataset.of, interface: inlet.dataset.inlet });
      return { element: inlet, of: inlet.dataset.of, ...check };
    }
    const node = under?.closest?.(".node");
    if (!node || node.dataset.component === drawing.from.of) {
      return null;
    }
    if (node.dataset.wormhole !== undefined) {
      return { element: node, of: null, fits: false, why: "a wormhole takes requests from outside; link to a component" };
    }
    const of = node.dataset.component;
    return nodeFits(node)
      ? { element: node, of, fits: true }
      : { element: node, of, fits: false, why: `${of} has no inlet for ${drawing.from.interface}` };
  }

  /** A component without any known inlet fits: the server decides. */
  function nodeFits(node) {
    const of = node.dataset.component;
    if (of === undefined || of === drawing.from.of) return false;
    const inlets = [...node.querySelectorAll(".inlet")];
    return inlets.length === 0
      ? !on.isKnown(of)
      : inlets.some((inlet) => fit(drawing.from, { of, interface: inlet.dataset.inlet }).fits);
  }

  function end() {
    if (!drawing) {
      return;
    }
    drawing.line?.remove();
    drawing.outlet.removeAttribute("data-drawing");
    drawing.hovered?.removeAttribute("data-over");
    drawing = null;
    delete viewport.world.dataset.linking;
    for (const element of viewport.world.querySelectorAll("[data-fit]")) {
      element.removeAttribute("data-fit");
      if (element.dataset.inlet) element.title = element.dataset.inlet;
    }
    show(why, false);
  }
}
