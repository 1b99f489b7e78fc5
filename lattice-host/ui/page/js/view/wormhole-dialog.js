// The dialogs of wormholes: create and rename.

import { get, post } from "../http.js";
import { field, openDialog } from "./dialog.js";
import { el } from "./dom.js";
import { failed, done } from "./notices.js";

const HANDLER = /^wasi:http\/(incoming-)?handler/;

/** Opens the dialog that creates a wormhole, to `actor` if it is given. */
export function openNewWormhole(app, actor = null) {
  const select = actorSelect(app, actor);
  const host = el("input", { id: "wormhole-host", autocomplete: "off", spellcheck: "false", placeholder: "generated, such as fuzzy-lake-1234" });
  const path = el("input", { id: "wormhole-path", value: "/", autocomplete: "off", spellcheck: "false" });
  const any = el("input", { type: "checkbox", id: "wormhole-any" });
  const closed = el("input", { type: "checkbox", id: "wormhole-closed" });
  openDialog({
    id: "wormhole-dialog",
    title: "New wormhole",
    submit: "Create",
    body: [
      el("p", { text: "A wormhole is a public address that leads to an actor. Nothing else inside can be reached from outside." }),
      field("Actor", select),
      field("Host name", host, "One label, which each ingress completes with its own domain, or a whole name."),
      field("Path", path, "Requests whose path begins with it."),
      el("label", { class: "check" }, any, "For any host name"),
      el("label", { class: "check" }, closed, "Closed at first"),
    ],
    run: async () => {
      if (select.value === "") throw new Error("choose the actor that the wormhole leads to");
      const name = host.value.trim();
      const { wormhole, undo } = await post("/api/wormholes/create", {
        actor: select.value,
        path: path.value.trim() || "/",
        closed: closed.checked,
        ...(any.checked ? { any_host: true } : name ? { host: name } : {}),
      });
      app.changed(undo, `Wormhole ${wormhole.id} was created${wormhole.state === "open" ? " and is open" : ""}`);
      app.select("wormhole", wormhole.id);
    },
  });
  (actor ? host : select).focus();
}

/** Actors that are known to serve HTTP come first. */
function actorSelect(app, chosen) {
  const { components, ports } = app.state;
  const serves = (id) => ports.get(id)?.exports.some((port) => HANDLER.test(port.interface)) ?? false;
  const ids = [...components.keys()].sort((a, b) => Number(serves(b)) - Number(serves(a)) || a.localeCompare(b));
  const preset = chosen ?? ids.find(serves) ?? "";
  return el(
    "select",
    { id: "wormhole-actor", required: true },
    el("option", { value: "", text: ids.length > 0 ? "Choose an actor" : "There is no component yet" }),
    ids.map((id) => el("option", { value: id, text: serves(id) || !ports.has(id) ? id : `${id} — serves no HTTP`, selected: id === preset })),
  );
}

/** Opens the dialog that gives a wormhole another host name. */
export function openRename(app, wormhole) {
  const host = el("input", { id: "wormhole-host", value: wormhole.host ?? "", autocomplete: "off", spellcheck: "false" });
  openDialog({
    id: "rename-dialog",
    title: `Rename wormhole ${wormhole.id}`,
    submit: "Rename",
    body: [field("Host name", host, "The old name stops working at once.")],
    run: async () => {
      const answer = await post("/api/wormholes/rename", { id: wormhole.id, host: host.value.trim() });
      app.changed(answer.undo, `The wormhole is now at ${answer.wormhole.host}`);
    },
  });
  host.select();
}

/** Opens, closes or deletes a wormhole. */
export async function changeWormhole(app, id, verb) {
  const { wormhole, undo } = await post(`/api/wormholes/${verb}`, { id });
  const was = { open: "is open to the public", close: "is closed", delete: "was deleted" }[verb];
  app.changed(undo, `Wormhole ${wormhole.id} ${was}`);
}

/** Copies the first address of a wormhole. */
export async function copyAddress(id) {
  try {
    const { addresses, ingresses } = await get("/api/wormholes/addresses", { id });
    // Browsers have a clipboard on secure addresses only, which loopback is.
    await navigator.clipboard?.writeText(addresses[0]);
    const said = navigator.clipboard ? "Copied" : "The address is";
    const note = ingresses === 0 ? ". No host has an ingress yet: start one with `lattice up --http 127.0.0.1:8080`" : "";
    done(`${said} ${addresses[0]}${note}`);
  } catch (problem) {
    failed(problem);
  }
}
