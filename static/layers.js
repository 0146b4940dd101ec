/* The layer choice of fact lookup: a frame on the figure that can be dragged, two sliders and the
   mask's boxes say the same.

   data-layers             holds the figure, the sliders and a button
   data-boxes="CSS"        holds the boxes (value = component) that are checked for chosen MLPs
   [data-layer=first|last] the sliders      [data-layers-rule] back to data-rule-first and -last */

(() => {
if (window.letheLayers) return; // the file may be named by a page and by a part of it
window.letheLayers = true;

const slider = (choice, part) => choice.querySelector(`[data-layer=${part}]`);
const span = (choice) => ["first", "last"].map((part) => Number(slider(choice, part).value));
let waiting = 0, framing = 0;
let placing = false, held = false; // the frame is being put back; a mouse button is down


function choose(choice, first, last) {
  const most = Number(slider(choice, "last").max);
  const clip = (layer) => Math.min(most, Math.max(0, Math.round(layer)));
  const [low, high] = [clip(Math.min(first, last)), clip(Math.max(first, last))];
  for (const [part, value] of [["first", low], ["last", high]]) {
    const input = slider(choice, part);
    input.value = value;
    choice.querySelector(`output[for="${input.id}"]`).textContent = value;
  }
  frame(choice);
  clearTimeout(waiting);
  waiting = setTimeout(() => check(choice), 80);
}

/* The mask: the MLPs of these layers and nothing else. */
function check(choice) {
  const [first, last] = span(choice);
  const boxes = [...document.querySelectorAll(`${choice.dataset.boxes} input[type=checkbox]`)];
  for (const box of boxes) {
    const [, layer, ...kind] = box.value.split(".");
    box.checked = kind.join(".") === "mlp" && layer >= first && layer <= last;
  }
  boxes[0]?.dispatchEvent(new Event("change", { bubbles: true }));
}

/* The frame on the figure, which a new theme or a drag may have put elsewhere. */
function frame(choice) {
  const plot = choice.querySelector("[data-plot]");
  const shapes = plot.layout?.shapes ?? [];
  const i = shapes.findIndex((shape) => shape.name === "chosen");
  if (i < 0) return;
  const [first, last] = span(choice);
  const wanted = { x0: first - 0.5, x1: last + 0.5, y0: 0, y1: 1 };
  const moved = Object.entries(wanted).filter(([key, v]) => Math.abs(shapes[i][key] - v) > 1e-6);
  if (!moved.length || placing) return;
  placing = true;
  const change = Object.fromEntries(moved.map(([key, v]) => [`shapes[${i}].${key}`, v]));
  window.Plotly.relayout(plot, change).finally(() => { placing = false; });
}

/* Later, and not while a button is held: a plot that is changed while it is dragged never rests. */
function frameSoon(choice) {
  clearTimeout(framing);
  framing = setTimeout(() => (held ? frameSoon(choice) : frame(choice)), 120);
}

/* What the event says counts: by then the frame may have been put back already. */
function dragged(choice, change) {
  const place = Object.keys(change).map((key) => key.match(/^shapes\[(\d+)\]\./)?.[1]).find(Boolean);
  const shapes = choice.querySelector("[data-plot]").layout.shapes;
  if (place === undefined || shapes[Number(place)]?.name !== "chosen") return;
  const [first, last] = span(choice);
  const ends = [change[`shapes[${place}].x0`] ?? first - 0.5, change[`shapes[${place}].x1`] ?? last + 0.5];
  const [low, high] = [Math.round(Math.min(...ends) + 0.5), Math.round(Math.max(...ends) - 0.5)];
  if (low === first && high === last) frameSoon(choice);
  else choose(choice, low, Math.max(low, high));
}

/* A figure listens once it is drawn. */
new MutationObserver(() => {
  for (const choice of document.querySelectorAll("[data-layers]")) {
    const plot = choice.querySelector("[data-plot]");
    if (!plot?.on || choice.dataset.layersListen) continue;
    choice.dataset.layersListen = "true";
    plot.on("plotly_relayout", (change) => placing || setTimeout(() => dragged(choice, change)));
    plot.on("plotly_afterplot", () => placing || frameSoon(choice));
  }
}).observe(document.body, { childList: true, subtree: true });

for (const [kind, value] of [["pointerdown", true], ["pointerup", false], ["pointercancel", false]])
  document.addEventListener(kind, () => { held = value; }, true);
document.addEventListener("input", (event) => {
  const choice = event.target.matches?.("[data-layer]") && event.target.closest("[data-layers]");
  if (!choice) return;
  const [first, last] = span(choice);
  const isFirst = event.target.dataset.layer === "first";
  choose(choice, isFirst ? first : Math.min(first, last), isFirst ? Math.max(first, last) : last);
});
document.addEventListener("click", (event) => {
  const choice = event.target.closest?.("[data-layers-rule]")?.closest("[data-layers]");
  if (choice) choose(choice, Number(choice.dataset.ruleFirst), Number(choice.dataset.ruleLast));
});
})();
