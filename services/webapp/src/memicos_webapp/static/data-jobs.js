// Live progress of jobs on the owner's pages of data. When a job ends that the page shows as active, the page is
// loaded again.

const root = document.documentElement.dataset.root || "";
const number = new Intl.NumberFormat("en");

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function description(job) {
  const parts = [];
  if (job.stage) parts.push(job.stage);
  if (job.rows) parts.push(`${number.format(job.rowsDone)} of ${number.format(job.rows)} rows`);
  if (job.rowsPerSecond) parts.push(`${number.format(Math.round(job.rowsPerSecond))} rows/s`);
  if (job.bytesPerSecond) parts.push(`${(job.bytesPerSecond / 1e6).toFixed(1)} MB/s`);
  if (job.secondsLeft) parts.push(`${duration(job.secondsLeft)} left`);
  return parts.join(", ");
}

function show(job) {
  const place = document.querySelector(`[data-job="${job.id}"]`);
  if (!place) return;
  const state = place.querySelector("[data-job-state]");
  state.textContent = job.state;
  state.className = `chip job-state ${job.state}`;
  place.querySelector("[data-job-text]").textContent = description(job);
  const bar = place.querySelector("[data-job-bar]");
  if (bar && job.rows) {
    bar.max = job.rows;
    bar.value = Math.min(job.rowsDone, job.rows);
  }
  const ended = ["done", "failed", "cancelled"].includes(job.state);
  // not while the visitor is about to confirm a deletion
  if (ended && place.hasAttribute("data-active") && !document.querySelector("details[open]")) location.reload();
}

const active = [...document.querySelectorAll("[data-active]")].map((place) => `job=${place.dataset.job}`);
if (active.length) {
  const events = new EventSource(`${root}/account/data/jobs/events?${active.join("&")}`);
  events.addEventListener("job", (event) => show(JSON.parse(event.data)));
  events.addEventListener("idle", () => events.close());
  addEventListener("pagehide", () => events.close());
}
