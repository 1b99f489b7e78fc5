// Applying a manifest: the plan first, and then exactly that plan. And exporting one.

import { get, post } from "../http.js";
import { field, openDialog } from "./dialog.js";
import { button, byId, el, setAttribute, show } from "./dom.js";
import { done, failed } from "./notices.js";

const SIGNS = { create: "+", change: "~", delete: "−", unchanged: "=", warning: "▲" };
const VERBS = { create: "create", change: "change", delete: "delete", unchanged: "unchanged", warning: "warning" };
/** The largest manifest that is read from a file, in bytes: the server takes 1 MiB. */
const LARGEST = 1_000_000;

/** Opens the dialog, with a text and the name of its file if there are some, and plans it. */
export function openApply(app, text = "", file = null) {
  const area = el("textarea", { id: "manifest-text", rows: 14, spellcheck: "false", text, placeholder: 'name = "hello"' });
  const picker = el("input", { type: "file", id: "manifest-file", accept: ".toml,.json" });
  const plan = el("div", { id: "plan", "aria-live": "polite" });
  const planButton = button("Plan", () => makePlan(), { id: "plan-button" });
  let fileName = file;
  let planned = null;

  const dialog = openDialog({
    id: "apply-dialog",
    title: app.isReadOnly ? "Plan a manifest" : "Apply a manifest",
    submit: app.isReadOnly ? null : "Apply",
    wide: true,
    body: [field("Manifest", area), el("div", { class: "row" }, field("Open a file", picker), planButton), plan],
    run: apply,
    canSubmit: () => planned !== null,
  });
  if (dialog.submitButton) dialog.submitButton.id = "apply-button";
  forget();

  area.addEventListener("input", forget);
  picker.addEventListener("change", async () => {
    const [chosen] = picker.files;
    if (!chosen) return;
    try {
      area.value = await readManifest(chosen);
      fileName = chosen.name;
      await makePlan();
    } catch (problem) {
      dialog.problem(problem);
    }
  });

  /** A changed text needs a new plan. */
  function forget() {
    planned = null;
    if (dialog.submitButton) setAttribute(dialog.submitButton, "disabled", true);
    plan.replaceChildren();
  }

  function request() {
    return { text: area.value, ...(fileName ? { file: fileName } : {}) };
  }

  async function makePlan() {
    forget();
    dialog.problem(null);
    setAttribute(planButton, "disabled", true);
    const body = request();
    try {
      const answer = await post("/api/apps/plan", body);
      if (area.value === body.text) {
        planned = isEmpty(answer.plan) ? null : { ...body, seen: answer.seen };
        showPlan(plan, answer.plan, answer.notes);
        if (dialog.submitButton) {
          setAttribute(dialog.submitButton, "disabled", planned === null);
          dialog.submitButton.focus();
        }
      }
    } catch (problem) {
      dialog.problem(problem);
      area.focus();
    } finally {
      setAttribute(planButton, "disabled", null);
    }
  }

  async function apply() {
    try {
      const answer = await post("/api/apps/apply", planned);
      app.changed(answer.undo, `Applied app ${answer.plan.app}`);
      app.select("app", answer.plan.app);
      return true;
    } catch (problem) {
      if (problem.code === "plan-changed") await makePlan();
      throw problem;
    }
  }

  if (text !== "") makePlan();
  else area.focus();
}

function isEmpty(plan) {
  return plan.create.length + plan.change.length + plan.delete.length === 0;
}

/** Shows a plan: one line for each resource, and the fields that change; `notes` are about images. */
export function showPlan(place, plan, notes = []) {
  const count = `${plan.create.length} to create, ${plan.change.length} to change, ${plan.delete.length} to delete, ${plan.unchanged.length} unchanged`;
  const rows = [
    ...plan.warnings.map((text) => planRow("warning", text)),
    ...plan.create.map((ref) => planRow("create", ref.text)),
    ...plan.change.map(({ resource, differences }) => planRow("change", resource.text, differences)),
    ...plan.delete.map((ref) => planRow("delete", ref.text)),
    ...plan.unchanged.map((ref) => planRow("unchanged", ref.text)),
  ];
  place.replaceChildren(
    el("h3", { text: `Plan of app ${plan.app}` }),
    el("p", { class: "plan-count", text: isEmpty(plan) ? `Nothing changes: ${count}.` : `${count}.` }),
    el("ul", { class: "plan-rows" }, rows),
    notes.length > 0 ? el("ul", { class: "hint" }, notes.map((text) => el("li", { text }))) : "",
  );
}

function planRow(change, text, differences = []) {
  return el(
    "li",
    { data: { change } },
    el("span", { class: "sign", "aria-hidden": "true", text: SIGNS[change] }),
    el("span", { class: "verb", text: VERBS[change] }),
    el("span", { class: "subject", text }),
    differences.length === 0 ? null : el("ul", { class: "differences" }, differences.map(difference)),
  );
}

function difference({ field: name, before, after }) {
  return el(
    "li",
    {},
    el("code", { text: name }),
    ": ",
    before === null ? el("ins", { text: after }) : el("del", { text: before }),
    before !== null && after !== null ? " → " : null,
    before !== null && after !== null ? el("ins", { text: after }) : null,
  );
}

async function readManifest(file) {
  if (file.size > LARGEST) {
    const error = new Error(`${file.name} is too large for a manifest`);
    error.next = "drop a file of at most 1 MB";
    throw error;
  }
  return file.text();
}

/** Takes manifests that are dropped anywhere on the page. */
export function acceptDrops(app) {
  const hint = byId("drop-hint");
  let depth = 0;
  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  const leave = () => {
    depth = 0;
    show(hint, false);
  };
  window.addEventListener("dragenter", (event) => {
    if (!hasFile(event)) return;
    depth += 1;
    show(hint, true);
  });
  window.addEventListener("dragover", (event) => {
    if (hasFile(event)) event.preventDefault();
  });
  window.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) leave();
  });
  window.addEventListener("drop", async (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    leave();
    const [file] = event.dataTransfer.files;
    try {
      openApply(app, await readManifest(file), file.name);
    } catch (problem) {
      failed(problem);
    }
  });
}

/** Opens the dialog that exports a manifest, of one app or of what no app owns, or a picture. */
export function openExport(app, chosen = null) {
  const names = [...app.state.apps.keys()].sort();
  const select = el(
    "select",
    { id: "export-what" },
    names.map((name) => el("option", { value: `app:${name}`, text: `App ${name}`, selected: name === chosen })),
    el("option", { value: "unowned", text: "What belongs to no app" }),
  );
  const text = el("pre", { id: "export-text", tabindex: "0", "aria-label": "Manifest" });
  const note = el("p", { class: "hint", role: "status" });
  const picture = button("Picture (SVG)", () => downloadPicture(app), { id: "export-picture", "aria-describedby": "export-picture-help" });
  const hasPicture = app.hasPicture();
  setAttribute(picture, "disabled", !hasPicture);
  let file = "app.toml";
  openDialog({
    id: "export-dialog",
    title: "Export",
    wide: true,
    body: [
      field("What", select),
      text,
      note,
      el("div", { class: "row" },
        button("Download", () => download(file, "application/toml", text.textContent)),
        button("Copy", () => copy(text.textContent)),
        picture),
      el("p", {
        class: "hint",
        id: "export-picture-help",
        text: hasPicture
          ? "The picture shows all of the view behind this dialog, as it is now."
          : "There is no picture: nothing is in the view behind this dialog yet.",
      }),
    ],
  });
  async function load() {
    const name = select.value.startsWith("app:") ? select.value.slice(4) : null;
    try {
      const answer = await get("/api/export", name === null ? { unowned: true } : { app: name });
      file = answer.file;
      text.textContent = answer.text;
      note.textContent = hiddenNote(answer.hidden);
    } catch (problem) {
      text.textContent = "";
      note.textContent = [problem.message, problem.next].filter(Boolean).join("; ");
    }
  }
  select.addEventListener("change", load);
  load();
  select.focus();
}

/** Says which values aren't in an exported manifest. */
export function hiddenNote(hidden) {
  return hidden.length === 0
    ? ""
    : `Written as (hidden), and kept as they are when it is applied here: ${hidden.join(", ")}.`;
}

function downloadPicture(app) {
  try {
    download("lattice.svg", "image/svg+xml", app.picture());
  } catch {
    failed(Object.assign(new Error("the picture couldn't be made"), { next: "reload the page, and try again" }));
  }
}

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = el("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Copies a text. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    done("Copied");
  } catch {
    failed(Object.assign(new Error("the browser didn't let the page copy"), { next: "select the text and copy it" }));
  }
}
