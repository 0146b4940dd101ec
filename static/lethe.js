// What every page does by itself: times in the reader's zone, Ctrl+Enter, focus kept after a swap,
// questions before destructive actions, one loading sign, one live region, the menu on small screens.

const say = (words) => {
  document.getElementById("said").textContent = words;
};

// Times are sent in UTC and written in the reader's zone.
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const writeTimes = (root) => {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const date = new Date(time.dateTime);
    time.textContent = clock.format(date);
    time.title = date.toString();
    time.dataset.local = "";
  }
};

document.addEventListener("DOMContentLoaded", () => writeTimes(document));

// What a reader opened or closed stays so on every page that has a part of that name.
const KEPT = "lethe-open";
const kept = () => JSON.parse(localStorage.getItem(KEPT) ?? "{}");
const recall = () => {
  for (const part of document.querySelectorAll("details[data-keep]:not([data-recalled])")) {
    part.dataset.recalled = "";
    part.open = kept()[part.dataset.keep] ?? part.open;
  }
};
document.addEventListener("DOMContentLoaded", recall);
document.addEventListener("click", (event) => {
  const part = event.target.closest?.("details[data-keep] > summary")?.parentElement;
  // The part opens or closes after this event.
  if (part) localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [part.dataset.keep]: !part.open }));
});
// A link into a closed part opens it, once: also where the part comes after the page.
let revealed = "";
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || revealed === location.hash) return;
  revealed = location.hash;
  let part = target.closest("details");
  if (!part) return;
  for (; part; part = part.parentElement.closest("details")) part.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", () => {
  revealed = "";
  reveal();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.form || event.target.closest?.("form");
  if (form) {
    event.preventDefault();
    form.requestSubmit(form.querySelector("button:not([type=button]):not(:disabled)"));
  }
});

// Focus stays where it was when the element under it is replaced by one with the same id or name.
let focused = null;
document.addEventListener("htmx:before:swap", () => {
  const here = document.activeElement;
  if (!here || here === document.body) return;
  focused = {
    id: here.id,
    name: here.name,
    value: here.type === "checkbox" || here.type === "radio" ? here.value : null,
    start: here.selectionStart ?? null,
    end: here.selectionEnd ?? null,
    element: here,
  };
});
document.addEventListener("htmx:after:swap", () => {
  writeTimes(document);
  recall();
  reveal();
  const was = focused;
  focused = null;
  const invalid = document.querySelector("[data-focus-first] [aria-invalid=true]");
  if (invalid) {
    invalid.closest("[data-focus-first]").removeAttribute("data-focus-first");
    invalid.focus();
    return;
  }
  if (!was || document.contains(was.element)) return;
  const byName = () =>
    [...document.getElementsByName(was.name)].find((e) => was.value === null || e.value === was.value);
  const again = (was.id && document.getElementById(was.id)) || (was.name && byName());
  if (!again) return;
  again.focus({ preventScroll: true });
  if (was.start !== null && again.setSelectionRange && again.type !== "number") {
    try {
      again.setSelectionRange(was.start, was.end);
    } catch {
      // Some input types have no selection.
    }
  }
});

// Words that the server wants said (HX-Trigger: {"lethe:say": {"value": "…"}}): read out and shown.
document.addEventListener("lethe:say", (event) => {
  const words = event.detail.value ?? event.detail;
  say(words);
  const toast = document.createElement("p");
  toast.textContent = words;
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), 6000);
});

// One loading sign, and only for what takes longer than a moment.
let waiting = 0;
const showLoading = (change) => {
  waiting = Math.max(0, waiting + change);
  setTimeout(() => {
    document.getElementById("loading").hidden = waiting === 0;
  }, waiting ? 250 : 0);
};
const isQuiet = (event) => event.target?.matches?.("[hx-sse\\:connect], [data-quiet]");
document.addEventListener("htmx:before:request", (event) => isQuiet(event) || showLoading(1));
document.addEventListener("htmx:finally:request", (event) => isQuiet(event) || showLoading(-1));
document.addEventListener("htmx:error", () => say("The server did not answer. Try again."));

// Destructive actions ask first, for htmx (hx-confirm) and for plain forms (data-confirm).
const ask = (words) =>
  new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    document.getElementById("ask-words").textContent = words;
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
document.addEventListener("htmx:confirm", async (event) => {
  const words = event.detail.ctx?.confirm;
  if (!words) return;
  event.preventDefault();
  if (await ask(words)) event.detail.issueRequest();
  else event.detail.dropRequest();
});
document.addEventListener(
  "submit",
  async (event) => {
    const { target, submitter } = event;
    const words = submitter?.dataset.confirm || target.dataset.confirm;
    if (!words || target.dataset.confirmed) return;
    event.preventDefault();
    event.stopPropagation();
    if (!(await ask(words))) return;
    target.dataset.confirmed = "yes";
    target.requestSubmit(submitter);
    delete target.dataset.confirmed;
  },
  true,
);

// A file that is too large is refused before it is sent.
document.addEventListener("change", (event) => {
  const input = event.target;
  const limit = Number(input.dataset?.maxBytes);
  if (input.type !== "file" || !limit) return;
  const file = input.files[0];
  const words =
    file && file.size > limit
      ? `${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most ${limit / 1e6} MB can be read. Split it, or take out the columns that are not needed.`
      : "";
  input.setCustomValidity(words);
  input.reportValidity();
});

// "All of them" boxes.
document.addEventListener("change", (event) => {
  const name = event.target.dataset?.selectAll;
  if (name) {
    const form = event.target.form;
    for (const box of form.querySelectorAll(`input[type=checkbox][name="${name}"]`)) {
      box.checked = event.target.checked;
    }
  }
  const form = event.target.form;
  const count = form?.querySelector("[data-selected-count]");
  if (count) {
    const n = form.querySelectorAll("input[type=checkbox][data-item]:checked").length;
    count.textContent = n ? `${n} selected` : "None selected";
    say(count.textContent);
  }
});

// The menu on small screens.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".menu-button");
  if (!button) return;
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
});

// When a stream cannot be had, the page asks now and then instead.
document.addEventListener("htmx:sse:error", (event) => {
  const poll = document.querySelector("[data-poll]");
  if (poll && event.detail.connection?.attempt >= 1) htmx.trigger(poll, "lethe:poll");
});

// A stream that was never had is asked for again, and the page meanwhile, until it is had; one that
// was lost comes back by itself. Nothing says reliably that the first call failed, so this looks.
const LOOK_EVERY = 3000;
document.addEventListener("DOMContentLoaded", () => {
  // What cannot be shown yet is asked for again until it can.
  if (document.querySelector("[data-again]")) setTimeout(() => location.reload(), LOOK_EVERY);
});
const lookForStream = (stream) => {
  if (!stream.isConnected || "had" in stream.dataset) return;
  const poll = document.querySelector("[data-poll]");
  if (poll) htmx.trigger(poll, "lethe:poll");
  if (!stream._htmx?.sse) {
    htmx.ajax("GET", stream.getAttribute("hx-sse:connect"), { source: stream, swap: "none" });
  }
  setTimeout(() => lookForStream(stream), LOOK_EVERY);
};
document.addEventListener("htmx:sse:after:connection", (event) => {
  if (event.target.dataset) event.target.dataset.had = "";
});
document.addEventListener("DOMContentLoaded", () => {
  for (const stream of document.querySelectorAll("[hx-sse\\:connect]")) {
    setTimeout(() => lookForStream(stream), LOOK_EVERY);
  }
});

// A button that asks for a file sends its form as a browser does: htmx would swap the file in.
document.addEventListener("submit", (event) => {
  if (event.submitter?.matches("[data-plain]")) event.stopImmediatePropagation();
}, true);
