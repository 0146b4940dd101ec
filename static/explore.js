/* Explore. The page's state is its address; every view says which parts of it it needs.

   data-view="URL" data-needs="a b"  loaded into its [data-place] when it comes into view, and again
                                     when one of those parts of the address changes; as it is
                                     computed, a JSON string of HTML in each line, or an object
                                     whose `waiting` is told in its [data-waits]
   data-last                         of a view: is loaded when no other is under way
   data-set="a=1&b="                 a click changes these parts of the address (empty: takes out)
   data-param="a"                    a select or box whose value is a part of the address
   data-grid="select|patch|head|query"  a table whose cells (data-at) arrows reach; Enter or a click
                                     chooses, with Shift more than one, Escape clears
   data-chips                        tokens that are dragged over to mark the subject
   data-switch                       a form that adds an intervention to the address
   data-again                        asks its view once more */

(() => {
if (window.letheExplore) return;
window.letheExplore = true;

const busy = new WeakMap(); // view -> AbortController of the request under way
const drawn = new WeakMap(); // view -> what it was asked with
const tab = crypto.randomUUID?.() ?? String(Math.random()); // newer questions of a tab end older ones
const announce = (words) => { document.getElementById("said").textContent = words; };
const state = () => new URLSearchParams(location.search);
const tip = () => document.getElementById("explore-tip");

/* Views */

function asked(view) {
  const all = state();
  const some = new URLSearchParams();
  for (const name of view.dataset.needs.split(" ")) if (all.get(name)) some.set(name, all.get(name));
  return some.toString();
}

async function load(view) {
  busy.get(view)?.abort();
  const request = new AbortController();
  busy.set(view, request);
  const query = asked(view);
  drawn.set(view, query);
  view.setAttribute("aria-busy", "true");
  try {
    while (view.matches("[data-last]") && document.querySelector(OTHERS_BUSY)) await loaded();
    request.signal.throwIfAborted();
    await paint(view, query, request.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    const note = document.createElement("p");
    note.className = "error";
    note.setAttribute("role", "alert");
    note.textContent = `This could not be asked: ${error.message}.`;
    view.querySelector("[data-place]").replaceChildren(note);
  }
  if (busy.get(view) !== request) return;
  waits(view, "");
  view.removeAttribute("aria-busy");
  document.dispatchEvent(new Event("explore:loaded"));
}

const OTHERS_BUSY = '[data-view][aria-busy="true"]:not([data-last])';
const loaded = () => new Promise((done) => document.addEventListener("explore:loaded", done, { once: true }));
const waits = (view, words) => { view.querySelector("[data-waits]").textContent = words; };

async function paint(view, query, signal) {
  const answer = await fetch(`${view.dataset.view}?${query}`, {
    signal,
    headers: { "HX-Request": "true", "X-Tab": tab },
  });
  if (answer.redirected) throw new Error("the session has ended; load the page again");
  if (!answer.headers.get("content-type").includes("ndjson")) return fill(view, await answer.text());
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", done = false; !done; ) {
    const read = await reader.read();
    done = read.done;
    const lines = (rest + (read.value ?? "")).split("\n");
    rest = lines.pop();
    for (const one of lines.map((text) => JSON.parse(text))) {
      if (one.waiting) waits(view, one.waiting);
      else { waits(view, ""); fill(view, one); }
    }
  }
}

/* What is found again after an answer has replaced it. */
const HELD = [
  ["[data-at]", (one) => one.dataset.at],
  ["[data-node]", (one) => one.dataset.node],
  ["[id]", (one) => one.id],
  ["[data-set]", (one) => one.dataset.set],
];
const SCROLLED = ".grid-scroll, .canvas-scroll";
const lost = new WeakMap(); // view -> what had the focus and is not in the part that came: [selector, name, key]

/* What has the focus in a view, or had it until an answer's first part came without it. */
function focused(view) {
  const here = document.activeElement;
  if (!view.contains(here)) return here === document.body ? lost.get(view) : null;
  const how = HELD.find(([, name]) => name(here));
  return how && [...how, how[1](here)];
}

function fill(view, text) {
  const held = focused(view);
  const place = view.querySelector("[data-place]");
  const scrolls = [...place.querySelectorAll(SCROLLED)].map((one) => one.scrollLeft);
  const opened = [...place.querySelectorAll("details")].map((one) => one.open);
  place.innerHTML = text;
  window.htmx?.process(place);
  place.querySelectorAll(SCROLLED).forEach((one, i) => { one.scrollLeft = scrolls[i] ?? 0; });
  const folds = [...place.querySelectorAll("details")];
  if (folds.length === opened.length) folds.forEach((one, i) => { one.open ||= opened[i]; });
  const again = held && [...place.querySelectorAll(held[0])].find((one) => held[1](one) === held[2]);
  again?.focus({ preventScroll: true });
  lost.set(view, again ? null : held);
  mark();
}

const inView = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      inView.unobserve(target);
      load(target);
    }
  },
  { rootMargin: "200px" },
);

function meet() {
  for (const view of document.querySelectorAll("[data-view]:not([data-met])")) {
    view.dataset.met = "true";
    inView.observe(view);
  }
}

function refresh() {
  for (const view of document.querySelectorAll("[data-view]"))
    if (drawn.has(view) && drawn.get(view) !== asked(view)) load(view);
  mark();
}

/* While a hand is on a view, no answer may replace what it holds; it is asked again by refresh(). */
function pause(view) {
  busy.get(view)?.abort();
  drawn.set(view, null);
}

/* `undone`: the changes of a circuit's canvas that lie before, where the last is taken back. */
function change(parts, keep = false, undone = null) {
  const url = new URL(location.href);
  const before = DRAWN.map((name) => [name, state().get(name) ?? ""]);
  for (const [name, value] of parts) value ? url.searchParams.set(name, value) : url.searchParams.delete(name);
  if (url.href === location.href) return;
  const known = history.state?.undo ?? [];
  const is = before.some(([name, value]) => (url.searchParams.get(name) ?? "") !== value);
  const after = undone ?? (is ? [...known, before].slice(-50) : known);
  history[keep ? "replaceState" : "pushState"]({ explore: true, undo: after }, "", url);
  toForm();
  refresh();
}

const DRAWN = ["size", "pin", "hide", "groups"];
function undo() {
  const known = history.state?.undo ?? [];
  if (known.length) change(known.at(-1), false, known.slice(0, -1));
}

/* The form and the choosers say what the address says. */
function toForm() {
  const all = state();
  for (const input of document.querySelectorAll("[data-explore-form] [name]")) {
    if (input.name === "set" || input.name === "fact") continue;
    if (input.type === "checkbox") input.checked = all.get(input.name) === input.value;
    else if (input.value !== (all.get(input.name) ?? "") && (all.has(input.name) || input.name !== "model"))
      input.value = all.get(input.name) ?? "";
  }
  for (const input of document.querySelectorAll("[data-param]")) {
    const value = all.get(input.dataset.param);
    if (input.type === "checkbox") input.checked = value === input.value;
    else if (input.tagName === "SELECT" && value === null) input.selectedIndex = 0;
    else input.value = value ?? "";
  }
}

/* Grids: one cell of each can be reached with Tab, the others with the arrow keys. */

const paramOf = (grid) => ({ select: "at", head: "head", query: "query" })[grid.dataset.grid];
const chosenCells = () => (state().get("cells") ?? "").split(",").filter(Boolean);
const nameOf = (cell) => {
  const prefix = cell.closest("[data-grid]").dataset.prefix;
  return prefix ? `${prefix}.${cell.dataset.at}` : cell.dataset.at;
};

function mark() {
  const chosen = state();
  const at = chosen.get("at");
  const cells = new Set(chosenCells());
  for (const grid of document.querySelectorAll("[data-grid]")) {
    const patches = grid.dataset.grid === "patch";
    let first = null;
    for (const cell of grid.querySelectorAll("[data-at]")) {
      const is = patches ? cells.has(nameOf(cell)) : cell.dataset.at === chosen.get(paramOf(grid));
      const beside = patches && grid.dataset.prefix !== "head" && cell.dataset.at === at;
      if (is) cell.setAttribute("aria-selected", "true");
      else cell.removeAttribute("aria-selected");
      cell.classList.toggle("here", beside);
      if ((is || beside) && !first) first = cell;
      cell.tabIndex = -1;
    }
    (first ?? grid.querySelector("[data-at]"))?.setAttribute("tabindex", "0");
    if (grid.dataset.grid === "query") hold(grid, first);
  }
  document.dispatchEvent(new Event("explore:marked"));
}

/* The row of a pattern that is held, in words. */
function hold(grid, cell) {
  const note = grid.closest("[data-place]").querySelector("[data-held]");
  if (!note || grid !== note.parentElement.querySelector("[data-grid]")) return;
  const row = cell && rowOf(cell);
  note.textContent = cell ? `${row} looks at: ${tipOf(cell).split("\n").join(" · ")}` : "";
}

const tipOf = (cell) => cell.dataset.tip ?? cell.parentElement.dataset.tip ?? "";
const rowOf = (cell) =>
  [...cell.closest("tr").querySelector("th").children].map((one) => one.textContent).join(" ").trim();

function words(cell) {
  const head = cell.closest("table").tHead.rows[0].cells[cell.cellIndex];
  const corner = cell.closest("table").tHead.rows[0].cells[0].textContent;
  const along = { layer: "head", "looks from": "at" }[corner] ?? "layer";
  return `${corner} ${rowOf(cell)}, ${along} ${head.textContent}: ${cell.textContent}${cell.textContent === cell.dataset.value ? "" : `, ${cell.dataset.value}`}`;
}

function choose(cell, more) {
  const grid = cell.closest("[data-grid]");
  if (grid.dataset.grid !== "patch") return change([[paramOf(grid), cell.dataset.at]]);
  const name = nameOf(cell);
  const before = chosenCells();
  const after = !more ? [name] : before.includes(name) ? before.filter((one) => one !== name) : [...before, name];
  const at = grid.dataset.prefix === "head" ? [] : [["at", cell.dataset.at]];
  change([["cells", after.join(",")], ...at]);
}

function walk(cell, key) {
  const row = cell.parentElement;
  const table = cell.closest("table");
  const rows = [...table.tBodies[0].rows];
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
  const place = rows.indexOf(row);
  if (key === "Home") return row.cells[1];
  if (key === "End") return row.cells[row.cells.length - 1];
  return rows[place + step[0]]?.cells[cell.cellIndex + step[1]];
}

document.addEventListener("keydown", (event) => {
  const cell = event.target.closest?.("[data-grid] [data-at]");
  if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(cell, event.shiftKey);
  } else if (event.key === "Escape") {
    change([["cells", ""], ["at", ""], ["query", ""]]);
    hide();
  } else if (/^(Arrow|Home$|End$)/.test(event.key)) {
    event.preventDefault();
    const next = walk(cell, event.key);
    if (!next?.dataset.at) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
});

/* What a cell holds, beside it: on hover and on focus. */

function show(cell) {
  const note = tip();
  if (!note) return;
  note.replaceChildren();
  const head = document.createElement("strong");
  head.textContent = words(cell);
  note.append(head);
  for (const line of tipOf(cell).split("\n").filter(Boolean)) {
    const one = document.createElement("span");
    one.textContent = line;
    note.append(one);
  }
  note.hidden = false;
  const box = cell.getBoundingClientRect();
  const left = Math.min(box.right + 8, innerWidth - note.offsetWidth - 8);
  const below = box.bottom + note.offsetHeight + 8 < innerHeight;
  note.style.left = `${Math.max(8, left)}px`;
  note.style.top = `${below ? box.bottom + 4 : Math.max(8, box.top - note.offsetHeight - 4)}px`;
}
const hide = () => { const note = tip(); if (note) note.hidden = true; };

document.addEventListener("mouseover", (event) => {
  const cell = event.target.closest?.("[data-grid] [data-at]");
  cell ? show(cell) : hide();
});
document.addEventListener("focusin", (event) => {
  const cell = event.target.closest?.("[data-grid] [data-at]");
  if (!cell) return hide();
  cell.setAttribute("aria-label", words(cell));
  if (cell.matches(":focus-visible")) show(cell);
});
document.addEventListener("scroll", hide, true);

/* Clicks and choices */

document.addEventListener("click", (event) => {
  const cell = event.target.closest?.("[data-grid] [data-at]");
  if (cell) {
    cell.focus({ preventScroll: true });
    return choose(cell, event.shiftKey);
  }
  const button = event.target.closest?.("[data-set], [data-again]");
  if (!button) return;
  if (button.matches("[data-again]")) return load(button.closest("[data-view]"));
  change(new URLSearchParams(button.dataset.set));
  if (button.dataset.says) announce(button.dataset.says);
});
document.addEventListener("mousedown", (event) => {
  // Shift and a click would mark the page's text.
  if (event.shiftKey && event.target.closest?.("[data-grid]")) event.preventDefault();
});
document.addEventListener("change", (event) => {
  const input = event.target;
  if (!input.matches?.("[data-param]")) return;
  const isFirst = input.tagName === "SELECT" && input.selectedIndex === 0;
  const value = input.type === "checkbox" ? (input.checked ? input.value : "") : isFirst ? "" : input.value;
  change([[input.dataset.param, value]], true);
});

/* Interventions are added to the address as app/intervening.py reads them. */

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-switch]")) return;
  event.preventDefault();
  const sent = new FormData(event.target);
  const given = (name) => String(sent.get(name) ?? "").trim();
  const [kind, site] = [given("kind"), given("site")];
  let one = `${kind}.${site}.${given("layer")}`;
  if (given("unit")) one += `.${given("unit")}`;
  if (given("token")) one += `@${given("token")}`;
  if (given("factor") && ["scale", "direction"].includes(kind)) one += `*${given("factor")}`;
  if (given("toward")) one += `>${encodeURIComponent(given("toward"))}`;
  change([["on", [state().get("on"), one].filter(Boolean).join(";")]]);
});

/* The subject is marked by dragging over tokens. */

let from = null;
const chips = (one) => [...one.closest("[data-chips]").children];
const between = (a, b) => {
  const all = chips(a);
  const [low, high] = [all.indexOf(a), all.indexOf(b)].sort((x, y) => x - y);
  return all.map((chip, i) => [chip, i >= low && i <= high]);
};
document.addEventListener("pointerdown", (event) => {
  from = event.target.closest?.("[data-chips] .token") ?? null;
  if (from) event.preventDefault();
});
document.addEventListener("pointermove", (event) => {
  const to = from && document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-chips] .token");
  if (to && chips(from).includes(to))
    for (const [chip, is] of between(from, to)) chip.classList.toggle("subject", is);
});
document.addEventListener("pointerup", (event) => {
  if (!from) return;
  const to = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-chips] .token") ?? from;
  const start = from;
  from = null;
  if (!chips(start).includes(to)) return;
  const text = between(start, to).filter(([, is]) => is).map(([chip]) => chip.dataset.text).join("").trim();
  change([["subject", text]]);
  announce(text ? `Subject: ${text}` : "No subject");
});

/* The form is sent without empty fields, and with how the views are looked at. */

const KEPT = ["shade", "after", "which", "map", "metric", "direction", "scale", "of", "by", "weigh", "head", "over", "n_facts"];
document.addEventListener("formdata", (event) => {
  if (!event.target.matches("[data-explore-form]")) return;
  const sent = event.formData;
  const was = state();
  if (sent.get("target") !== (was.get("target") ?? "")) sent.delete("target_ids");
  if (sent.get("distractor") !== (was.get("distractor") ?? "")) sent.delete("distractor_ids");
  for (const [name, value] of [...sent]) if (value === "" && name !== "prompt") sent.delete(name);
  const has = { which: sent.has("corrupted") || sent.has("noise"), head: sent.get("model") === (was.get("model") ?? "demo") };
  for (const name of KEPT) if (was.get(name) && has[name] !== false) sent.set(name, was.get(name));
});
addEventListener("popstate", () => {
  if (!document.querySelector("[data-explore-form]")) return;
  toForm();
  refresh();
});
window.letheExplore = { change, pause, refresh, state, undo, announce };
if (!history.state?.explore) history.replaceState({ explore: true }, "");
meet();
})();
