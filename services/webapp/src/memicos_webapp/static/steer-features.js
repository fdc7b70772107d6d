// The features of the steer page: sliders, their scales by steering method, and the search that adds features.

const list = document.getElementById("feature-controls");
const finder = document.getElementById("finder");
const finderButton = document.getElementById("add-feature");
// Strengths that were set for other methods, by control: changing the method and back keeps them.
const strengths = new WeakMap();

const slider = (control) => control.querySelector("input[type=range]");
const field = (control) => control.querySelector("input[type=number]");
const controls = () => [...list.querySelectorAll(".feature-control")];

export function selectedFeatures(model) {
  return controls().map((control) => ({
    modelId: model,
    layer: control.dataset.source,
    index: Number(control.dataset.index),
    strength: Number(field(control).value),
  }));
}

// Each method has its own strength: a strength of 94 means residual units for one method and a factor for the other.
export function setMethod(method) {
  for (const control of controls()) {
    const before = control.dataset.method;
    if (before === method) continue;
    const methodStrengths = strengths.get(control) ?? {};
    methodStrengths[before] = field(control).value;
    strengths.set(control, methodStrengths);
    const scale = JSON.parse(control.dataset.scales)[method];
    control.dataset.method = method;
    Object.assign(slider(control), { min: -scale.max, max: scale.max, step: scale.step });
    field(control).value = methodStrengths[method] ?? scale.value;
    slider(control).value = field(control).value;
    for (const node of control.querySelectorAll("[data-for]")) node.toggleAttribute("hidden", node.dataset.for !== method);
    slider(control).setAttribute("aria-describedby", control.querySelector(`p[data-for="${method}"]`).id);
  }
}

export function showFinder(open) {
  finder.hidden = !open;
  finderButton.setAttribute("aria-expanded", String(open));
  if (open) finder.querySelector("input").focus();
}

function updateEmptyNote() {
  document.getElementById("no-features").hidden = controls().length > 0;
}

// `changed` is called after each change, `showNote` shows a message, `method` returns the method of the form.
export function start({ changed, showNote, method }) {
  list.addEventListener("input", (event) => {
    const control = event.target.closest(".feature-control");
    if (event.target === slider(control)) field(control).value = slider(control).value;
    else slider(control).value = field(control).value;
  });
  list.addEventListener("change", changed);
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-remove]");
    if (!button) return;
    button.closest(".feature-control").remove();
    updateEmptyNote();
    changed();
  });
  finderButton.addEventListener("click", () => showFinder(finder.hidden));
  finder.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      showFinder(false);
      finderButton.focus();
    } else if (event.key === "Enter" && event.target.matches("input")) {
      event.preventDefault();
      finder.querySelector("#finder-results button:not([disabled])")?.click();
    }
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== list) return;
    const added = controls().at(-1);
    const existing = controls().find(
      (other) => other !== added && other.dataset.source === added.dataset.source && other.dataset.index === added.dataset.index,
    );
    if (existing) {
      added.remove();
      showNote(`${existing.dataset.source}/${existing.dataset.index} is already in the list.`);
      return slider(existing).focus();
    }
    setMethod(method());
    updateEmptyNote();
    showFinder(false);
    slider(added).focus();
    changed();
  });
  updateEmptyNote();
}
