// The chosen pair: why it is so, where its time goes, which layers feel it, how to measure it again.
let detailed = null;

function showDetail() {
  const row = ROWS[state.row];
  const place = document.getElementById("detail");
  const kind = `${state.row} ${DARK.matches}`;
  if (!row || kind === detailed) return;
  detailed = kind;
  const figures = KEYS.filter((key) => row.figures[key]).map((key) => element("li", {}, figureText(row, key)));
  const status = row.status === "ok" ? row.outcome : row.status;
  const replay = element("code", { id: "replay" }, row.replay);
  place.replaceChildren(
    element("h3", {}, `${row.variant} on ${row.device}: ${[status, ...row.flags].join(", ")}`),
    element("p", { class: "why" }, row.verdict),
    element("ul", { class: "figures" }, ...figures),
    element("p", {}, "To measure it again: ", replay, " ", copyButton(() => row.replay)),
  );
  const layers = DATA.sensitivity[row.variant];
  chartBelow(place, row.operators, "Where the time goes, by operator", "ms, while profiled",
    row.status === "ok" ? "This runtime does not tell where the time goes." : "");
  chartBelow(place, layers, "Which layers lose most by the scheme", "drop of quality when it alone is quantized",
    `Which layers lose most: tercet sensitivity ${row.variant}`);
}

function chartBelow(place, pairs, title, axisTitle, otherwise) {
  if (!pairs?.length) {
    if (otherwise) place.append(element("p", { class: "aside" }, otherwise));
    return;
  }
  const chart = element("div", { class: "bars", role: "group", "aria-label": title });
  place.append(element("h4", {}, title), chart);
  draw(chart, bars(pairs, axisTitle));
}
watchers.push(showDetail);
