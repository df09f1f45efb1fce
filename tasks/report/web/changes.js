// What changed against another run, whose report or metrics.json the reader opens.
const SAME = 1e-5; // relative: the page has six digits of a number

async function earlier(file) {
  const text = await file.text();
  if (!file.name.endsWith(".html")) return mapped(JSON.parse(text), (value) => [value]); // {variant: {device: {figure: value}}}
  const block = new DOMParser().parseFromString(text, "text/html").getElementById("figures");
  if (!block) throw new Error("no figures in it");
  const { figures, rows } = JSON.parse(block.textContent);
  const alike = new Set(figures.filter(({ key, name }) => FIGURES[key]?.name === name).map(({ key }) => key)); // quality by another metric is another figure
  const found = {};
  for (const row of rows.filter((each) => each.status === "ok")) {
    const told = Object.entries(row.figures).filter(([key]) => alike.has(key));
    (found[row.variant] ??= {})[row.device] = Object.fromEntries(told.map(([key, value]) => [key, [value[0], value[3]]]));
  }
  return found;
}

function mapped(found, of) {
  const each = (table, way) => Object.fromEntries(Object.entries(table).map(([key, value]) => [key, way(value)]));
  return each(found, (devices) => each(devices, (figures) => each(figures, of)));
}

function differences(before) {
  const found = [];
  for (const row of DATA.rows) {
    const old = before[row.variant]?.[row.device];
    const now = row.status === "ok" ? row.figures : {};
    for (const key of KEYS) {
      const [[was, origin], is] = [old?.[key] ?? [], now[key]?.[0]];
      if (was === is || Math.abs(was - is) <= SAME * Math.abs(was)) continue;
      const [low, high] = [now[key]?.[1], now[key]?.[2]];
      const [known, share] = [was !== undefined && is !== undefined, was ? is / was - 1 : undefined];
      found.push({ row, key, was, is, share: known ? share : undefined, within: low < high && was >= low && was <= high, other: known && origin && origin !== now[key][3] });
    }
  }
  for (const [variant, devices] of Object.entries(before)) {
    for (const device of Object.keys(devices)) {
      if (!ROWS[`${variant}@${device}`]) found.push({ row: { id: `${variant}@${device}` }, key: "", gone: true });
    }
  }
  return found.sort((a, b) => Math.abs(b.share ?? Infinity) - Math.abs(a.share ?? Infinity));
}

function tell({ row, key, was, is, share, within, other, gone }) {
  if (gone) return [row.id, "", "", "", "is no longer there"];
  const { name, unit, title, per, lower } = FIGURES[key];
  const text = (value) => (value === undefined ? "–" : written(value / per));
  const better = is < was === lower ? "better" : "worse";
  const judged = other ? "other source" : within ? "within its interval" : better;
  const grown = share === undefined ? "" : `${share > 0 ? "+" : "−"}${written(Math.abs(100 * share))} %, `; // from 0 by no share
  const change = was === undefined ? "new" : is === undefined ? "lost" : `${grown}${judged}`;
  return [row.id, title.includes(name.toLowerCase()) ? title : `${name} ${unit}`, text(was), text(is), change];
}

async function showChanges(file) {
  const said = document.getElementById("unchanged");
  const table = document.getElementById("changed");
  table.parentElement.hidden = true;
  try {
    const found = differences(await earlier(file)).map(tell);
    const cells = (tag, texts) => texts.map((text, i) => element(tag, tag === "th" ? { scope: "col", role: "columnheader" } : { role: "cell", class: i === 2 || i === 3 ? "number" : "" }, text));
    table.replaceChildren(element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...cells("th", ["Pair", "Figure", "Before", "Now", "Change"]))),
      element("tbody", { role: "rowgroup" }, ...found.map((texts) => element("tr", { role: "row" }, ...cells("td", texts)))));
    table.parentElement.hidden = !found.length;
    said.textContent = found.length ? `${found.length} figures differ.` : "Every figure is the same.";
  } catch (error) {
    said.textContent = `${file.name}: neither a report nor a metrics.json: ${error.message}`;
  }
}
