// A picture of a part of the page as one text of SVG, made of what the browser has computed: boxes
// with their colours, borders and corners, rows of text, and lines. It has no scripts, no styles and
// no references, so that it is shown wherever an image is. Shadows are left out.

import { boxShapes, drawing, escape, number, painted, rows, tag } from "../model/drawing.js";

/** Attributes of shapes, by the elements that are drawn. */
const SHAPES = { path: ["d"], circle: ["cx", "cy", "r"], rect: ["x", "y", "width", "height", "rx"] };
const px = (text) => Number.parseFloat(text) || 0;

/**
 * Returns the picture of an element and of what is in it. `area` is what is shown, in coordinates of
 * the window; without it, the element.
 */
export function pictureOf(root, { title, description, area = null }) {
  const body = getComputedStyle(document.body);
  const box = root.getBoundingClientRect();
  const made = { clips: 0, font: body.fontFamily, elements: [] };
  drawElement(made, root, { scale: 1, clip: null, out: made.elements });
  return drawing({
    area: area ?? { x: box.left, y: box.top, w: box.width, h: box.height },
    title,
    description,
    background: body.backgroundColor,
    font: body.fontFamily,
    elements: made.elements,
  });
}

/** `scale` is that of the coordinates of the window, and `clip` the rectangle that is seen. */
function drawElement(made, element, { scale, clip, out }) {
  const style = getComputedStyle(element);
  if (style.display === "none" || style.opacity === "0" || element.matches("dialog:not([open])")) {
    return;
  }
  const inner = [];
  const rect = element.getBoundingClientRect();
  const matrix = new DOMMatrix(style.transform);
  const within = { scale: scale * (Math.hypot(matrix.a, matrix.b) || 1), clip, out: inner };
  if (element instanceof SVGElement) {
    drawShapes(made, element, inner);
  } else {
    const isSeen = style.visibility !== "hidden" && rect.width > 0 && rect.height > 0;
    if (isSeen) drawBox(made, element, style, rect, within);
    const isClipped = style.overflowX !== "visible" && isSeen;
    const content = [];
    const below = isClipped ? { ...within, clip: innerBox(rect, style, within.scale), out: content } : { ...within, out: content };
    for (const child of element.childNodes) {
      if (child.nodeType === Node.ELEMENT_NODE) drawElement(made, child, below);
      else if (child.nodeType === Node.TEXT_NODE && isSeen) drawText(made, child, style, below);
    }
    const overflows = element.scrollHeight > element.clientHeight + 1 || element.scrollWidth > element.clientWidth + 1;
    inner.push(...(isClipped && overflows && content.length > 0 ? [clipped(made, below.clip, content)] : content));
  }
  if (inner.length > 0) out.push(...(style.opacity === "1" ? inner : [tag("g", { opacity: style.opacity }, inner)]));
}

function innerBox({ left, top, right, bottom }, style, scale) {
  const border = (side) => px(style[`border${side}Width`]) * scale;
  return { left: left + border("Left"), top: top + border("Top"), right: right - border("Right"), bottom: bottom - border("Bottom") };
}

function clipped(made, { left, top, right, bottom }, content) {
  made.clips += 1;
  const id = `clip-${made.clips}`;
  return tag("clipPath", { id }, tag("rect", { x: left, y: top, width: right - left, height: bottom - top })) +
    tag("g", { "clip-path": `url(#${id})` }, content);
}

function drawBox(made, element, style, rect, { scale, out }) {
  const place = { x: rect.left, y: rect.top, w: rect.width, h: rect.height };
  const sides = ["Top", "Right", "Bottom", "Left"].map((side) => ({
    width: px(style[`border${side}Width`]) * scale,
    style: style[`border${side}Style`],
    color: style[`border${side}Color`],
  }));
  out.push(...boxShapes(place, { fill: style.backgroundColor, radii: radiiOf(style, rect, scale), sides }));
  if (style.backgroundImage.startsWith("radial-gradient")) out.push(dots(made, style, place));
  drawBefore(made, element, rect, style, { scale, out });
  if (element.matches("input, select, textarea")) drawField(made, element, rect, style, { scale, out });
}

function radiiOf(style, rect, scale) {
  return ["TopLeft", "TopRight", "BottomRight", "BottomLeft"].map((corner) => {
    const radius = style[`border${corner}Radius`];
    return radius.endsWith("%") ? (px(radius) / 100) * rect.width : px(radius) * scale;
  });
}

/** The points of the canvas. */
function dots(made, style, { x, y, w, h }) {
  made.clips += 1;
  const id = `dots-${made.clips}`;
  const step = px(style.backgroundSize);
  const [dx, dy] = style.backgroundPosition.split(" ").map(px);
  const point = tag("circle", { cx: step / 2, cy: step / 2, r: 1, ...painted("fill", style.backgroundImage.match(/rgba?\([^)]*\)/)[0]) });
  const pattern = { id, x: x + dx, y: y + dy, width: step, height: step, patternUnits: "userSpaceOnUse" };
  return tag("pattern", pattern, point) + tag("rect", { x, y, width: w, height: h, fill: `url(#${id})` });
}

/** What the style sheet puts before the content: a coloured edge, or a mark. */
function drawBefore(made, element, rect, style, { scale, out }) {
  const before = getComputedStyle(element, "::before");
  const text = before.content.match(/^"(.*)"$/)?.[1];
  if (text === undefined) return;
  const inner = innerBox(rect, style, scale);
  if (before.position === "absolute") {
    const place = {
      x: inner.left + px(before.left) * scale, y: inner.top + px(before.top) * scale,
      w: px(before.width) * scale, h: px(before.height) * scale,
    };
    const edges = [0, 0, 0, 0].map(() => ({ width: 0 }));
    out.push(...boxShapes(place, { fill: before.backgroundColor, radii: radiiOf(before, { width: place.w }, scale), sides: edges }));
  } else if (text.trim() !== "") {
    const left = inner.left + px(style.paddingLeft) * scale;
    out.push(row(made, { text, left, right: left, top: rect.top, bottom: rect.bottom }, before, scale, "start"));
  }
}

/** The text of a field, or what says what belongs there. */
function drawField(made, element, rect, style, { scale, out }) {
  const inner = innerBox(rect, style, scale);
  const shown = element.matches("select") ? element.selectedOptions[0]?.text : element.value;
  const left = inner.left + (px(style.paddingLeft) + (element.matches("select") ? 4 : 0)) * scale;
  const text = shown || element.placeholder || "";
  const look = shown ? style : getComputedStyle(element, "::placeholder");
  if (text.trim() !== "" && element.type !== "checkbox") {
    const place = { text, left, right: left, top: rect.top, bottom: rect.bottom };
    out.push(row(made, place, look, scale, "start"));
  }
  if (element.matches("select")) {
    const [x, y] = [inner.right - 14 * scale, (rect.top + rect.bottom) / 2 - 2 * scale];
    const d = `M${number(x)} ${number(y)}l${number(4 * scale)} ${number(4 * scale)}l${number(4 * scale)} ${number(-4 * scale)}`;
    out.push(tag("path", { d, fill: "none", ...painted("stroke", style.color), "stroke-width": 1.5 * scale }));
  }
}

function drawText(made, node, style, { scale, clip, out }) {
  if (node.data.trim() === "") return;
  const range = document.createRange();
  const letters = [...node.data.matchAll(/[\s\S]/gu)].map(({ 0: text, index }) => {
    range.setStart(node, index);
    range.setEnd(node, index + text.length);
    return { text: text.replace(/\s/, " "), rect: range.getClientRects()[0] ?? null };
  });
  const isCut = style.textOverflow === "ellipsis" && style.overflowX !== "visible";
  for (const found of rows(isCut ? ended(letters, clip) : letters)) {
    if (!clip || (found.bottom > clip.top && found.top < clip.bottom)) {
      out.push(row(made, found, style, scale, anchorOf(node, found, style)));
    }
  }
}

/** Ends letters with an ellipsis where they don't fit. */
function ended(letters, clip) {
  const isOut = ({ rect }) => rect && rect.right > clip.right + 0.5;
  if (!letters.some(isOut)) return letters;
  const kept = letters.filter((letter) => letter.rect && letter.rect.right < clip.right - letter.rect.height * 0.5);
  return [...kept, { ...(kept[kept.length - 1] ?? letters[0]), text: "…" }];
}

/** Which end of a row stays where it is if a font of another width is used. */
function anchorOf(node, found, style) {
  const parent = node.parentElement;
  const outer = parent.matches(".port-name") ? parent.parentElement : parent;
  const rect = outer.getBoundingClientRect();
  const [before, after] = [found.left - rect.left, rect.right - found.right];
  const isMiddle = style.textAlign === "center" || outer.matches(".pill, .group-count");
  if (isMiddle && Math.abs(before - after) < 3) return "middle";
  return outer.matches(".outlet") ? "end" : "start";
}

function row(made, { text, left, right, top, bottom }, style, scale, anchor) {
  const size = px(style.fontSize) * scale;
  const at = { start: left, middle: (left + right) / 2, end: right }[anchor];
  const { a, b } = new DOMMatrix(style.transform);
  const turn = Math.round((Math.atan2(b, a) * 180) / Math.PI);
  const shown = style.textTransform === "uppercase" ? text.toUpperCase() : text;
  const spacing = px(style.letterSpacing) * scale;
  return tag("text", {
    transform: turn === 0 ? null : `rotate(${turn} ${number((left + right) / 2)} ${number((top + bottom) / 2)})`,
    x: at,
    // Fonts have their baseline at about this height.
    y: (top + bottom) / 2 + size * 0.35,
    "font-size": size,
    "font-weight": style.fontWeight === "400" ? null : style.fontWeight,
    "font-family": style.fontFamily === made.font ? null : style.fontFamily,
    "letter-spacing": Math.abs(spacing) < 0.2 ? null : spacing,
    "text-anchor": anchor === "start" ? null : anchor,
    "text-decoration": style.textDecorationLine === "none" ? null : style.textDecorationLine,
    ...painted("fill", style.color),
  }, escape(shown.trim()));
}

/** Draws an element of SVG: its shapes where they are on the page, with their computed looks. */
function drawShapes(made, root, out) {
  for (const element of root.querySelectorAll("path, circle, rect, text")) {
    const style = getComputedStyle(element);
    const [fill, line] = [painted("fill", style.fill), painted("stroke", style.stroke)];
    const isText = element.localName === "text";
    if (style.visibility === "hidden" || (fill.fill === "none" && line.stroke === "none") || (isText && element.textContent === "")) continue;
    const { a, b, c, d, e, f } = element.getScreenCTM();
    const matrix = [a, b, c, d, e, f].map(number).join(" ");
    const look = {
      transform: matrix === "1 0 0 1 0 0" ? null : `matrix(${matrix})`,
      ...fill,
      ...(line.stroke === "none" ? {} : {
        ...line,
        "stroke-width": px(style.strokeWidth),
        "stroke-dasharray": style.strokeDasharray === "none" ? null : style.strokeDasharray.replaceAll("px", ""),
        "stroke-linecap": style.strokeLinecap === "butt" ? null : style.strokeLinecap,
        "stroke-linejoin": style.strokeLinejoin === "miter" ? null : style.strokeLinejoin,
      }),
      opacity: style.opacity === "1" ? null : style.opacity,
    };
    out.push(isText ? label(made, element, style, look) : tag(element.localName, { ...given(element, SHAPES[element.localName]), ...look }));
  }
}

function given(element, names) {
  return Object.fromEntries(names.map((name) => [name, element.getAttribute(name)]));
}

/** A text of SVG, which may have rows of its own. */
function label(made, element, style, look) {
  const inner = [...element.childNodes].map((child) => child.nodeType === Node.TEXT_NODE
    ? escape(child.data)
    : tag("tspan", given(child, ["x", "dy"]), escape(child.textContent)));
  return tag("text", {
    ...look,
    "font-size": px(style.fontSize),
    "font-weight": style.fontWeight === "400" ? null : style.fontWeight,
    "font-family": style.fontFamily === made.font ? null : style.fontFamily,
    "text-anchor": style.textAnchor === "start" ? null : style.textAnchor,
    "dominant-baseline": style.dominantBaseline === "auto" ? null : style.dominantBaseline,
    "paint-order": style.paintOrder === "normal" ? null : style.paintOrder,
  }, inner);
}
