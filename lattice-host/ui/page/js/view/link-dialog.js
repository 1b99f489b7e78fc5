// The dialog that puts a link or edits one: target, name, config, locality.

import { freeName, targetsFor } from "../model/fit.js";
import { linkKey } from "../model/state.js";
import { get, post } from "../http.js";
import { configFields } from "./config-form.js";
import { field, openDialog } from "./dialog.js";
import { el, setText } from "./dom.js";

const LOCALITIES = [
  ["PreferLocal", "The replica on the caller's host first"],
  ["LocalOnly", "Only a replica on the caller's host"],
  ["Spread", "Any replica"],
];

/** Opens the dialog for a new link. `link.target` and `link.name` may be `null`. */
export function openNewLink(app, link) {
  const links = app.state.linksOf.get(link.source)?.values() ?? [];
  const name = link.name ?? freeName({ of: link.source, interface: link.interface }, links);
  open(app, { ...link, name, locality: "PreferLocal" }, null);
}

/** Opens the dialog for a link that exists. */
export function openEditLink(app, link) {
  open(app, { ...link, interface: link.version }, link);
}

function open(app, link, existing) {
  const outlet = { of: link.source, interface: link.interface };
  const target = targetSelect(app, outlet, link.target);
  const name = el("input", { id: "link-name", value: link.name, autocomplete: "off", spellcheck: "false", readonly: existing !== null });
  const locality = el(
    "select",
    { id: "link-locality" },
    LOCALITIES.map(([value, text]) => el("option", { value, text, selected: value === link.locality })),
  );
  const config = el("fieldset", { class: "config" });
  let verdicts = new Map();
  const verdict = el("p", { class: "verdict", role: "status" });
  let readConfig = () => undefined;
  // Whoever is quick must not put a link without the config that its target asks for.
  let described = Promise.resolve();

  const dialog = openDialog({
    id: "link-dialog",
    title: existing ? "Edit the link" : "Link",
    submit: "Put link",
    body: [
      el("p", { class: "route" },
        el("strong", { text: link.source }), " may call through ", el("code", { text: link.interface })),
      field("Target", target),
      verdict,
      field("Name", name, existing
        ? "A link's name is part of its key. Put another link for another name."
        : "`default`, unless this component reaches several targets through this interface."),
      field("Locality", locality),
      config,
    ],
    run: async () => {
      await described;
      await put(app, existing, body());
    },
  });

  function body() {
    if (target.value === "") {
      throw new Error("choose the component to call as the target");
    }
    const config = readConfig();
    return {
      source: link.source,
      interface: link.interface,
      target: target.value,
      name: name.value.trim() || "default",
      locality: locality.value,
      ...(config === undefined ? {} : { config }),
      ...(existing ? { revision: existing.revision, force: existing.app !== null } : {}),
    };
  }

  async function targetChanged() {
    const chosen = target.value;
    config.replaceChildren(el("legend", { text: "Config" }));
    readConfig = () => undefined;
    if (chosen === "") {
      return;
    }
    say(chosen);
    const ends = { source: link.source, target: chosen, interface: link.interface };
    const described = await get("/api/links/config", ends).catch(() => ({}));
    if (target.value !== chosen) {
      return;
    }
    const { schema = null, missing = null } = described;
    const keep = existing ? "Leave it empty to keep the config as it is; `null` removes it." : missing;
    try {
      readConfig = configFields(config, existing ? null : schema, keep);
    } catch {
      // What a component publishes may be no schema.
      readConfig = configFields(config, null, "The target describes its config in a form that can't be shown. Write it as JSON.");
    }
  }

  /** Says what the lattice's own check finds about a target. */
  function say(chosen) {
    const found = verdicts.get(chosen);
    const isRefused = found?.fits === "no";
    const owned = existing?.app
      ? `App ${existing.app} owns this link: applying the app again undoes what you change here.`
      : "";
    setText(verdict, isRefused ? `✕ ${[found.why, found.next].filter(Boolean).join("; ")}` : owned);
    verdict.dataset.fit = isRefused ? "no" : "yes";
  }

  /** The page compares names; the lattice compares types as well, and has the last word. */
  async function readVerdicts() {
    const { inlets } = await get("/api/links/fits", { source: link.source, interface: link.interface })
      .catch(() => ({ inlets: [] }));
    verdicts = new Map(inlets.map((inlet) => [inlet.target, inlet]));
    refine(target, verdicts);
    say(target.value);
  }

  target.addEventListener("change", () => (described = targetChanged()));
  described = targetChanged();
  readVerdicts();
  (link.target ? dialog.submitButton : target).focus();
}

/** The targets that fit first; the others can't be chosen and say why. */
function targetSelect(app, outlet, chosen) {
  const { components, ports } = app.state;
  const targets = targetsFor(outlet, components.keys(), (id) => ports.get(id));
  const options = targets.map(({ id, fits, why }) =>
    el("option", {
      value: id,
      text: fits ? id : `${id} — ${why}`,
      disabled: !fits && id !== chosen,
      selected: id === chosen,
    }));
  if (chosen && !targets.some((target) => target.id === chosen)) {
    options.unshift(el("option", { value: chosen, text: chosen, selected: true }));
  }
  const hint = targets.some((target) => target.fits) ? "Choose a component" : "No component fits";
  const first = el("option", { value: "", text: hint, selected: !chosen });
  return el("select", { id: "link-target", required: true }, first, options);
}

/** Puts what the lattice has found about targets into their options. */
function refine(select, verdicts) {
  for (const option of select.options) {
    const found = verdicts.get(option.value);
    if (found) {
      option.disabled = found.fits === "no" && !option.selected;
      setText(option, found.fits === "no" && found.why ? `${option.value} — ${found.why}` : option.value);
    }
  }
}

async function put(app, existing, body) {
  const { link, undo } = await post("/api/links/put", body);
  app.changed(undo, existing ? `The link to ${link.target} was changed` : `${link.source} may call ${link.target}`);
  app.select("link", linkKey(link));
}
