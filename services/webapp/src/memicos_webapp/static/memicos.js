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

function focusOnPrompt() {
  const field = document.querySelector("#test :is(.prompt-text, .prompt-chat):not(:disabled) textarea");
  if (field) field.focus();
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
  t: focusOnPrompt,
  s: () => clickLink("steer-with-it"),
  v: () => clickLink("v-values"),
  o: () => clickLink("v-origin"),
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
      // A disabled button means that the form can't be sent now: its request runs, or its script is not loaded.
      if (!field.form.querySelector("button:not([type]):disabled")) field.form.requestSubmit();
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

// A button that ends the request of its form; the server then ends the work.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-abort]");
  if (!button) return;
  htmx.trigger(button.form, "htmx:abort");
  document.querySelector(button.form.getAttribute("hx-target")).textContent = button.dataset.abort;
});

// ---- the prompt of a form: a text or a conversation. Only the fields of the chosen one are sent.

function choosePrompt(form) {
  const chat = form.elements.input?.value === "chat";
  for (const [name, chosen] of [["text", !chat], ["chat", chat]]) {
    const fields = form.querySelector(`.prompt-${name}`);
    fields.disabled = !chosen;
    fields.querySelector("textarea").required = true;
  }
}

function showRemoveButtons(conversation) {
  const buttons = conversation.querySelectorAll("[data-remove-message]");
  for (const button of buttons) button.hidden = buttons.length < 2;
}

function addMessage(conversation) {
  const last = [...conversation.querySelectorAll(".message")].at(-1);
  const message = last.cloneNode(true);
  const role = message.querySelector("select");
  role.value = last.querySelector("select").value === "user" ? "assistant" : "user";
  const content = message.querySelector("textarea");
  content.value = "";
  content.required = false;
  last.after(message);
  showRemoveButtons(conversation);
  content.focus();
}

function removeMessage(conversation, message) {
  const next = message.nextElementSibling.matches(".message") ? message.nextElementSibling : message.previousElementSibling;
  message.remove();
  conversation.querySelector("textarea").required = true;
  showRemoveButtons(conversation);
  next.querySelector("textarea").focus();
}

function startPrompts() {
  for (const conversation of document.querySelectorAll(".prompt-chat")) {
    const add = conversation.querySelector("[data-add-message]");
    add.hidden = false;
    showRemoveButtons(conversation);
    conversation.addEventListener("click", (event) => {
      const remove = event.target.closest("[data-remove-message]");
      if (remove) removeMessage(conversation, remove.closest(".message"));
      else if (event.target.closest("[data-add-message]")) addMessage(conversation);
    });
    conversation.form.addEventListener("change", (event) => {
      if (event.target.name === "input") choosePrompt(conversation.form);
    });
    choosePrompt(conversation.form);
  }
}
document.addEventListener("DOMContentLoaded", startPrompts);
// a browser restores the chosen kind after this script has run
window.addEventListener("pageshow", () => {
  for (const conversation of document.querySelectorAll(".prompt-chat")) choosePrompt(conversation.form);
});

// Put a tested text or conversation into the address, so that the address can be shared.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target.id !== "test" || !event.detail.successful || document.body.classList.contains("embed")) return;
  const address = new URL(location.href);
  for (const name of ["defaulttesttext", "input", "role", "content"]) address.searchParams.delete(name);
  const fields = new FormData(event.target);
  if (fields.get("input") !== "chat") {
    address.searchParams.set("defaulttesttext", fields.get("text"));
  } else {
    address.searchParams.set("input", "chat");
    const contents = fields.getAll("content");
    fields.getAll("role").forEach((role, i) => {
      if (!contents.slice(i).some((content) => content.trim())) return; // empty messages at the end
      address.searchParams.append("role", role);
      address.searchParams.append("content", contents[i]);
    });
  }
  history.replaceState(history.state, "", address);
});
