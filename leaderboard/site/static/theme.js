// Light, dark, or as the system has it; kept in this browser where that is allowed.
"use strict";
(() => {
  const NEXT = { auto: "dark", dark: "light", light: "auto" };
  const kept = () => {
    try { return localStorage.getItem("theme") ?? "auto"; } catch { return "auto"; }
  };
  const apply = (theme) => {
    const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.documentElement.classList.toggle("dark", dark); // the table library's own dark mode
  };
  let theme = kept();
  apply(theme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(theme));
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme"), name = () => (button.textContent = `theme: ${theme}`);
    name();
    button.addEventListener("click", () => {
      theme = NEXT[theme];
      try { localStorage.setItem("theme", theme); } catch { /* a page opened from disk may not keep anything */ }
      apply(theme);
      name();
      dispatchEvent(new Event("themechange"));
    });
  });
})();
