// Dialogs: a title, a form, an error, and buttons. The browser keeps the focus inside and closes
// them on Escape.

import { button, el, setAttribute, show } from "./dom.js";
import { failed, problemParts } from "./notices.js";

/**
 * Opens a dialog. `submit` is the text of its button, `run()` what it does: the dialog closes when
 * that has succeeded, and shows the problem when it fails; then `canSubmit()` says whether it may be
 * tried again. Returns `{ dialog, form, problem, close, submitButton }`.
 */
export function openDialog({ id, title, body, submit, run, canSubmit = () => true, isDanger = false, wide = false }) {
  document.getElementById(id)?.remove();
  const error = el("div", { class: "dialog-error", role: "alert", hidden: true });
  const submitButton = submit
    ? el("button", { type: "submit", class: isDanger ? "danger" : "primary", text: submit })
    : null;
  const form = el(
    "form",
    { method: "dialog", novalidate: true },
    el("h2", { id: `${id}-title`, text: title }),
    el("div", { class: "dialog-body" }, body),
    error,
    el(
      "div",
      { class: "dialog-buttons" },
      button(submit ? "Cancel" : "Close", () => dialog.close(), { class: "cancel" }),
      submitButton,
    ),
  );
  const dialog = el("dialog", { id, "aria-labelledby": `${id}-title`, class: wide ? "wide" : null }, form);
  const controls = {
    dialog,
    form,
    submitButton,
    close: () => dialog.close(),
    problem(problem) {
      show(error, problem !== null);
      error.replaceChildren(...(problem ? problemParts(problem) : []));
    },
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!submitButton || submitButton.disabled) {
      return;
    }
    setAttribute(submitButton, "disabled", true);
    controls.problem(null);
    try {
      if ((await run(controls)) !== false) dialog.close();
    } catch (problem) {
      controls.problem(problem);
      // It was closed meanwhile, and what it was asked to do has failed.
      if (!dialog.isConnected) failed(problem);
    } finally {
      setAttribute(submitButton, "disabled", !canSubmit());
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return controls;
}

/** Asks before something is done. `run()` does it. */
export function confirmThat({ title, text, verb, run, isDanger = true }) {
  const asked = openDialog({
    id: "confirm-dialog",
    title,
    body: [el("p", { text })],
    submit: verb,
    isDanger,
    run,
  });
  asked.submitButton.id = "confirm-yes";
  asked.dialog.querySelector(".cancel").focus();
}

/** Returns a labelled field with help beneath it. `control` is an input, select or textarea. */
export function field(label, control, help = "") {
  const id = control.id || `field-${field.count += 1}`;
  control.id = id;
  const note = help ? el("small", { id: `${id}-help`, text: help }) : null;
  setAttribute(control, "aria-describedby", note?.id);
  return el("div", { class: "field" }, el("label", { for: id, text: label }), control, note);
}
field.count = 0;
