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

let looking = false;
async function refresh() {
  if (looking || document.hidden || location.search.includes("request=")) return;
  if (document.querySelector("[data-live] input:checked")) return; // what is being chosen stands still
  looking = true;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).finally(() => { looking = false; });
  if (!answer.ok) return;
  const told = document.activeElement?.id === "result";
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (!next) return location.reload();
    if ((told || !old.contains(document.activeElement)) && next.textContent !== old.textContent) old.replaceWith(next);
  }
  if (told) document.getElementById("result")?.focus();
  age();
}

age();
setInterval(age, 1000);
if (document.querySelector("[data-live]")) setInterval(() => refresh().catch(() => {}), 5000);
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
}
for (const shown of document.querySelectorAll("[data-counts]")) {
  const field = document.getElementById(shown.dataset.counts);
  const most = Number(shown.dataset.most);
  const count = () => {
    const length = [...field.value.trim()].length;
    shown.textContent = `${length.toLocaleString("en")} of ${most.toLocaleString("en")} characters.`;
    shown.classList.toggle("wrong", length > most);
  };
  field.addEventListener("input", count);
  count();
}
addEventListener("pageshow", (shown) => { if (shown.persisted) location.reload(); });
document.getElementById("result")?.focus();
