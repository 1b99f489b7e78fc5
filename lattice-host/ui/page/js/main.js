// The page: joins the stream, the views, the panel and the header.

import { get, post } from "./http.js";
import { applyEvent, createState, hideSilent, isEmpty } from "./model/state.js";
import { createPainter } from "./painter.js";
import { follow } from "./stream.js";
import { acceptDrops, openApply, openExport } from "./view/apply-dialog.js";
import { bannersOf } from "./view/banners.js";
import { byId, setAttribute, setData, setText, show } from "./view/dom.js";
import { createInfrastructure } from "./view/infrastructure.js";
import { openKeys } from "./view/keys.js";
import { openNewLink } from "./view/link-dialog.js";
import { createLogical } from "./view/logical.js";
import { done, failed, refused, showBanners } from "./view/notices.js";
import { createPanel } from "./view/panel/panel.js";
import { createSearch } from "./view/search-box.js";
import { createViews } from "./view/views.js";
import { openNewWormhole } from "./view/wormhole-dialog.js";

const page = document.documentElement;

/** What the parts of the page share. */
const app = {
  state: createState(),
  config: {},
  isReadOnly: false,
  selection: null,
  connection: { state: "connecting", why: null, since: 0 },
  select,
  changed,
  forget,
  hasPicture: () => views.hasPicture(),
  picture: () => views.picture(`${document.title}: ${page.dataset.view} view`),
};

const on = {
  select: (kind, id) => select(kind, id),
  link: (link) => openNewLink(app, link),
  refused,
  allowed: () => !app.isReadOnly,
};
const views = createViews({ logical: createLogical(on), infrastructure: createInfrastructure(on) }, repaint);
const panel = createPanel(app);
const search = createSearch(app);
const painter = createPainter(paint);
let stream = null;
let undo = null;
let isUndoing = false;

/**
 * Selects something: shows it in the panel, and marks it in the view; `isShown` also brings it into
 * sight, and `isFocused` gives it the focus. A kind of `null` selects nothing.
 */
function select(kind, id = null, { isShown = false, isFocused = false, tab = null } = {}) {
  const selection = kind === null ? null : { kind, id };
  const isSame = kind !== null && app.selection?.kind === kind && app.selection?.id === id;
  app.selection = selection;
  const isOther = isShown && kind !== null && views.show(kind === "host" ? "infrastructure" : "logical");
  if (!isSame) panel.select(selection, tab);
  else if (tab) panel.openTab(tab);
  page.classList.toggle("has-panel", selection !== null);
  const mark = () => views.select(kind, id, { isShown, isFocused });
  // A view that was hidden is painted in the next frame, before this.
  if (isOther) requestAnimationFrame(mark);
  else mark();
  if (selection === null) views.focus();
}

function paint(changes) {
  views.paint(app.state, changes);
  panel.paint(changes);
  views.updateGroupings(app.state);
  const empty = isEmpty(app.state);
  setData(page, "empty", String(empty));
  show(byId("empty"), empty && app.connection.state !== "connecting");
  updateBanners();
}

/** Paints a view that was hidden, and so isn't up to date. */
function repaint() {
  painter.changes().all = true;
  painter.schedule();
}

function updateBanners() {
  showBanners(bannersOf(app, () => stream.retry()));
}

const CONNECTIONS = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Connection lost. Trying again…",
  refused: "Signed out",
};

function connectionChanged(state, why) {
  const since = app.connection.state === state ? app.connection.since : Date.now();
  app.connection = { state, why, since };
  setData(page, "connection", state);
  setText(byId("connection"), CONNECTIONS[state]);
  if (state === "live" && app.config.lattice === undefined) readConfig();
  updateBanners();
}

function eventReceived(kind, data, id, received) {
  applyEvent(app.state, kind, data, painter.changes());
  painter.add(id, received);
}

/** Shows a silent host no more, until it is heard again. */
function forget(host) {
  hideSilent(app.state, host);
  painter.changes().hosts.add(host);
  painter.schedule();
  select(null);
}

/** Says that something was changed, and offers to undo it. */
function changed(undone, text) {
  // What changed nothing leaves the change before it as the last one.
  if (undone) setUndo(undone);
  else readUndo();
  done(text, undone ? { text: "Undo", run: () => undoChange(undone.id) } : null);
}

function setUndo(next) {
  undo = next;
  const control = byId("undo");
  setAttribute(control, "disabled", undo === null);
  setAttribute(control, "title", undo === null ? "There is nothing to undo" : `Undo: ${undo.says}`);
  setAttribute(control, "aria-label", undo === null ? "Undo" : `Undo: ${undo.says}`);
}

/**
 * Undoes the change of this number, which may not be the last one any more: then the server refuses.
 * A second press while the first is on its way does nothing.
 */
async function undoChange(id) {
  if (isUndoing) {
    return;
  }
  isUndoing = true;
  try {
    const answer = await post("/api/undo", { id });
    setUndo(answer.undo);
    done(`Undone: ${answer.undone}`);
  } catch (problem) {
    failed(problem);
    await readUndo();
  } finally {
    isUndoing = false;
  }
}

function undoLast() {
  if (undo !== null) undoChange(undo.id);
}

async function readUndo() {
  if (app.isReadOnly) {
    return;
  }
  try {
    setUndo((await get("/api/undo")).undo);
  } catch {
    // The banner of the connection says what is wrong.
  }
}

async function readConfig() {
  try {
    app.config = await get("/api/config");
  } catch (problem) {
    if (problem.status === 401) connectionChanged("refused", problem.next);
    return;
  }
  app.isReadOnly = app.config.read_only === true;
  setData(page, "readonly", String(app.isReadOnly));
  setText(byId("lattice-name"), app.config.lattice);
  document.title = `${app.config.lattice} · Lattice`;
}

function listen() {
  byId("new-wormhole").addEventListener("click", () => openNewWormhole(app));
  byId("apply").addEventListener("click", () => openApply(app));
  byId("plan-only").addEventListener("click", () => openApply(app));
  byId("empty-apply").addEventListener("click", () => openApply(app, byId("empty-sample").textContent));
  byId("export").addEventListener("click", () => openExport(app, app.selection?.kind === "app" ? app.selection.id : null));
  byId("undo").addEventListener("click", undoLast);
  byId("keys").addEventListener("click", openKeys);
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) readUndo();
  });
  new ResizeObserver(() => views.resized()).observe(byId("stage"));
}

function onKey(event) {
  const isTyping = event.target.closest?.("input, textarea, select, dialog") !== null;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (event.key === "?") {
    openKeys();
  } else if (event.key === "Escape" && app.selection) {
    select(null);
  } else if (event.key === "1" || event.key === "2") {
    views.show(event.key === "1" ? "logical" : "infrastructure");
  } else {
    views.zoomBy(event.key);
  }
}

async function start() {
  listen();
  acceptDrops(app);
  await readConfig();
  stream = follow({ event: eventReceived, connection: connectionChanged });
  await readUndo();
}

start();
