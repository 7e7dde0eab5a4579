// Fetches the site's own addresses past the browser's cache and shows who answered, and how fast.
"use strict";

const addresses = ["/style.css", "/aurora.svg", "/city.svg", "/time", "/slow", "/search?q=light", "/vary", "/private", "/flaky", "/nowhere"];
const rows = new Map();
const run = document.getElementById("run");
const auto = document.getElementById("auto");

function cell(row, name) {
  const td = document.createElement("td");
  if (name) td.className = name;
  row.append(td);
  return td;
}

function makeRow(address) {
  const row = document.createElement("tr");
  const link = document.createElement("a");
  link.href = address;
  link.textContent = address;
  cell(row).append(link);
  const parts = { code: cell(row), from: cell(row), age: cell(row, "num"), count: cell(row, "num"), time: cell(row, "bar-cell"), status: cell(row, "status") };
  rows.set(address, parts);
  return row;
}

// What RFC 9211 and RFC 9111 let a client know: a hit says so; otherwise an Age tells that it was stored.
function whoAnswered(fields) {
  const status = fields.get("cache-status") || "";
  if (/;\s*hit\b/.test(status)) return "hit";
  if (status === "" && fields.has("age")) return "hit";
  return "origin";
}

function show(parts, answer, ms) {
  const from = answer ? whoAnswered(answer.headers) : "failed";
  const badge = document.createElement("span");
  badge.className = "from " + from;
  badge.textContent = from;
  parts.from.replaceChildren(badge);
  parts.code.textContent = answer ? answer.status : "-";
  parts.age.textContent = (answer && answer.headers.get("age")) || "";
  parts.count.textContent = (answer && answer.headers.get("demo-count")) || "";
  parts.status.textContent = (answer && answer.headers.get("cache-status")) || "";
  parts.status.title = parts.status.textContent;
  const bar = document.createElement("i");
  bar.style.width = Math.max(3, Math.min(96, 14 * Math.log2(1 + ms / 4))) + "px"; // a logarithm: hits and misses are far apart
  parts.time.className = "bar-cell " + from;
  parts.time.replaceChildren(bar, (ms < 10 ? ms.toFixed(1) : Math.round(ms)) + " ms");
}

async function measure(address) {
  const begun = performance.now();
  try {
    const answer = await fetch(address, { cache: "no-store" });
    await answer.arrayBuffer();
    show(rows.get(address), answer, performance.now() - begun);
  } catch {
    show(rows.get(address), null, performance.now() - begun);
  }
}

// One after the other, so that the times do not stand in each other's way.
async function measureAll() {
  if (run.disabled) return;
  run.disabled = true;
  for (const address of addresses) await measure(address);
  run.disabled = false;
}

document.getElementById("rows").replaceChildren(...addresses.map(makeRow));
run.addEventListener("click", measureAll);
setInterval(() => { if (auto.checked) measureAll(); }, 2000);
measureAll();
