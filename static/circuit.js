/* The circuit's canvas on Explore. What it shows is the page's address, as in explore.js.

   data-canvas            a drawing; arrows move between its nodes, Enter or a click chooses one,
                          with Shift more, Escape none; a click on an edge opens it
   data-prune="1,2,5"     a slider over these numbers of edges: edges go as it moves, and what is
                          left is run when it rests
   data-group             a form that names the chosen nodes
   data-saves             a form that is sent with the page's address; data-link copies the address
   data-undo              takes back the last change of size, pins, hidden nodes and groups */

(() => {
if (window.letheCircuit) return;
window.letheCircuit = true;

const { change, pause, refresh, state, undo, announce } = window.letheExplore;
const listed = (name) => (state().get(name) ?? "").split(",").filter(Boolean);

/* Nodes: what is chosen is what the views above show. */

function choose(dot, more) {
  const own = dot.dataset.node.split(",");
  const before = listed("nodes");
  const has = own.every((one) => before.includes(one));
  let after = own;
  if (more) after = has ? before.filter((one) => !own.includes(one)) : [...before, ...own];
  else if (has && before.length === own.length) after = [];
  const parts = [["nodes", after.join(",")]];
  const [layer, kind] = dot.dataset.node.split(".");
  if (after.length && own.length === 1 && kind) parts.push(...selected(layer, kind));
  change(parts);
  announce(`${dot.getAttribute("aria-label")}${after.includes(own[0]) ? ", chosen" : ", not chosen"}`);
}

/* A layer at the token that is looked at; of an attention its head with the largest number too. */
function selected(layer, kind) {
  const tokens = document.querySelectorAll("#predictions [data-chips]:first-of-type .token").length;
  const token = (state().get("at") ?? "").split(".")[1] ?? (tokens ? String(tokens - 1) : "");
  const parts = token ? [["at", `${layer}.${token}`]] : [];
  if (kind !== "attn") return parts;
  const size = (cell) => Math.abs(Number(cell.dataset.value.replace("−", "-"))) || 0;
  const heads = [...document.querySelectorAll(`#heads [data-grid] [data-at^="${layer}."]`)];
  const most = heads.sort((a, b) => size(b) - size(a))[0];
  return most ? [...parts, ["head", most.dataset.at], ["query", ""]] : parts;
}

const place = (dot) => {
  const [, x, y] = dot.getAttribute("transform").match(/translate\(([-\d.]+) ([-\d.]+)\)/);
  return [Number(x), Number(y)];
};
const dotsOf = (canvas) => [...canvas.querySelectorAll("[data-node]:not(.off)")];

/* The nearest node on one side: right and left along the layers, up and down across the rows. */
function beside(dot, key) {
  const [x, y] = place(dot);
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const found = dotsOf(dot.closest("[data-canvas]"))
    .map((one) => [one, place(one)])
    .filter(([one, [u, v]]) => one !== dot && (dx ? (u - x) * dx > 0.5 : (v - y) * dy > 0.5));
  const far = ([, [u, v]]) => (dx ? Math.abs(u - x) + 0.4 * Math.abs(v - y) : Math.abs(u - x) + 0.1 * Math.abs(v - y));
  return found.sort((a, b) => far(a) - far(b))[0]?.[0];
}

/* The edges of the node under the pointer, or with the focus, stand out. */
function light(dot) {
  for (const arc of document.querySelectorAll(".arc.lit")) arc.classList.remove("lit");
  for (const canvas of document.querySelectorAll("[data-canvas].lights")) canvas.classList.remove("lights");
  const canvas = dot?.closest("[data-canvas]");
  if (!canvas) return;
  canvas.classList.add("lights");
  for (const arc of canvas.querySelectorAll(".arc"))
    if ([arc.dataset.from, arc.dataset.to].includes(dot.dataset.name)) arc.classList.add("lit");
}

document.addEventListener("click", (event) => {
  const dot = event.target.closest?.("[data-node]");
  if (dot) {
    dot.focus({ preventScroll: true });
    return choose(dot, event.shiftKey);
  }
  const arc = event.target.closest?.("[data-edge]");
  if (arc) return change([["edge", arc.dataset.edge]]);
  if (event.target.closest?.("[data-undo]")) undo();
});
document.addEventListener("keydown", (event) => {
  const dot = event.target.closest?.("[data-node]");
  if (!dot || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(dot, event.shiftKey);
  } else if (event.key === "Escape") {
    change([["nodes", ""], ["edge", ""]]);
  } else if (/^Arrow/.test(event.key)) {
    event.preventDefault();
    const next = beside(dot, event.key);
    if (!next) return;
    dot.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }
});
for (const [type, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(type, (event) => {
    const dot = event.target.closest?.("[data-node]");
    if (dot) light(dot);
  });
  document.addEventListener(leave, (event) => {
    if (event.target.closest?.("[data-node]")) light(null);
  });
}

/* The slider */

const sizeOf = (slider) => Number(slider.dataset.prune.split(",")[slider.value]);

function prune(slider) {
  const size = sizeOf(slider);
  const view = slider.closest("[data-place]");
  const words = size.toLocaleString("en");
  view.querySelector("#circuit-kept").textContent = words;
  slider.setAttribute("aria-valuetext", `${words} edges`);
  for (const canvas of view.querySelectorAll("[data-canvas]")) {
    const reached = new Set(["input", "logits"]);
    for (const arc of canvas.querySelectorAll(".arc")) {
      const is = Number(arc.dataset.rank) < size;
      arc.classList.toggle("off", !is);
      if (is) reached.add(arc.dataset.from).add(arc.dataset.to);
    }
    for (const dot of canvas.querySelectorAll(".dot:not(.pinned)"))
      dot.classList.toggle("off", !reached.has(dot.dataset.name));
  }
  const curve = view.querySelector("[data-curve]");
  const [left, right, n] = curve.dataset.curve.split(",").map(Number);
  const x = left + ((right - left) * Math.log(size)) / Math.log(Math.max(n, 2));
  for (const end of ["x1", "x2"]) curve.querySelector(".cursor").setAttribute(end, x);
  for (const share of view.querySelectorAll("[data-exact]")) share.textContent = "…";
  pause(view.closest("[data-view]"));
}

document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-prune]")) prune(event.target);
});
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-prune]")) change([["size", String(sizeOf(event.target))]]);
});
// Drawn back to where it was, a slider tells no change.
for (const rests of ["pointerup", "keyup"])
  document.addEventListener(rests, () => { setTimeout(refresh); });

/* Groups; a new one takes its nodes out of the older. */

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-group]")) return;
  event.preventDefault();
  const name = String(new FormData(event.target).get("name")).trim();
  const nodes = listed("nodes");
  if (!name || !nodes.length) return;
  const written = encodeURIComponent(name).replaceAll("-", "%2D");
  const groups = [`${written}=${nodes.join(",")}`, state().get("groups")].filter(Boolean);
  change([["groups", groups.join(";")], ["nodes", ""]]);
});

/* The address is what is saved and shared; at the end of it stands the view. */

document.addEventListener("formdata", (event) => {
  if (event.target.matches("[data-saves]")) event.formData.set("query", state().toString());
});
document.addEventListener("click", async (event) => {
  if (!event.target.closest?.("[data-link]")) return;
  const link = new URL(location.href);
  link.hash = "circuit";
  try {
    await navigator.clipboard.writeText(link.href);
    announce("The link is copied");
    event.target.textContent = "Copied";
  } catch {
    event.target.textContent = "The address bar holds the link"; // no access to the clipboard
  }
});

/* After every change and every answer. */

function mark() {
  const open = state().get("edge");
  for (const arc of document.querySelectorAll("[data-edge]"))
    arc.classList.toggle("open", arc.dataset.edge === open);
  for (const canvas of document.querySelectorAll("[data-canvas]")) {
    const dots = dotsOf(canvas);
    if (dots.some((one) => one.getAttribute("tabindex") === "0")) continue;
    const first = dots.find((one) => one.getAttribute("aria-pressed") === "true") ?? dots[0];
    first?.setAttribute("tabindex", "0");
  }
  for (const button of document.querySelectorAll("[data-undo]")) button.hidden = !history.state?.undo?.length;
}
document.addEventListener("explore:marked", mark);
})();
