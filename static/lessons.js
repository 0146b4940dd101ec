/* Lessons. In the projector view keys turn the page; cells of a figure that is an answer are reached
   with all four arrow keys; what is said to an answer has the focus when it comes. */

(() => {
if (window.letheLessons) return;
window.letheLessons = true;

const FORWARD = ["ArrowRight", "PageDown", "n"];
const BACK = ["ArrowLeft", "PageUp", "p"];
const isTyping = (target) => target.matches?.("input, select, textarea, [role=grid] *");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") document.activeElement?.closest(".termed")?.querySelector("button").blur();
  if (event.target.matches?.("table.picks input")) return walk(event);
  if (!document.querySelector(".projected") || isTyping(event.target)) return;
  const way = FORWARD.includes(event.key) ? "next" : BACK.includes(event.key) ? "prev" : "";
  const link = way && document.querySelector(`.lesson-turn a[rel=${way}]`);
  if (!link) return;
  event.preventDefault();
  link.click();
});

/* A browser goes through radio buttons in one line; in a table up and down mean the row. */
function walk(event) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const cell = event.target.closest("td");
  const rows = [...cell.closest("tbody").rows];
  const row = rows[rows.indexOf(cell.parentElement) + step[0]];
  const next = row?.cells[cell.cellIndex + step[1]]?.querySelector("input");
  if (!next) return;
  next.checked = true;
  next.focus();
  say(next);
}

const say = (input) => {
  const place = document.querySelector("[data-picked]");
  if (place) place.textContent = `Chosen: ${input.getAttribute("aria-label")}`;
};
document.addEventListener("change", (event) => {
  if (event.target.matches("table.picks input")) say(event.target);
});

const meet = () => {
  const picked = document.querySelector("table.picks input:checked");
  if (picked) say(picked);
};
document.addEventListener("htmx:after:swap", meet);
document.addEventListener("DOMContentLoaded", () => {
  meet();
  if (location.hash === "#told") document.getElementById("told")?.focus({ preventScroll: false });
});
})();
