// What a use of so much comes to: days on a battery, kilowatt-hours and money a year.
const MJ_PER_WH = 3.6e6;
const HOURS = 24 * 365;
const MOST = 12; // lines
const sliders = {};

function prepareUse() {
  for (const slider of document.querySelectorAll("[data-power]")) {
    sliders[slider.dataset.power] = slider;
    slider.addEventListener("input", () => showUse(DATA.rows.filter(matches)));
  }
}

function amount(name) {
  return Number((10 ** Number(sliders[name].value)).toPrecision(2));
}

function written(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

function energy(row) {
  return row.status === "ok" ? row.figures.energy_mj ?? row.figures.energy_mj_per_token : undefined;
}

function showUse(rows) {
  const [wh, rate, devices, price] = ["wh", "rate", "devices", "price"].map(amount);
  const texts = { wh: `${written(wh)} Wh`, rate: written(rate), devices: written(devices), price: written(price) };
  for (const output of document.querySelectorAll("output[data-of]")) output.textContent = texts[output.dataset.of];
  const found = rows.filter(energy).sort((a, b) => energy(a)[0] - energy(b)[0]).slice(0, MOST);
  const head = ["Pair", "mJ", "Days on the battery", "kWh a year", "Money a year"].map((text, i) => element("th", { scope: "col", role: "columnheader", class: i ? "number" : "" }, text));
  const lines = found.map((row) => {
    const mj = energy(row);
    const days = (each) => (wh * MJ_PER_WH) / (each * rate * 24);
    const kwh = (each) => (each * rate * HOURS * devices) / (1000 * MJ_PER_WH);
    const late = (row.figures.latency_ms ?? row.figures.token_ms)?.[0] * rate > 3.6e6;
    const cells = [["mJ", mj[5]], ["Days", around(mj, days)], ["kWh", around(mj, kwh)], ["Money", around(mj, (each) => kwh(each) * price)]];
    return element("tr", { role: "row" }, element("th", { scope: "row", role: "rowheader" }, row.id, element("small", {}, late ? "too slow for so many" : mj[3])),
      ...cells.map(([name, text]) => element("td", { role: "cell", class: "number", "data-name": name }, text)));
  });
  const none = element("tr", { role: "row" }, element("td", { role: "cell", colspan: 5 }, "None of these pairs has a figure of energy."));
  document.getElementById("uses").replaceChildren(element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...(lines.length ? lines : [none])));
}

// A value with what its bounds come to.
function around([value, low, high], of) {
  const ends = [of(low), of(high)].sort((a, b) => a - b);
  return low === high ? written(of(value)) : `${written(of(value))} [${ends.map(written).join("–")}]`;
}
drawers.push(showUse);
