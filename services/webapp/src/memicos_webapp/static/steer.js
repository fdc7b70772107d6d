// The steer page: reads the form, streams both columns from the public API, keeps the URL shareable.
import { frames, problem, StreamError } from "./sse.js";

const form = document.getElementById("steer");
const model = form.dataset.model;
const dials = document.getElementById("dials");
const note = document.getElementById("steer-note");
const runButton = document.getElementById("run");
const stopButton = document.getElementById("stop");
const prompt = form.elements.prompt;
const columns = { DEFAULT: column("default"), STEERED: column("steered") };

let aborter = null;
// The conversation so far, one list a column: they part ways at the first answer.
let talk = JSON.parse(form.dataset.talk);

function column(name) {
  const card = document.getElementById(`${name}-card`);
  return { card, text: card.querySelector(".out"), count: card.querySelector(".count") };
}

const mode = () => form.dataset.mode;
const number = (name) => Number(form.elements[name].value);
const element = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

function features() {
  return [...dials.querySelectorAll(".dial")].map((dial) => ({
    modelId: model,
    layer: dial.dataset.source,
    index: Number(dial.dataset.index),
    strength: Number(dial.querySelector("input[type=number]").value),
  }));
}

function settings() {
  return {
    temperature: number("temperature"),
    n_tokens: number("n_tokens"),
    freq_penalty: number("freq_penalty"),
    seed: number("seed"),
    strength_multiplier: number("strength_multiplier"),
    steer_method: form.elements.steer_method.value,
  };
}

// ---- the URL holds everything, but a conversation too long for one

// What was said before the message in the box: while that is being answered it is in `talk` too.
function said() {
  const before = (list) => (list.at(-1)?.role === "user" ? list.slice(0, -1) : list);
  return JSON.stringify({ DEFAULT: before(talk.DEFAULT), STEERED: before(talk.STEERED) });
}
const tooLong = () => said().length > Number(form.dataset.longestChat);

function shareUrl() {
  const query = new URLSearchParams();
  for (const f of features()) query.append("feature", `${f.layer}/${f.index}@${f.strength}`);
  if (mode() === "chat") query.set("mode", "chat");
  const last = talk.STEERED.filter((m) => m.role === "user").at(-1)?.content;
  query.set("prompt", prompt.value || (tooLong() && last) || "");
  if (mode() === "chat" && talk.STEERED.length > 1 && !tooLong()) query.set("chat", said());
  for (const input of form.querySelectorAll("[data-setting]")) {
    const value = input.type === "checkbox" ? String(input.checked) : input.value;
    if (value !== input.dataset.setting) query.set(input.name, value);
  }
  return `${location.pathname}?${query}`;
}

const keepUrl = () => history.replaceState(null, "", shareUrl());

document.getElementById("share").addEventListener("click", async (event) => {
  keepUrl();
  if (tooLong()) say("The conversation is too long for a link, which has your last message and the settings.");
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Link copied";
  } catch {
    button.textContent = "Link is in the address bar";
  }
  setTimeout(() => (button.textContent = "Share"), 2500);
});

// ---- dials: range and number show one value

dials.addEventListener("input", (event) => {
  const dial = event.target.closest(".dial");
  const [range, field] = [dial.querySelector("input[type=range]"), dial.querySelector("input[type=number]")];
  if (event.target === range) field.value = range.value;
  else range.value = field.value;
});
dials.addEventListener("change", keepUrl);
dials.addEventListener("click", (event) => {
  const button = event.target.closest("[data-remove]");
  if (!button) return;
  button.closest(".dial").remove();
  describeDials();
  keepUrl();
});
function describeDials() {
  document.getElementById("no-dials").hidden = dials.querySelector(".dial") !== null;
}

const finder = document.getElementById("finder");
const finderButton = document.getElementById("add-feature");
function showFinder(open) {
  finder.hidden = !open;
  finderButton.setAttribute("aria-expanded", String(open));
  if (open) finder.querySelector("input").focus();
}
finderButton.addEventListener("click", () => showFinder(finder.hidden));
finder.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    showFinder(false);
    finderButton.focus();
  } else if (event.key === "Enter" && event.target.matches("input")) {
    event.preventDefault();
    finder.querySelector("#found button:not([disabled])")?.click();
  }
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dials) return;
  const added = [...dials.querySelectorAll(".dial")].at(-1);
  for (const dial of dials.querySelectorAll(".dial")) {
    if (dial !== added && dial.dataset.source === added.dataset.source && dial.dataset.index === added.dataset.index) {
      added.remove();
      say(`${dial.dataset.source}/${dial.dataset.index} is already here.`);
      dial.querySelector("input[type=range]").focus();
      return;
    }
  }
  describeDials();
  showFinder(false);
  added.querySelector("input[type=range]").focus();
  keepUrl();
});

// ---- completion or chat

for (const button of document.querySelectorAll("[data-mode-tab]")) {
  button.addEventListener("click", () => {
    form.dataset.mode = button.dataset.modeTab;
    for (const tab of document.querySelectorAll("[data-mode-tab]")) {
      tab.setAttribute("aria-pressed", String(tab === button));
    }
    prompt.placeholder = prompt.dataset[mode()];
    reset();
    keepUrl();
    prompt.focus();
  });
}
for (const chip of document.querySelectorAll("[data-example]")) {
  chip.addEventListener("click", () => {
    prompt.value = chip.textContent;
    prompt.focus();
    keepUrl();
  });
}

function reset() {
  aborter?.abort();
  aborter = null; // what comes of it is no one's any more
  running(false);
  talk = { DEFAULT: [], STEERED: [] };
  clear();
  say("");
}
document.getElementById("reset").addEventListener("click", () => {
  reset();
  keepUrl();
  prompt.focus();
});

// Both columns without what was generated last; a chat shows what was said before.
function clear() {
  for (const [name, { text, count, card }] of Object.entries(columns)) {
    text.replaceChildren(...(mode() === "chat" ? talk[name].map((m) => bubble(m.role, m.content)) : []));
    count.textContent = "";
    card.classList.remove("live");
  }
}

function say(words, bad = false) {
  note.textContent = words;
  note.classList.toggle("bad", bad);
  note.setAttribute("role", bad ? "alert" : "status");
}

// ---- running

function bubble(role, text) {
  const node = element("div", `turn ${role === "user" ? "you" : "it"}`);
  const who = role === "user" ? "You" : role === "system" ? "System" : "Model";
  node.append(element("span", "who", who), element("div", "words", text));
  return node;
}

function startColumn({ text, count, card }, said, soFar) {
  card.classList.add("live");
  count.textContent = "";
  const answer = element("span", "answer");
  const cursor = element("span", "cursor");
  if (mode() === "chat") {
    text.replaceChildren(...soFar.map((m) => bubble(m.role, m.content)));
    const turn = bubble("assistant", "");
    turn.querySelector(".words").append(answer, cursor);
    text.append(turn);
  } else {
    text.replaceChildren(element("span", "said", said), answer, cursor);
  }
  return { answer, cursor };
}

function request(said) {
  const body = { modelId: model, features: features(), stream: true, ...settings() };
  if (mode() !== "chat") return ["/api/steer", { ...body, prompt: said, n_logprobs: 0 }];
  return [
    "/api/steer-chat",
    {
      ...body,
      defaultChatMessages: talk.DEFAULT,
      steeredChatMessages: talk.STEERED,
      steer_special_tokens: form.elements.steer_special_tokens.checked,
      n_logprobs: 0,
    },
  ];
}

// The text of one column in a frame: completions send a string, chats the conversation.
function answerOf(part) {
  if (typeof part === "string") return part;
  const last = part?.chatTemplate?.at(-1);
  return last?.role === "user" || !last ? "" : last.content;
}

function paint(frame, lines, total) {
  for (const [name, line] of Object.entries(lines)) {
    if (frame[name] === undefined || frame[name] === null) continue;
    line.answer.textContent = answerOf(frame[name]);
    const n = frame.tokens?.[name];
    if (n !== undefined) columns[name].count.textContent = `${n} of ${total}`;
  }
}

async function run() {
  const said = prompt.value;
  if (!features().length) {
    say("Add a feature to steer with first.", true);
    return showFinder(true);
  }
  if (!said.trim()) {
    say("Write something for the model first.", true);
    return prompt.focus();
  }
  if (!form.reportValidity()) return;
  aborter?.abort();
  const mine = (aborter = new AbortController());
  const before = structuredClone(talk);
  if (mode() === "chat") for (const list of Object.values(talk)) list.push({ role: "user", content: said });
  keepUrl();
  const lines = {
    DEFAULT: startColumn(columns.DEFAULT, said, talk.DEFAULT),
    STEERED: startColumn(columns.STEERED, said, talk.STEERED),
  };
  running(true);
  say("Waiting for the model…");
  const total = number("n_tokens");
  let last = null;
  let failed = "";
  try {
    const [url, body] = request(said);
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(body),
      signal: mine.signal,
    });
    if (!response.ok) {
      failed = await problem(response);
    } else {
      for await (const frame of frames(response)) {
        if (!last) say("Streaming. Esc stops.");
        last = frame;
        paint(frame, lines, total);
      }
      if (!last?.shareUrl) failed = "The answer broke off; run it again.";
    }
  } catch (error) {
    if (error instanceof StreamError) failed = error.message;
    else if (error.name !== "AbortError") failed = `The connection broke: ${error.message}.`;
  }
  if (aborter !== mine) return; // a newer run has taken over
  aborter = null;
  running(false);
  for (const line of Object.values(lines)) line.cursor.remove();
  if (mode() === "chat") finishTurn(last, before);
  if (!last) clear();
  if (failed) say(failed, true);
  else say(mine.signal.aborted ? "Stopped." : "");
}

// A turn that brought no answer is taken back, so that the next request is well-formed.
function finishTurn(last, before) {
  if (!last) {
    talk = before;
    return;
  }
  for (const name of Object.keys(talk)) talk[name].push({ role: "assistant", content: answerOf(last[name]) });
  prompt.value = "";
  keepUrl();
}

function running(yes) {
  stopButton.hidden = !yes;
  runButton.hidden = yes;
  for (const { card } of Object.values(columns)) {
    card.classList.toggle("live", yes);
    card.setAttribute("aria-busy", String(yes));
  }
  if (!yes && document.activeElement === document.body) prompt.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.addEventListener("change", keepUrl);
stopButton.addEventListener("click", () => aborter?.abort());
prompt.addEventListener("keydown", (event) => {
  const send = mode() === "chat" ? !event.shiftKey : event.ctrlKey || event.metaKey;
  if (event.key === "Enter" && send && !event.isComposing) {
    event.preventDefault();
    run();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && aborter) aborter.abort();
});
document.getElementById("random-seed").addEventListener("click", () => {
  form.elements.seed.value = Math.floor(Math.random() * 1e6);
  keepUrl();
});

describeDials();
clear();
