// Sizes of nodes and places of their ports. Pure, so that no layout has to read the document; the
// style sheet uses the same numbers.

export const NODE_WIDTH = 236;
export const NODE_HEAD = 66;
export const PORT = 24;
export const NODE_FOOT = 10;
export const WORMHOLE_HEIGHT = 66;
export const GROUP_PAD = 24;
export const GROUP_HEAD = 42;
export const COLLAPSED = { w: 236, h: 88 };

/** Returns the width and the height of a node. */
export function nodeSize(node) {
  if (node.type === "wormhole") {
    return { w: NODE_WIDTH, h: WORMHOLE_HEIGHT };
  }
  const rows = node.inlets.length + node.outlets.length;
  return { w: NODE_WIDTH, h: NODE_HEAD + rows * PORT + (rows > 0 ? NODE_FOOT : 0) };
}

/** Returns where an edge leaves a node, relative to it. */
export function outletPlace(node, port) {
  const at = node.outlets.findIndex(({ key }) => key === port);
  const y = at < 0 ? NODE_HEAD / 2 : NODE_HEAD + (node.inlets.length + at + 0.5) * PORT;
  return { x: NODE_WIDTH, y };
}

/** Returns where an edge reaches a node, relative to it. */
export function inletPlace(node, port) {
  const at = node.inlets.findIndex(({ key }) => key === port);
  return { x: 0, y: at < 0 ? NODE_HEAD / 2 : NODE_HEAD + (at + 0.5) * PORT };
}

/** Returns the path of a line from one point to another, which leaves and arrives horizontally. */
export function curve(from, to) {
  const distance = Math.abs(to.x - from.x);
  const bend = to.x >= from.x
    ? Math.max(36, distance / 2)
    : Math.max(90, Math.min(220, distance / 2 + Math.abs(to.y - from.y) / 4));
  const [a, b] = [round(from.x + bend), round(to.x - bend)];
  return `M${round(from.x)} ${round(from.y)}C${a} ${round(from.y)} ${b} ${round(to.y)} ${round(to.x)} ${round(to.y)}`;
}

/** Returns the middle of such a line. */
export function middle(from, to) {
  return { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
}

function round(value) {
  return Math.round(value * 10) / 10;
}
