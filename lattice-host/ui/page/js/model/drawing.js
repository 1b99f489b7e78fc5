// The texts of a drawing in SVG: elements, colours and rows. Pure; js/view/picture.js reads the page.

/** Returns a text as it is written in XML, without the characters that XML doesn't allow. */
export function escape(text) {
  const allowed = String(text).replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
  return allowed.replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter]);
}

/** Returns an element. Attributes that are `null` or empty are left out; `children` are elements. */
export function tag(name, attributes = {}, children = []) {
  const given = Object.entries(attributes).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const head = [name, ...given.map(([key, value]) => `${key}="${escape(typeof value === "number" ? number(value) : value)}"`)].join(" ");
  const inner = [children].flat().join("");
  return inner === "" ? `<${head}/>` : `<${head}>${inner}</${name}>`;
}

/** Returns a number with at most two digits behind its point. */
export function number(value) {
  return String(Math.round(value * 100) / 100);
}

/**
 * Returns a computed colour as `{ color, opacity }`, or `null` if there is nothing to see: SVG that
 * is shown elsewhere can't have all forms that a browser computes.
 */
export function paint(css) {
  const parts = css.match(/^(rgba?|color)\((srgb )?([^)]*)\)$/);
  if (!parts) return null;
  const values = parts[3].split(/[\s,/]+/).filter(Boolean).map(Number);
  const scale = parts[1] === "color" ? 255 : 1;
  const [red, green, blue] = values.map((value) => Math.round(Math.min(255, Math.max(0, value * scale))));
  const opacity = values[3] ?? 1;
  if (opacity === 0 || [red, green, blue, opacity].some(Number.isNaN)) return null;
  return { color: `#${[red, green, blue].map((it) => it.toString(16).padStart(2, "0")).join("")}`, opacity };
}

/** Returns the attributes `fill` or `stroke` of a computed colour. */
export function painted(name, css) {
  const found = paint(css);
  return found ? { [name]: found.color, [`${name}-opacity`]: found.opacity === 1 ? null : found.opacity } : { [name]: "none" };
}

/**
 * Returns the shapes of a box: `{ x, y, w, h }`, `fill` as computed, `radii` from the upper left
 * clockwise, and `sides`, its borders from the top clockwise, as `{ width, style, color }`.
 */
export function boxShapes({ x, y, w, h }, { fill, radii, sides }) {
  const seen = sides.map((side) => (side.width > 0 && side.style !== "none" && paint(side.color) ? side : null));
  const [first] = seen;
  const isEven = first && seen.every((side) => side && side.width === first.width && side.color === first.color && side.style === first.style);
  const inner = isEven ? first.width / 2 : 0;
  const area = { x: x + inner, y: y + inner, w: w - 2 * inner, h: h - 2 * inner };
  const line = isEven ? stroke(first) : {};
  const shapes = paint(fill) || isEven
    ? [rounded(area, radii.map((radius) => Math.max(0, radius - inner)), { ...painted("fill", fill), ...line })]
    : [];
  if (!isEven) {
    const edges = [[0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]];
    seen.forEach((side, at) => {
      if (!side) return;
      const [ax, ay, bx, by] = edges[at];
      const inset = side.width / 2;
      const place = (share, start, size) => (share === 0 ? start + inset : start + size - inset);
      const isFlat = ay === by;
      shapes.push(tag("path", {
        d: isFlat
          ? `M${number(x)} ${number(place(ay, y, h))}H${number(x + w)}`
          : `M${number(place(ax, x, w))} ${number(y)}V${number(y + h)}`,
        ...stroke(side),
      }));
    });
  }
  return shapes;
}

function stroke({ width, style, color }) {
  const dashes = { dashed: `${number(width * 3)} ${number(width * 2)}`, dotted: `${number(width)} ${number(width)}` };
  return { ...painted("stroke", color), "stroke-width": width === 1 ? null : width, "stroke-dasharray": dashes[style] };
}

/** A rectangle, or a path if its corners differ. Corners are at most half as large as the sides. */
function rounded({ x, y, w, h }, radii, look) {
  const [a, b, c, d] = radii.map((radius) => Math.min(radius, w / 2, h / 2));
  if (a === b && b === c && c === d) {
    return tag("rect", { x, y, width: w, height: h, rx: a === 0 ? null : a, ...look });
  }
  const to = (...values) => values.map(number).join(" ");
  const arc = (radius, ex, ey) => `A${to(radius, radius)} 0 0 1 ${to(ex, ey)}`;
  const path = [
    `M${to(x + a, y)}H${to(x + w - b)}`, arc(b, x + w, y + b), `V${to(y + h - c)}`, arc(c, x + w - c, y + h),
    `H${to(x + d)}`, arc(d, x, y + h - d), `V${to(y + a)}`, arc(a, x + a, y), "Z",
  ];
  return tag("path", { d: path.join(""), ...look });
}

/**
 * Returns the rows into which a browser has broken a text, as `{ text, left, right, top, bottom }`.
 * `letters` are `{ text, rect }` in order, each with its place; those without a place are left out.
 */
export function rows(letters) {
  const found = [];
  for (const { text, rect } of letters) {
    const last = found[found.length - 1];
    if (!rect || (rect.right === rect.left && text.trim() === "")) continue;
    if (last && rect.top < last.bottom && rect.bottom > last.top && rect.left >= last.left - 1) {
      last.text += text;
      last.right = Math.max(last.right, rect.right);
    } else {
      found.push({ text, left: rect.left, right: rect.right, top: rect.top, bottom: rect.bottom });
    }
  }
  return found.filter((row) => row.text.trim() !== "");
}

/** Returns the whole drawing: `area` of the coordinates, what it shows in words, and its elements. */
export function drawing({ area, title, description, background, font, elements }) {
  const { x, y, w, h } = area;
  const size = { width: Math.ceil(w), height: Math.ceil(h), viewBox: [x, y, w, h].map(number).join(" ") };
  return tag("svg", { xmlns: "http://www.w3.org/2000/svg", ...size, role: "img", "font-family": font }, [
    tag("title", {}, escape(title)),
    tag("desc", {}, escape(description)),
    tag("rect", { x, y, width: w, height: h, ...painted("fill", background) }),
    ...elements,
  ]) + "\n";
}
