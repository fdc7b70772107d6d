// Keyboard shortcuts, theme, menus and copy buttons. Every page works without this file.
"use strict";

function storeSetting(key, value) {
  try { localStorage.setItem(key, value); } catch { /* storage is blocked: the setting is not stored */ }
}
function readSetting(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  storeSetting("theme", root.dataset.theme);
}

function clickLink(id) {
  const link = document.getElementById(id);
  if (link) link.click();
}
function focusField(id) {
  const field = document.getElementById(id);
  if (!field) return;
  field.focus();
  if (field.select) field.select();
}

async function copy(button, field) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  } catch {
    field.select(); // writing to the clipboard is not allowed here; Ctrl C copies the selection
    button.textContent = "Selected: Ctrl C copies";
  }
  setTimeout(() => (button.textContent = label), 2500);
}

function showCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy)));
  }
}

const keys = {
  "/": () => focusField("jump"),
  j: () => clickLink("next"),
  k: () => clickLink("previous"),
  t: () => focusField("test-text"),
  s: () => clickLink("steer-with-it"),
  v: () => clickLink("v-values"),
  d: toggleTheme,
  "?": () => { const help = document.getElementById("keys"); if (help && !help.open) help.showModal(); },
};

// A menu closes on a click outside of it and on Escape; a dialog closes on a click on its backdrop.
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(except)) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  closeMenus(event.target);
  if (event.target.tagName === "DIALOG" && isBackdrop(event)) event.target.close();
});

function isBackdrop(event) {
  const box = event.target.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right
    && event.clientY >= box.top && event.clientY <= box.bottom;
  return event.detail > 0 && !inside; // detail is 0 for a click by key, which has no position
}

document.addEventListener("keydown", (event) => {
  // a page's own script has handled the key
  if (event.defaultPrevented) return;
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
    return;
  }
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
  const view = document.getElementById(`v-${readSetting("view")}`);
  if (view) {
    view.checked = true;
    view.dispatchEvent(new Event("change"));
  }
  for (const radio of document.querySelectorAll("[name=view]")) {
    radio.addEventListener("change", () => storeSetting("view", radio.value));
  }
});

document.addEventListener("htmx:afterSettle", showCopyButtons);

// Write a tested text into the address, so that the address can be shared.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target.id !== "test" || !event.detail.successful || document.body.classList.contains("embed")) return;
  const address = new URL(location.href);
  address.searchParams.set("defaulttesttext", event.target.elements.text.value);
  history.replaceState(history.state, "", address);
});
