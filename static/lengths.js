/* Lengths that the server computed come as data, since the page's policy takes no inline style:
   data-share="57" becomes --share: 57%, data-wide="640" --wide: 640px, data-fraction="0.5"
   --fraction: 0.5. Set before anything of it is painted, however it came into the page. */
(() => {
const UNITS = { share: "%", wide: "px", fraction: "" };
const NAMES = Object.keys(UNITS);
const MEASURED = NAMES.map((name) => `[data-${name}]`).join(", ");

function measure(one) {
  for (const name of NAMES) {
    const given = one.dataset[name];
    if (given !== undefined) one.style.setProperty(`--${name}`, given + UNITS[name]);
  }
}

function meet(root) {
  if (!(root instanceof Element)) return;
  if (root.matches(MEASURED)) measure(root);
  root.querySelectorAll(MEASURED).forEach(measure);
}

new MutationObserver((changes) => {
  for (const { addedNodes, target, type } of changes) {
    if (type === "attributes") measure(target);
    else addedNodes.forEach(meet);
  }
}).observe(document.documentElement, {
  childList: true,
  subtree: true,
  attributeFilter: NAMES.map((name) => `data-${name}`),
});
// A morph takes out the attributes that the server did not send, `style` among them.
document.addEventListener("htmx:after:swap", () => meet(document.documentElement));
meet(document.documentElement);
})();
