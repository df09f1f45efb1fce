// The table of pairs: which are shown, in which order, and the way from a line to its point.
const BODIES = Object.fromEntries([...document.querySelectorAll("#pairs tbody")].map((body) => [body.dataset.id, body]));
const FIRST = 100; // lines: laying out a thousand takes longer than finding them
let order = "";

function prepareTable() {
  for (const [id, body] of Object.entries(BODIES)) {
    const name = body.querySelector("th").firstChild;
    const button = element("button", { type: "button", class: "name" }, name.textContent);
    button.addEventListener("click", () => change({ row: id }));
    name.replaceWith(button);
    body.querySelector(".replay").after(" ", copyButton(() => ROWS[id].replay));
  }
  const heads = [...document.querySelectorAll("#pairs thead th")];
  const keys = ["variant", "device", ...KEYS.slice(0, heads.length - 3), "outcome"];
  heads.forEach((head, i) => {
    const button = element("button", { type: "button", class: "sort" }, head.textContent);
    button.addEventListener("click", () => change({ sort: state.sort === keys[i] ? `-${keys[i]}` : keys[i] }));
    head.replaceChildren(button);
    head.dataset.key = keys[i];
  });
}

function sorted() {
  const key = state.sort.replace(/^-/, "");
  const way = state.sort.startsWith("-") ? -1 : 1;
  const value = (row) => (key in FIGURES ? row.figures[key]?.[0] : row[key]);
  return [...DATA.rows].sort((a, b) => {
    const [p, q] = [value(a), value(b)];
    if (p === undefined || q === undefined) return (p === undefined) - (q === undefined); // the unknown last, either way
    return way * (p < q ? -1 : p > q ? 1 : 0);
  });
}

function showTable(rows) {
  const table = document.getElementById("pairs");
  const lines = state.sort ? sorted() : DATA.rows;
  if (order !== state.sort) {
    order = state.sort;
    table.append(...lines.map((row) => BODIES[row.id]));
    for (const head of table.querySelectorAll("thead th")) {
      const own = order.replace(/^-/, "") === head.dataset.key;
      head.setAttribute("aria-sort", own ? (order.startsWith("-") ? "descending" : "ascending") : "none");
    }
  }
  const kept = new Set(rows);
  const shown = new Set(lines.filter((row) => kept.has(row)).slice(0, state.all ? undefined : FIRST));
  for (const row of DATA.rows) {
    const body = BODIES[row.id];
    const hidden = !shown.has(row) && row.id !== state.row;
    if (body.hidden !== hidden) body.hidden = hidden;
    body.classList.toggle("chosen", row.id === state.row);
  }
  document.getElementById("count").textContent = `${rows.length} of ${DATA.rows.length} pairs`;
  document.getElementById("all").hidden = shown.size === rows.length;
}
watchers.unshift(showTable);
