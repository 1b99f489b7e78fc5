// Trying a call: a form for the arguments of a function, and its result.

import { get, post } from "../../http.js";
import { sameFunction, servedEdition } from "../../model/edition.js";
import { typeText } from "../../model/forms.js";
import { reread } from "../../reread.js";
import { field } from "../dialog.js";
import { el, setAttribute, setData } from "../dom.js";
import { problemParts } from "../notices.js";
import { valueField } from "./value-field.js";

const RAN = { yes: "It ran.", no: "It did not run.", maybe: "It may have run." };
/** The longest time that a call may take, in milliseconds. */
const LONGEST = 50_000;

/** Makes the tab. */
export function callTab(app, selection, body) {
  if (app.isReadOnly) {
    body.append(el("p", { class: "hint", text: "This page is read-only, so it makes no calls. Start it without `--read-only` to try one." }));
    return {};
  }
  body.append(el("p", { class: "hint", text: "Reading the functions…" }));
  let form = null;
  return reread({
    edition: () => servedEdition(app.state, selection.id),
    read: () => get("/api/call/form", { component: selection.id }),
    show: ({ interfaces }) => {
      const functions = interfaces.flatMap(({ interface: name, functions: all }) =>
        all.map((it) => ({ ...it, interface: name })));
      if (functions.length === 0) {
        form = null;
        body.replaceChildren(el("p", { class: "hint", text: "It exports no function that can be called from here." }));
      } else if (form === null) {
        form = makeForm(selection.id, functions, body);
      } else {
        form.update(functions);
      }
    },
    // What a person has typed stays there, also while nothing can be read.
    fail: (problem) => {
      if (form === null) body.replaceChildren(...problemParts(problem));
    },
  });
}

/** Makes the form. `update(functions)` keeps what was typed for a function that is still the same. */
function makeForm(component, functions, body) {
  const select = el("select", { id: "call-function" }, functionOptions(functions));
  const args = el("div", { class: "arguments" });
  const timeout = el("input", { id: "call-timeout", type: "number", min: 1, max: LONGEST, value: 5_000 });
  const submit = el("button", { type: "submit", class: "primary", text: "Call" });
  const output = el("output", { id: "call-result", "aria-live": "polite" });
  const form = el("form", { id: "call-form", novalidate: true }, field("Function", select), args, field("Timeout (ms)", timeout), submit);
  let fields = [];

  function choose() {
    const chosen = functions[Number(select.value)];
    fields = chosen.params.map((param) => [param.name, valueField(param.type, param.name, param.name)]);
    const returns = chosen.result ? typeText(chosen.result) : "nothing";
    args.replaceChildren(
      el("p", { class: "signature" }, el("code", { text: chosen.signature })),
      ...fields.map(([, made]) => made.element),
      chosen.callable ? el("p", { class: "hint", text: `Returns ${returns}.` }) : el("p", { class: "hint", text: `It can't be called from here: ${chosen.why}.` }),
    );
    setAttribute(submit, "disabled", !chosen.callable);
    output.replaceChildren();
    output.removeAttribute("data-outcome");
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = functions[Number(select.value)];
    setAttribute(submit, "disabled", true);
    try {
      const given = Object.fromEntries(fields.map(([name, made]) => [name, made.read()]));
      output.replaceChildren(el("p", { class: "hint", text: "Calling…" }));
      showResult(output, await post("/api/call", {
        component,
        interface: chosen.interface,
        function: chosen.name,
        arguments: given,
        timeout_ms: Math.min(LONGEST, Math.max(1, Number(timeout.value) || 5_000)),
      }));
    } catch (problem) {
      setData(output, "outcome", "error");
      const where = problem.details?.at ?? problem.path;
      output.replaceChildren(...problemParts(problem), where ? el("p", { class: "place", text: `At ${where}.` }) : "");
    } finally {
      setAttribute(submit, "disabled", null);
    }
  });
  select.addEventListener("change", choose);
  body.replaceChildren(
    el("p", { class: "hint", text: "The call is made in the operator's name, without a link." }),
    form,
    output,
  );
  choose();
  return {
    update(newer) {
      const kept = sameFunction(newer, functions[Number(select.value)]);
      functions = newer;
      select.replaceChildren(...functionOptions(functions));
      select.value = String(Math.max(kept, 0));
      if (kept < 0) choose();
    },
  };
}

function functionOptions(functions) {
  const names = [...new Set(functions.map((it) => it.interface))];
  return names.map((name) => el("optgroup", { label: name }, functions.map((it, at) =>
    it.interface === name ? el("option", { value: at, text: it.callable ? it.name : `${it.name} (not from here)` }) : null)));
}

/** Shows what a call returned, or why it failed. */
function showResult(output, { outcome, result, text, error, left_out: leftOut, took_ms: took }) {
  setData(output, "outcome", outcome === "ok" ? "ok" : "error");
  const titles = { ok: "✓ Returned", err: "▲ The function returned an error", failed: "▲ The call failed" };
  const parts = [el("h3", { text: `${titles[outcome]} in ${took} ms` })];
  if (outcome === "failed") {
    parts.push(el("p", { class: "what", text: error.message }));
    parts.push(el("p", { class: "advice", text: `${RAN[error.ran] ?? ""}${error.retryable ? " It can be tried again." : ""}` }));
  } else if (leftOut) {
    parts.push(el("p", { class: "advice", text: leftOut }));
  } else {
    const shown = text ?? (result === null ? "nothing" : JSON.stringify(result, null, 2));
    parts.push(el("pre", { tabindex: "0", "aria-label": "Result", text: shown }));
  }
  output.replaceChildren(...parts);
}
