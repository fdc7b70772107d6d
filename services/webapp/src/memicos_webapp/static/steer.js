// The steer page: reads the form, streams both columns from the public API, keeps the URL shareable.
import { errorMessage, events, StreamError } from "./sse.js";
import { Conversation } from "./steer-conversation.js";
import * as features from "./steer-features.js";

const form = document.getElementById("steer");
const model = form.dataset.model;
const note = document.getElementById("steer-note");
const caption = document.getElementById("caption");
const composer = document.getElementById("composer");
const results = document.getElementById("results");
const runButton = document.getElementById("run");
const stopButton = document.getElementById("stop");
const prompt = form.elements.prompt;
const answer = form.elements.answer; // the beginning of the model's message, or words to add to it
const columns = { DEFAULT: column("default"), STEERED: column("steered") };

let abortController = null; // aborts the current run
const conversation = new Conversation(JSON.parse(form.dataset.history));

function column(name) {
  const card = document.getElementById(`${name}-card`);
  return { card, text: card.querySelector(".out"), tokens: card.querySelector(".tokens") };
}

const mode = () => form.dataset.mode;
const continued = () => mode() === "chat" && form.elements.continue_final_message.checked;
// Whether the last message is continued; with a message of the user's, the beginning of the answer to it is.
const continuesLast = () => continued() && conversation.endsWithModel && !prompt.value.trim();
const messageBox = () => (continuesLast() ? answer : prompt);
const method = () => form.elements.steer_method.value;
const number = (name) => Number(form.elements[name].value);
const element = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

function settings() {
  return {
    temperature: number("temperature"),
    n_tokens: number("n_tokens"),
    freq_penalty: number("freq_penalty"),
    seed: number("seed"),
    strength_multiplier: number("strength_multiplier"),
    steer_method: method(),
  };
}

// ---- the URL holds all settings, and the conversation unless it is too long

const tooLong = () => conversation.link.length > Number(form.dataset.longestChat);

function shareUrl() {
  const query = new URLSearchParams();
  for (const f of features.selectedFeatures(model)) query.append("feature", `${f.layer}/${f.index}@${f.strength}`);
  if (mode() === "chat") query.set("mode", "chat");
  query.set("prompt", prompt.value || (tooLong() && conversation.lastUserMessage) || "");
  if (continued() && answer.value) query.set("answer", answer.value);
  if (mode() === "chat" && conversation.link && !tooLong()) query.set("chat", conversation.link);
  for (const input of form.querySelectorAll("[data-setting]")) {
    const value = input.type === "checkbox" ? String(input.checked) : input.value;
    if (value !== input.dataset.setting) query.set(input.name, value);
  }
  return `${location.pathname}?${query}`;
}

const updateUrl = () => history.replaceState(null, "", shareUrl());

document.getElementById("share").addEventListener("click", async (event) => {
  updateUrl();
  if (tooLong()) showNote("The conversation is too long for a link: the link has only your last message and the settings.");
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Link copied";
  } catch {
    button.textContent = "Link is in the address bar";
  }
  setTimeout(() => (button.textContent = "Share"), 2500);
});

// ---- completion or chat

// A chat's composer is below the conversation, a completion's prompt above the texts.
function placeComposer() {
  if (mode() === "chat") results.after(composer);
  else results.before(composer);
}
for (const button of document.querySelectorAll("[data-mode-tab]")) {
  button.addEventListener("click", () => {
    form.dataset.mode = button.dataset.modeTab;
    for (const tab of document.querySelectorAll("[data-mode-tab]")) {
      tab.setAttribute("aria-pressed", String(tab === button));
    }
    placeComposer();
    reset();
    updateUrl();
    messageBox().focus();
  });
}

// The boxes of a continued message; nothing is hidden during a run, so that the page keeps its height.
function showContinuation() {
  form.dataset.continued = continuesLast() ? "last" : continued() ? "beginning" : "no";
  answer.placeholder = answer.dataset[form.dataset.continued] ?? "";
  answer.setAttribute("aria-label", answer.placeholder);
  prompt.placeholder = prompt.dataset[continuesLast() ? "last" : mode()];
}
prompt.addEventListener("input", showContinuation);
form.elements.continue_final_message.addEventListener("change", showContinuation);

for (const chip of document.querySelectorAll("[data-example]")) {
  chip.addEventListener("click", () => {
    prompt.value = chip.textContent;
    showContinuation();
    prompt.focus();
    updateUrl();
  });
}

function reset() {
  abortController?.abort();
  abortController = null; // so that the aborted run no longer changes the page
  setRunning(false);
  conversation.clear();
  answer.value = "";
  showContinuation();
  clear();
  showNote("");
}
document.getElementById("reset").addEventListener("click", () => {
  reset();
  updateUrl();
  messageBox().focus();
});

// Empty columns; a chat shows the conversation so far.
function clear() {
  for (const [name, { text, tokens }] of Object.entries(columns)) {
    text.replaceChildren(...(mode() === "chat" ? conversation.of(name).map((m) => message(m.role, m.content)) : []));
    tokens.textContent = "";
  }
}

function showNote(text, bad = false) {
  // commands in messages are between backticks
  note.replaceChildren(...text.split("`").map((part, i) => (i % 2 ? element("code", "", part) : part)));
  note.classList.toggle("bad", bad);
  note.setAttribute("role", bad ? "alert" : "status");
}

// ---- the caption, which describes the run

function featureText(feature, multiplier, additive) {
  const strength = Number((feature.strength * multiplier).toPrecision(6));
  const product = multiplier === 1 ? "" : ` (${feature.strength} × ${multiplier})`;
  const name = `${feature.layer}/${feature.index}`;
  return additive
    ? `${strength}${product} × the decoder direction of ${name}`
    : `the component along the decoder direction of ${name} multiplied by ${strength}${product}`;
}

// Describes the run in the caption; `body` is the request as it was sent.
function describeRun(body) {
  const additive = body.steer_method === "SIMPLE_ADDITIVE";
  const parts = body.features.map((f) => featureText(f, body.strength_multiplier, additive));
  const chat = body.defaultChatMessages !== undefined;
  const positions = !chat
    ? "at every position of prompt and completion"
    : body.steer_special_tokens
      ? "at every position, the chat template’s special tokens included"
      : "at every position but the special tokens of the conversation so far";
  const sameConversation = !chat || JSON.stringify(body.defaultChatMessages) === JSON.stringify(body.steeredChatMessages);
  const label = form.elements.steer_method.querySelector(`[value="${body.steer_method}"]`).textContent;
  caption.textContent = [
    `Steered, ${label.toLowerCase()}: ${parts.join(" and ")}${additive ? " added" : ""} ${positions}.`,
    `Default: the same ${sameConversation ? "prompt, " : ""}seed and settings without steering` +
      (sameConversation ? ", as two rows of one batch." : ", each column with its own conversation."),
    caption.dataset.origin,
  ].join(" ");
}

// ---- the run

function message(role, content) {
  const node = element("div", `turn ${role === "user" ? "user" : "model"}`);
  const label = role === "user" ? "You" : role === "system" ? "System" : "Model";
  const text = element("div", "content", content);
  text.dir = "auto";
  node.append(element("span", "role", label), text);
  return node;
}

function startColumn({ text, tokens }, promptText, messages, isContinued) {
  tokens.textContent = "";
  const output = element("span", "answer");
  const cursor = element("span", "cursor");
  if (mode() === "chat") {
    const turns = messages.map((m) => message(m.role, m.content));
    if (!isContinued) turns.push(message("assistant", ""));
    turns.at(-1).querySelector(".content").append(output, cursor);
    text.replaceChildren(...turns);
  } else {
    text.replaceChildren(element("span", "prompt", promptText), output, cursor);
  }
  return { answer: output, cursor, tokens: 0 };
}

function request(promptText) {
  const body = {
    modelId: model,
    features: features.selectedFeatures(model),
    stream: true,
    delta: true,
    n_logprobs: 0,
    ...settings(),
  };
  if (mode() !== "chat") return ["/api/steer", { ...body, prompt: promptText }];
  const chat = {
    defaultChatMessages: conversation.of("DEFAULT"),
    steeredChatMessages: conversation.of("STEERED"),
    continue_final_message: continued(),
    steer_special_tokens: form.elements.steer_special_tokens.checked,
  };
  return ["/api/steer-chat", { ...body, ...chat }];
}

// Appends new text to the columns, the only place that stores it.
function append(delta, outputs, total) {
  for (const [name, { text, tokens }] of Object.entries(delta)) {
    outputs[name].answer.append(text);
    outputs[name].tokens += tokens;
    columns[name].tokens.textContent = `${outputs[name].tokens} of ${total}`;
  }
}

async function run() {
  const promptText = prompt.value;
  if (abortController && mode() === "chat") return showNote("The model is answering. Esc stops it.");
  if (!features.selectedFeatures(model).length) {
    showNote("Add a feature to steer with first.", true);
    return features.showFinder(true);
  }
  const isContinued = continued();
  const isLast = continuesLast();
  if (!isLast && !promptText.trim()) {
    showNote("Enter a prompt first.", true);
    return prompt.focus();
  }
  if (isContinued && !isLast && !answer.value.trim()) {
    showNote("Enter the beginning of the answer first.", true);
    return answer.focus();
  }
  if (!form.reportValidity()) return;
  abortController?.abort();
  const current = (abortController = new AbortController());
  if (mode() === "chat") conversation.begin(isLast ? null : promptText, isContinued ? answer.value : "");
  updateUrl();
  const outputs = {
    DEFAULT: startColumn(columns.DEFAULT, promptText, conversation.of("DEFAULT"), isContinued),
    STEERED: startColumn(columns.STEERED, promptText, conversation.of("STEERED"), isContinued),
  };
  setRunning(true);
  showNote("Waiting for the model…");
  let begun = false;
  let complete = false;
  let failed = "";
  try {
    const [url, body] = request(promptText);
    const response = await fetch(`${document.documentElement.dataset.root ?? ""}${url}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(body),
      signal: current.signal,
    });
    if (!response.ok) {
      failed = await errorMessage(response);
    } else {
      for await (const { name, data } of events(response)) {
        if (!begun) {
          showNote("Streaming. Esc stops.");
          describeRun(body);
        }
        begun = true;
        if (name === "delta") append(data, outputs, body.n_tokens);
        else complete = Boolean(data.shareUrl);
      }
      if (!complete) failed = "The response was interrupted; run it again.";
    }
  } catch (error) {
    if (error instanceof StreamError) failed = error.message;
    else if (error.name !== "AbortError") failed = `The connection was interrupted: ${error.message}.`;
  }
  if (abortController !== current) return; // a newer run has started
  abortController = null;
  setRunning(false);
  for (const output of Object.values(outputs)) output.cursor.remove();
  if (mode() === "chat") finishTurn(begun ? outputs : null, isContinued, isLast);
  if (!begun) clear();
  if (failed) showNote(failed, true);
  else showNote(current.signal.aborted ? "Stopped." : "");
}

function finishTurn(outputs, isContinued, isLast) {
  if (!outputs) return conversation.end(null, isContinued);
  const texts = Object.entries(outputs).map(([name, output]) => [name, output.answer.textContent]);
  conversation.end(Object.fromEntries(texts), isContinued);
  if (!isLast) prompt.value = "";
  answer.value = "";
  showContinuation();
  updateUrl();
}

function setRunning(running) {
  stopButton.hidden = !running;
  runButton.hidden = running;
  for (const { card } of Object.values(columns)) card.setAttribute("aria-busy", String(running));
  if (!running && document.activeElement === document.body) messageBox().focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.elements.steer_method.addEventListener("change", () => features.setMethod(method()));
form.addEventListener("change", updateUrl);
stopButton.addEventListener("click", () => abortController?.abort());
// Ctrl+Enter submits every text area's form (memicos.js); in a chat Enter alone does it as well.
composer.addEventListener("keydown", (event) => {
  if (event.target !== prompt && event.target !== answer) return;
  const modified = event.shiftKey || event.ctrlKey || event.metaKey || event.altKey;
  if (event.key === "Enter" && mode() === "chat" && !modified && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && abortController) abortController.abort();
});
document.getElementById("random-seed").addEventListener("click", () => {
  form.elements.seed.value = Math.floor(Math.random() * 1e6);
  updateUrl();
});

features.start({ changed: updateUrl, showNote, method });
showContinuation();
clear();
// Until here a click on "Run" would have loaded the page again, without the features.
for (const button of document.querySelectorAll("[data-needs-script]")) button.disabled = false;
