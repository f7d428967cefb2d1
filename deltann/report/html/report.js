"use strict";
// The page is whole without this: it adds sorting, filtering and a choice of light or dark.
document.documentElement.classList.add("js");

const THEMES = ["automatic", "light", "dark"];
const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "automatic") + 1) % THEMES.length];
  if (next === "automatic") delete root.dataset.theme;
  else root.dataset.theme = next;
  theme.textContent = `Theme: ${next}`;
});

// Unknown values come last whichever way a column is sorted.
function compare(a, b, down) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const x = Number(a), y = Number(b);
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  return down ? -order : order;
}

function key(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.v ?? cell.textContent.trim();
  return value === "–" ? "" : value === "∞" ? "Infinity" : value;
}

function sort(header) {
  const table = header.closest("table"), body = table.tBodies[0];
  const numeric = header.classList.contains("n");
  const old = header.getAttribute("aria-sort");
  const down = old === null ? numeric : old === "ascending";
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].map((row) => [key(row, header.cellIndex), row]);
  rows.sort((a, b) => compare(a[0], b[0], down));
  body.append(...rows.map(([, row]) => row));
}

// A filter names the list it acts on; each item of that has data-text and data-kind.
function filter(form) {
  const items = document.querySelectorAll(`#${form.dataset.for} > [data-kind]`);
  const words = form.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kinds = [...form.querySelectorAll("[aria-pressed='true']")].map((button) => button.value);
  let visible = 0;
  for (const item of items) {
    const own = item.dataset.kind.split("|");
    const text = item.dataset.text.toLowerCase();
    item.hidden = (kinds.length > 0 && !kinds.some((kind) => own.includes(kind))) || !words.every((word) => text.includes(word));
    visible += !item.hidden;
  }
  form.querySelector("output").textContent = `${visible} of ${items.length} shown`;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.sort");
  if (button) sort(button.closest("th"));
  const kind = event.target.closest(".filter button");
  if (kind) {
    kind.setAttribute("aria-pressed", kind.getAttribute("aria-pressed") === "true" ? "false" : "true");
    filter(kind.closest(".filter"));
  }
});
for (const form of document.querySelectorAll(".filter")) {
  form.addEventListener("input", () => filter(form));
  form.addEventListener("submit", (event) => event.preventDefault());
}

// A link to what a filter hides, or to what is folded away, shows it.
function reveal() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target; part; part = part.parentElement) {
    part.hidden = false;
    if (part.tagName === "DETAILS") part.open = true;
  }
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();

// On paper nothing is folded away.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
