// The mask editor: what it holds stands in the page's address, and each step can be taken back.
(() => {
const NAMES = ["rule", "value", "only", "signed", "hand", "components"];
const LONGEST = 6000; // characters of an address that servers and mails still carry
const ONE_MOVE = 1000; // milliseconds within which a slider's steps are one
const steps = [];
let present = null;
let changed = 0;

const editor = () => document.getElementById("mask-editor");

function read(form) {
  const isByHand = form.querySelector("#mask-state").hasAttribute("data-by-hand");
  const state = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (name === "components" ? isByHand : NAMES.includes(name)) state.append(name, value);
  }
  if (isByHand) state.set("hand", "1");
  return state;
}

function write(state) {
  const url = new URL(location.href);
  for (const name of NAMES) url.searchParams.delete(name);
  for (const [name, value] of state) url.searchParams.append(name, value);
  if (url.href.length <= LONGEST) history.replaceState(history.state, "", url);
}

const withoutValue = (query) => {
  const state = new URLSearchParams(query);
  state.delete("value");
  return state.toString();
};

function look() {
  const form = editor();
  if (!form?.querySelector("#mask-state")) return;
  const state = read(form);
  const now = state.toString();
  if (present !== null && now !== present) {
    const isSameMove = withoutValue(now) === withoutValue(present) && Date.now() - changed < ONE_MOVE;
    if (!isSameMove) steps.push(present);
    changed = Date.now();
    write(state);
  }
  present = now;
  form.querySelector("[data-undo]").disabled = steps.length === 0;
}

async function undo() {
  const form = editor();
  const before = steps.pop();
  if (before === undefined) return;
  const given = new URLSearchParams(before);
  for (const name of ["localization", "model"]) given.set(name, form.elements[name].value);
  present = before; // what comes back is no step of its own
  write(new URLSearchParams(before));
  await htmx.ajax("GET", `${form.dataset.editor}?${given}`, { target: "#mask-editor", swap: "outerHTML" });
}

document.addEventListener("htmx:after:swap", look);
document.addEventListener("DOMContentLoaded", look);
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-undo]")) undo();
});
})();
