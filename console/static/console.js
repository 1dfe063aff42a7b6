// Extras; every page works without this file. Relative times, a button pressed once, fresh figures while one looks.
"use strict";

const UNITS = [["year", 31536e3], ["month", 2592e3], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function age() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
    time.dataset.ago = relative.format(Math.trunc(seconds / size), unit);
  }
}

async function refresh() {
  if (document.hidden || location.search.includes("request=")) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (!next) return location.reload();
    if (!old.contains(document.activeElement) && next.textContent !== old.textContent) old.replaceWith(next);
  }
  age();
}

age();
setInterval(age, 1000);
if (document.querySelector("[data-live]")) setInterval(() => refresh().catch(() => {}), 5000);
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
}
addEventListener("pageshow", (shown) => { if (shown.persisted) location.reload(); });
document.getElementById("result")?.focus();
