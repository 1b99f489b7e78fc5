// Why something does or doesn't work, as the lattice explains it, with the next action as a button.

import { get, post } from "../../http.js";
import { linkKey } from "../../model/state.js";
import { openApply } from "../apply-dialog.js";
import { confirmThat } from "../dialog.js";
import { button, el, setAttribute } from "../dom.js";
import { openEditLink, openNewLink } from "../link-dialog.js";
import { failed, problemParts, sentence } from "../notices.js";
import { openNewWormhole } from "../wormhole-dialog.js";

const MARKS = { fine: "✓", waiting: "◔", fault: "▲" };
const WORDS = { fine: "All is well", waiting: "In progress", fault: "Needs attention" };
/** The least time between two explanations of the same thing, in milliseconds. */
const PAUSE = 1_500;

/** Makes the part that explains a selection. It asks again after changes, not too often. */
export function explainPart(app, selection) {
  const element = el("section", { id: "explain", "aria-label": "Explanation", "aria-live": "polite" },
    el("p", { class: "hint", text: "Asking the lattice…" }));
  let timer = null;
  let isClosed = false;
  let isAsking = false;

  async function ask() {
    timer = null;
    if (isClosed) return;
    isAsking = true;
    try {
      const answer = await get("/api/explain", queryOf(app, selection));
      if (!isClosed) showAnswer(answer);
    } catch (problem) {
      if (!isClosed) element.replaceChildren(...problemParts(problem));
    } finally {
      isAsking = false;
    }
  }

  function showAnswer({ severity, findings }) {
    setAttribute(element, "data-severity", severity);
    element.replaceChildren(
      el("h3", {}, el("span", { "aria-hidden": "true", class: "mark", text: `${MARKS[severity]} ` }), WORDS[severity] ?? severity),
      el("ul", {}, findings.map((finding) => el(
        "li",
        { data: { severity: finding.severity } },
        el("span", { class: "mark", "aria-hidden": "true", text: MARKS[finding.severity] ?? "•" }),
        el("div", {}, el("p", { text: sentence(finding.message) }), actionButton(app, finding.action)),
      ))),
    );
  }

  ask();
  return {
    element,
    paint() {
      if (timer === null && !isAsking) timer = setTimeout(ask, PAUSE);
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Returns the parameters that name a selection. */
export function queryOf(app, { kind, id }) {
  if (kind !== "link") {
    return { kind, id };
  }
  const [source, contract, name] = id.split(" ");
  return { kind, source, interface: contract, name };
}

function actionButton(app, action) {
  if (!action || (app.isReadOnly && action.do !== "select" && action.do !== "logs")) {
    return null;
  }
  const made = button(action.label, () => act(app, action), { class: "next-action" });
  made.dataset.action = action.do;
  return made;
}

function act(app, action) {
  switch (action.do) {
    case "post":
      if (action.confirm) {
        confirmThat({
          title: action.label,
          text: `${sentence(action.label)} This changes what runs or who can reach it.`,
          verb: action.label,
          isDanger: false,
          run: () => send(app, action),
        });
      } else {
        send(app, action).catch(failed);
      }
      break;
    case "edit-link": {
      const link = app.state.links.get(linkKey(action.link));
      if (link) openEditLink(app, link);
      else failed(new Error("the link is gone"));
      break;
    }
    case "new-link":
      openNewLink(app, { target: null, ...action.link });
      break;
    case "select": {
      const id = action.kind === "link" ? linkKey(action.link) : action.id;
      app.select(action.kind, id, { isShown: true });
      break;
    }
    case "new-wormhole":
      openNewWormhole(app, null);
      break;
    case "apply":
      openApply(app);
      break;
    case "logs":
      app.select("component", action.component, { tab: "logs" });
      break;
    default:
      failed(new Error(`this page doesn't know how to do that: ${action.label}; reload it`));
  }
}

async function send(app, action) {
  const { undo } = await post(action.path, action.body);
  app.changed(undo ?? null, `Done: ${action.label}`);
}
