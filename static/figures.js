/* Figures. Everything is said by attributes:

   data-figure="URL"        the figure's address; URL.json draws it, URL.csv downloads it, URL.html
                            is its table. It is drawn when it comes into view.
   data-figure-fixed="a=b"  parameters that no control changes
   data-figure-live="NAME"  draw again, at most once a second, whenever the event NAME reaches the
                            document
   data-figure-marks="CSS"  boxes (input[type=checkbox], value = component) whose cells are outlined
                            while they are checked; a click on a cell checks or unchecks its box
   inside:  [data-plot] [data-caption] [data-note] [data-csv] [data-save=png|svg] [data-table]
            [data-controls] (inputs and selects, their names are parameters)
   data-toggles="CSS"       a button that checks, or unchecks, all boxes of its form it selects

   The state of the controls is kept in the page's address as FIGURE.PARAMETER=VALUE. */

(() => {
if (window.letheFigures) return; // the file may be named by a page and by a part of it
window.letheFigures = true;

const LIVE_MS = 1000;
const drawings = new WeakMap(); // figure -> what was drawn last
const busy = new WeakMap(); // figure -> AbortController of the request under way
let loading = null;

function plotly() {
  if (window.Plotly) loading ??= Promise.resolve(window.Plotly); // it stands in the same file
  loading ??= (async () => {
    const { plotly: script, plotlyStyles: styles } = document.querySelector("[data-plotly]").dataset;
    keepToPolicy();
    // Plotly writes no style element of its own where one of this name and class is there.
    const sheet = { rel: "stylesheet", href: styles, id: "plotly.js-style-global", className: "no-inline-styles" };
    await Promise.all([brought("link", sheet), brought("script", { src: script })]);
    return window.Plotly;
  })();
  loading.catch(() => { loading = null; });
  return loading;
}

function brought(kind, properties) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(kind), properties);
    element.onload = resolve;
    element.onerror = () => {
      element.remove();
      reject(new Error("the drawing library did not load"));
    };
    document.head.append(element);
  });
}

/* The page's policy takes no style attribute, as Plotly gives pictures and rich text; the same set
   as properties it takes. The element of this name stands for the styles of maps, which are none. */
const STYLES_OF_MAPS = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";
function keepToPolicy() {
  if (document.getElementById(STYLES_OF_MAPS)) return;
  document.head.append(Object.assign(document.createElement("meta"), { id: STYLES_OF_MAPS }));
  const { setAttribute } = Element.prototype;
  SVGElement.prototype.setAttribute = function (name, value) {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");

/* Addresses */

const keyOf = (figure) => figure.dataset.figure.split("/").pop();

function parameters(figure) {
  const asked = new URLSearchParams(figure.dataset.figureFixed ?? "");
  for (const input of figure.querySelectorAll("[data-controls] [name]")) {
    const isOn = input.type !== "checkbox" || input.checked;
    if (isOn && input.value !== "") asked.set(input.name, input.value);
  }
  return asked;
}

function address(figure, ending) {
  const query = parameters(figure).toString();
  return `${figure.dataset.figure}.${ending}${query ? `?${query}` : ""}`;
}

function readState(figure) {
  const state = new URLSearchParams(location.search);
  for (const input of figure.querySelectorAll("[data-controls] [name]")) {
    const value = state.get(`${keyOf(figure)}.${input.name}`);
    if (value === null) continue;
    if (input.type === "checkbox") input.checked = value === input.value;
    else if ([...input.options].some((option) => option.value === value)) input.value = value;
  }
}

function writeState(figure, input) {
  const url = new URL(location.href);
  const name = `${keyOf(figure)}.${input.name}`;
  const isDefault =
    input.type === "checkbox" ? !input.checked : input.selectedIndex === 0;
  if (isDefault) url.searchParams.delete(name);
  else url.searchParams.set(name, input.value);
  history.replaceState(history.state, "", url);
}

/* Drawing */

async function draw(figure) {
  busy.get(figure)?.abort();
  const request = new AbortController();
  busy.set(figure, request);
  figure.setAttribute("aria-busy", "true");
  try {
    const [Plotly, drawing] = await Promise.all([plotly(), fetched(figure, request.signal)]);
    if (drawing && figure.isConnected) {
      drawings.set(figure, drawing);
      await show(figure, Plotly);
      describe(figure, drawing);
    }
    say(figure, "");
  } catch (error) {
    if (error.name === "AbortError") return;
    say(figure, `The figure could not be drawn: ${error.message}`);
  }
  figure.removeAttribute("aria-busy");
}

/* What is drawn: put into the page where there is no server to ask, else asked from it. */
async function fetched(figure, signal) {
  const given = figure.querySelector("[data-drawing]");
  if (given) return JSON.parse(given.textContent);
  if (location.protocol === "file:") return null;
  const answer = await fetch(address(figure, "json"), {
    signal,
    headers: { Accept: "application/json" },
  });
  const drawing = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(drawing.detail.map((problem) => problem.message).join(" "));
  return drawing;
}

async function show(figure, Plotly) {
  const drawing = drawings.get(figure);
  const plot = figure.querySelector("[data-plot]");
  plot.style.minWidth = drawing.min_width ? `${drawing.min_width}px` : "";
  plot.style.maxWidth = drawing.max_width ? `${drawing.max_width}px` : "";
  plot.style.height = plot.style.minHeight = `${drawing.layout.height}px`;
  await Plotly.react(plot, drawing.data, themed(figure, drawing), drawing.config);
  if (!plot.dataset.listens) {
    plot.dataset.listens = "true";
    plot.on("plotly_click", (event) => clicked(figure, event.points[0]));
  }
}

const variables = { ink: "--figure-ink", faint: "--figure-grid", ground: "--figure-paper" };

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    Object.entries(variables).map(([name, variable]) => [name, style.getPropertyValue(variable).trim()]),
  );
}

function themed(figure, drawing) {
  const { lines, scales } = drawing.themes[theme()];
  const { ink, faint, ground } = colours();
  const layout = structuredClone(drawing.layout);
  layout.paper_bgcolor = "rgba(0,0,0,0)";
  layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.colorway = lines;
  layout.font = { family: getComputedStyle(figure).fontFamily, size: 12, color: ink };
  layout.hoverlabel = { bgcolor: ground, bordercolor: ink, font: { color: ink, size: 13 }, align: "left" };
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    Object.assign(layout[axis], { gridcolor: faint, zerolinecolor: faint, linecolor: faint, tickcolor: faint });
  }
  for (const [axis, scale] of Object.entries(scales)) layout[axis].colorscale = scale;
  for (const shape of layout.shapes ?? []) {
    if (shape.name === "marked") shape.fillcolor = faint;
    else shape.line.color = ink;
  }
  layout.shapes = [...(layout.shapes ?? []), ...marks(figure, drawing, ink)];
  return layout;
}

function describe(figure, drawing) {
  const caption = figure.querySelector("[data-caption]");
  if (caption) caption.textContent = drawing.caption;
  const plot = figure.querySelector("[data-plot]");
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${drawing.title}. The same numbers are in the table below.`);
  figure.querySelector("[data-csv]")?.setAttribute("href", address(figure, "csv"));
  const table = figure.querySelector("[data-table]");
  if (table?.open) fillTable(figure, table);
}

function say(figure, sentence) {
  const note = figure.querySelector("[data-note]");
  if (note) {
    note.textContent = sentence;
    note.hidden = !sentence;
  }
}

async function fillTable(figure, details) {
  if (figure.querySelector("[data-drawing]")) return; // the table stands there already
  const place = details.querySelector("[data-rows]");
  try {
    const answer = await fetch(address(figure, "html"));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    place.innerHTML = answer.status === 204 ? "" : await answer.text();
  } catch (error) {
    place.textContent = `The table could not be read: ${error.message}`;
  }
}

async function save(figure, format) {
  const drawing = drawings.get(figure);
  if (!drawing) return;
  const Plotly = await plotly();
  const layout = themed(figure, drawing);
  const { ground } = colours();
  Object.assign(layout, { paper_bgcolor: ground, plot_bgcolor: ground });
  layout.title = { text: drawing.title, x: 0.02, xanchor: "left", font: { size: 15 } };
  layout.margin = { ...layout.margin, t: (layout.margin?.t ?? 0) + 60 };
  const width = figure.querySelector("[data-plot]").clientWidth;
  await Plotly.downloadImage(
    { data: drawing.data, layout: { ...layout, width, height: layout.height + 60 } },
    { format, filename: keyOf(figure), width, height: layout.height + 60, scale: format === "png" ? 2 : 1 },
  );
}

/* Components: outlines of the checked boxes' cells, and clicks on cells */

const boxes = (figure) =>
  figure.dataset.figureMarks
    ? [...document.querySelectorAll(`${figure.dataset.figureMarks} input[type=checkbox]`)]
    : [];

function marks(figure, drawing, ink) {
  const chosen = new Set(boxes(figure).filter((box) => box.checked).map((box) => box.value));
  const shapes = [];
  for (const trace of chosen.size ? drawing.data : []) {
    (trace.customdata ?? []).forEach((row, y) =>
      row.forEach((name, x) => {
        if (!chosen.has(name)) return;
        const inside = { x0: x - 0.48, x1: x + 0.48, y0: y - 0.46, y1: y + 0.46 };
        shapes.push({ type: "rect", name: `mask ${name}`, line: { width: 2.5, color: ink }, ...inside });
      }),
    );
  }
  return shapes;
}

async function mark(figure) {
  const drawing = drawings.get(figure);
  if (!drawing) return;
  const Plotly = await plotly();
  const plot = figure.querySelector("[data-plot]");
  const { shapes } = themed(figure, drawing);
  const names = (some) => JSON.stringify((some ?? []).map((shape) => shape.name));
  // A relayout without need would swallow a click that is under way.
  if (names(shapes) !== names(plot.layout?.shapes)) await Plotly.relayout(plot, { shapes });
}

function clicked(figure, point) {
  const box = boxes(figure).find((one) => one.value === point.customdata);
  if (!box) return;
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

function toggleAll(button) {
  const form = button.closest("form");
  const chosen = [...form.querySelectorAll(button.dataset.toggles)];
  const isOn = chosen.every((box) => box.checked);
  for (const box of chosen) box.checked = !isOn;
  chosen[0]?.dispatchEvent(new Event("change", { bubbles: true }));
}

/* Life: coming into view, leaving the page, themes, live events */

const figures = () => document.querySelectorAll("[data-figure]");

const inView = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      inView.unobserve(target);
      target.dataset.figureSeen = "true";
      draw(target);
    }
  },
  { rootMargin: "200px" },
);

function meet(root) {
  if (!(root instanceof Element)) return;
  const found = [...root.querySelectorAll("[data-figure]")];
  if (root.matches("[data-figure]")) found.push(root);
  for (const figure of found) {
    if (figure.dataset.figureMet) continue;
    figure.dataset.figureMet = "true";
    readState(figure);
    // What is known of its height is kept free, so that nothing below moves when it is drawn.
    const plot = figure.querySelector("[data-height]");
    if (plot) plot.style.minHeight = `${plot.dataset.height}px`;
    inView.observe(figure);
    if (figure.dataset.figureLive) live(figure);
  }
}

function leave(root) {
  if (!(root instanceof Element) || root.isConnected) return;
  const plots = [...root.querySelectorAll("[data-plot]")];
  if (root.matches("[data-plot]")) plots.push(root);
  for (const plot of plots) if (plot.data) window.Plotly?.purge(plot);
}

function live(figure) {
  let waits = false;
  const again = () => {
    if (!figure.isConnected) {
      document.removeEventListener(figure.dataset.figureLive, again, true);
      return;
    }
    if (waits || !figure.dataset.figureSeen) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      if (figure.isConnected) draw(figure);
    }, LIVE_MS);
  };
  document.addEventListener(figure.dataset.figureLive, again, true);
}

let remarking = false;
function remark() {
  if (remarking) return;
  remarking = true;
  requestAnimationFrame(() => {
    remarking = false;
    for (const figure of figures()) if (figure.dataset.figureMarks) mark(figure);
  });
}

async function redraw() {
  if (!loading) return;
  const Plotly = await plotly();
  for (const figure of figures()) if (drawings.has(figure)) await show(figure, Plotly);
}

document.addEventListener("change", (event) => {
  const figure = event.target.closest("[data-controls]")?.closest("[data-figure]");
  if (figure) {
    writeState(figure, event.target);
    draw(figure);
  }
  if (event.target.matches("input[type=checkbox]")) remark();
});
/* Paper shows what is folded on the screen, and figures that never came into view */
let unfolded = [];
function unfold() {
  unfolded = [...document.querySelectorAll("main details:not([open])")];
  for (const part of unfolded) part.open = true;
  return Promise.all([...figures()].filter((figure) => !drawings.has(figure)).map(draw));
}
addEventListener("beforeprint", () => unfolded.length || unfold());
addEventListener("afterprint", () => {
  for (const part of unfolded) part.open = false;
  unfolded = [];
});
document.addEventListener("click", async (event) => {
  if (!event.target.closest?.("[data-print]")) return;
  await unfold();
  print();
});

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-controls]")) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-save], [data-toggles]");
  if (button?.dataset.save) save(button.closest("[data-figure]"), button.dataset.save);
  else if (button) toggleAll(button);
});
document.addEventListener(
  "toggle",
  (event) => {
    const figure = event.target.closest?.("[data-figure]");
    if (figure && event.target.matches("[data-table]") && event.target.open) {
      fillTable(figure, event.target);
    }
  },
  true,
);
new MutationObserver((changes) => {
  for (const { addedNodes, removedNodes } of changes) {
    addedNodes.forEach(meet);
    removedNodes.forEach(leave);
  }
  if (changes.some(({ target }) => target instanceof Element && !target.closest("[data-plot]"))) remark();
}).observe(document.body, { childList: true, subtree: true });
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
meet(document.body);
})();
