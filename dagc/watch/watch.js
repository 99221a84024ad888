"use strict";
// Follows the stream of versions; a reload of the report keeps the place, the tab and the strategy that are shown, and
// a strategy that was chosen is shown again as soon as it compiles again.

const at = (id) => document.getElementById(id);
const frame = at("report");
let shown = { version: -1, strategies: [] };
let wanted = null;
let keep = null;

function remember() {
  const inner = frame.contentWindow;
  if (!inner || !inner.document.querySelector("main")) return;
  keep = { y: inner.scrollY, tab: inner.document.querySelector('[role="tab"][aria-selected="true"]')?.id };
}

frame.addEventListener("load", () => {
  if (!keep) return;
  const inner = frame.contentWindow;
  inner.document.getElementById(keep.tab)?.click();
  inner.scrollTo(0, keep.y);
});

function load() {
  const number = Math.max(0, shown.strategies.indexOf(wanted));
  const chosen = shown.strategies[number];
  frame.hidden = !chosen;
  if (!chosen) return;
  const address = `/report/${number}`;
  if (frame.getAttribute("src") === address) frame.contentWindow.location.reload();
  else frame.setAttribute("src", address);
  for (const button of at("strategies").children) button.setAttribute("aria-selected", String(button.textContent === chosen));
}

function strategies() {
  const buttons = shown.strategies.map((name) => {
    const button = document.createElement("button");
    button.textContent = name;
    button.type = "button";
    button.setAttribute("role", "tab");
    button.addEventListener("click", () => { wanted = name; keep = null; load(); });
    return button;
  });
  at("strategies").replaceChildren(...(buttons.length > 1 ? buttons : []));
}

async function update() {
  const state = await (await fetch("/state")).json();
  const is_new = state.version !== shown.version && !state.stale;
  shown = state;
  at("summary").textContent = state.summary;
  // Markup that dagc made and escaped; the page's policy runs no script that might be in it.
  at("problems").innerHTML = state.problems;
  at("problems").hidden = !state.problems;
  at("stale").hidden = !state.stale;
  document.body.classList.toggle("failed", Boolean(state.problems));
  document.body.classList.toggle("stale", state.stale);
  document.body.dataset.version = state.version;
  if (is_new) {
    remember();
    strategies();
    load();
  }
}

const events = new EventSource("/events");
events.addEventListener("message", () => { document.body.classList.remove("gone"); update(); });
events.addEventListener("error", () => {
  document.body.classList.add("gone");
  at("summary").textContent = "dagc watch has ended, or cannot be reached";
});
