// What changed against another run, whose report or metrics.json the reader opens.
const SAME = 1e-5; // relative: the page has six digits of a number

async function earlier(file) {
  const text = await file.text();
  if (!file.name.endsWith(".html")) return JSON.parse(text); // {variant: {device: {figure: value}}}
  const block = new DOMParser().parseFromString(text, "text/html").getElementById("figures");
  if (!block) throw new Error("no figures in it");
  const found = {};
  for (const row of JSON.parse(block.textContent).rows.filter((each) => each.status === "ok")) {
    (found[row.variant] ??= {})[row.device] = Object.fromEntries(Object.entries(row.figures).map(([key, value]) => [key, value[0]]));
  }
  return found;
}

function differences(before) {
  const found = [];
  for (const row of DATA.rows) {
    const old = before[row.variant]?.[row.device];
    const now = row.status === "ok" ? row.figures : {};
    for (const key of KEYS) {
      const [was, is] = [old?.[key], now[key]?.[0]];
      if (was === is || Math.abs(was - is) <= SAME * Math.abs(was)) continue;
      const [low, high] = [now[key]?.[1], now[key]?.[2]];
      found.push({ row, key, was, is, share: was ? is / was - 1 : undefined, within: low < high && was >= low && was <= high });
    }
  }
  for (const [variant, devices] of Object.entries(before)) {
    for (const device of Object.keys(devices)) {
      if (!ROWS[`${variant}@${device}`]) found.push({ row: { id: `${variant}@${device}` }, key: "", gone: true });
    }
  }
  return found.sort((a, b) => Math.abs(b.share ?? Infinity) - Math.abs(a.share ?? Infinity));
}

function tell({ row, key, was, is, share, within, gone }) {
  if (gone) return [row.id, "", "", "", "is no longer there"];
  const { name, unit, title, per, lower } = FIGURES[key];
  const text = (value) => (value === undefined ? "–" : written(value / per));
  const better = is < was === lower ? "better" : "worse";
  const change = share === undefined ? (was === undefined ? "new" : "lost") : `${share > 0 ? "+" : "−"}${written(Math.abs(100 * share))} %`;
  return [row.id, title.includes(name.toLowerCase()) ? title : `${name} ${unit}`, text(was), text(is), share === undefined ? change : `${change}, ${within ? "within its interval" : better}`];
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
