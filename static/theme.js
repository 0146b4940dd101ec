// Sets the theme before anything is drawn: the reader's choice, or the system's.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("lethe-theme") || "system";
  const apply = () => {
    const theme = chosen() === "system" ? (dark.matches ? "dark" : "light") : chosen();
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("lethe:theme", { detail: theme }));
  };
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
  document.addEventListener("DOMContentLoaded", () => {
    for (const radio of document.querySelectorAll('input[name="theme"]')) {
      radio.checked = radio.value === chosen();
      radio.addEventListener("change", () => {
        localStorage.setItem("lethe-theme", radio.value);
        apply();
      });
    }
  });
})();
