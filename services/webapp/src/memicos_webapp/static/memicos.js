// Keys, theme and small conveniences. Every page can be read and used without this file.
"use strict";

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* storage is blocked: not remembered */ }
}
function recall(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remember("theme", root.dataset.theme);
}

function follow(id) {
  const link = document.getElementById(id);
  if (link) link.click();
}
function focusOn(id) {
  const field = document.getElementById(id);
  if (!field) return;
  field.focus();
  if (field.select) field.select();
}

async function copy(button, field) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  } catch {
    field.select(); // the browser lets nobody write to the clipboard: Ctrl C does
    button.textContent = "Selected: Ctrl C copies";
  }
  setTimeout(() => (button.textContent = words), 2500);
}

function showCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy)));
  }
}

const keys = {
  "/": () => focusOn("jump"),
  j: () => follow("next"),
  k: () => follow("previous"),
  t: () => focusOn("test-text"),
  s: () => follow("steer-with-it"),
  v: () => follow("v-values"),
  d: toggleTheme,
  "?": () => { const help = document.getElementById("keys"); if (help && !help.open) help.showModal(); },
};

document.addEventListener("keydown", (event) => {
  // a page's own script has handled the key
  if (event.defaultPrevented) return;
  const field = event.target.closest("input:not([type=radio],[type=checkbox]), textarea, select, [contenteditable]");
  if (field) {
    if (event.key === "Escape") field.blur();
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && field.form && field.tagName === "TEXTAREA") {
      event.preventDefault();
      field.form.requestSubmit();
    }
    return;
  }
  if (event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
  const action = keys[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.hidden = false;
    button.addEventListener("click", toggleTheme);
  }
  showCopyButtons();
  const view = document.getElementById(`v-${recall("view")}`);
  if (view) {
    view.checked = true;
    view.dispatchEvent(new Event("change"));
  }
  for (const radio of document.querySelectorAll("[name=view]")) {
    radio.addEventListener("change", () => remember("view", radio.value));
  }
});

document.addEventListener("htmx:afterSettle", showCopyButtons);

// A text that was run belongs to the address, so that the page can be shared as it is.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target.id !== "test" || !event.detail.successful || document.body.classList.contains("embed")) return;
  const address = new URL(location.href);
  address.searchParams.set("defaulttesttext", event.target.elements.text.value);
  history.replaceState(history.state, "", address);
});
