// The form that scores an explanation: runs it by the public API, shows its progress, and can cancel it.
import { errorMessage, events, StreamError } from "./sse.js";

const STAGES = { texts: "running the model on texts", model: "asking the language model" };
const attempts = new Map(); // explanation and method -> failures so far: each further try asks the model anew

function showFields(form) {
  const chosen = form.elements.method.selectedOptions[0];
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = !(part.dataset.for in chosen.dataset);
}

function describe(step) {
  const cost = step.cost ? `, $${step.cost.toPrecision(2)} so far` : "";
  return `${STAGES[step.stage]}: ${step.finished} of ${step.total}${cost}`;
}

function setRunning(form, running) {
  form.querySelector("button:not([data-cancel])").disabled = running;
  form.querySelector("[data-cancel]").hidden = !running;
  form.querySelector("progress").hidden = !running;
  form.setAttribute("aria-busy", String(running));
}

async function run(form) {
  const status = form.querySelector("[role=status]");
  const progress = form.querySelector("progress");
  // the site may be served below a path: the form's address has it
  const root = form.getAttribute("action").split("/explanations/")[0];
  const key = `${form.dataset.score} ${form.elements.method.value}`;
  const controller = new AbortController();
  const cancel = form.querySelector("[data-cancel]");
  cancel.onclick = () => controller.abort();
  progress.removeAttribute("value");
  status.textContent = "choosing texts…";
  setRunning(form, true);
  cancel.focus();
  const body = {
    explanationId: Number(form.dataset.score),
    scorerType: form.elements.method.value,
    scorerModel: form.elements.scorer_model.value,
    profile: form.elements.profile?.value ?? "",
    apiKey: form.elements.api_key.value,
    nearMisses: form.elements.near_misses.checked,
    attempt: attempts.get(key) ?? 0,
    stream: true,
    streamSteps: true,
  };
  try {
    const response = await fetch(`${root}/api/explanation/score`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: controller.signal,
    });
    if (!response.ok) throw new StreamError(await errorMessage(response));
    let score = null;
    for await (const event of events(response)) {
      if (event.name === "step") {
        status.textContent = describe(event.data);
        progress.max = event.data.total;
        progress.value = event.data.finished;
      } else {
        score = event.data.score;
      }
    }
    if (!score) throw new StreamError("The connection ended before the score came; try again.");
    status.textContent = `Score by ${score.explanationScoreModelName}: ${score.value.toFixed(2)}.`;
    await htmx.ajax("GET", `${root}/explanations/${form.dataset.score}/scores`, {
      target: `#scores-${form.dataset.score}`,
      swap: "innerHTML",
    });
  } catch (error) {
    if (error.name === "AbortError") {
      status.textContent = "Cancelled. Nothing was stored.";
    } else {
      attempts.set(key, (attempts.get(key) ?? 0) + 1);
      status.textContent = error instanceof StreamError ? error.message : "The connection was interrupted; try again.";
    }
  } finally {
    setRunning(form, false);
    form.querySelector("button:not([data-cancel])").focus();
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-score]");
  if (!form) return;
  event.preventDefault();
  run(form);
});
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-score]");
  if (form && event.target.name === "method") showFields(form);
});
document.addEventListener("htmx:afterSwap", (event) => {
  for (const form of event.target.querySelectorAll("form[data-score]")) showFields(form);
});
