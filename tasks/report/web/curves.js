// How training went: what was told after each epoch, a line for each model.
const TOLD = [...new Set(Object.values(DATA.histories).flatMap(Object.keys))].sort((a, b) => b.startsWith("val_") - a.startsWith("val_"));
let curved = null;

function prepareCurves() {
  const select = document.getElementById("measure");
  if (!select || !TOLD.length) return;
  document.getElementById("curves").hidden = false;
  select.append(...TOLD.map((name) => element("option", { value: name }, name.replace("val_", "validation ").replaceAll("_", " "))));
  select.value = TOLD.find((name) => name.startsWith("val_") && !name.includes("loss")) ?? TOLD[0];
  select.addEventListener("input", drawCurves);
  drawers.push(drawCurves);
}

async function drawCurves() {
  const measure = document.getElementById("measure").value;
  const kind = `${measure} ${DARK.matches}`;
  if (kind === curved) return;
  curved = kind;
  const values = Object.entries(DATA.histories).flatMap(([model, told]) => (told[measure] ?? []).map((value, i) => ({ model, epoch: i + 1, value })));
  const models = [...new Set(values.map((each) => each.model))];
  const range = models.map((_, i) => colour(`device-${(i % 8) + 1}`));
  const legend = { labelColor: colour("muted"), title: null, orient: "bottom", labelLimit: 260 };
  const model = { field: "model", type: "nominal", scale: { domain: models }, legend };
  const most = Math.max(...values.map((each) => each.epoch));
  await draw("#curves-chart", {
    width: "container", height: 260, autosize: { type: "fit", contains: "padding" }, data: { values },
    mark: { type: "line", point: true, invalid: "break-paths-filter-domains" },
    encoding: {
      x: { field: "epoch", type: "quantitative", title: "epoch of the model's own training", axis: { tickCount: Math.min(most - 1, 12), format: "d" } },
      y: { field: "value", type: "quantitative", title: measure, scale: { zero: false } },
      color: { ...model, scale: { domain: models, range } },
      strokeDash: model, shape: model,
      tooltip: ["model", "epoch", "value"].map((field) => ({ field, type: field === "model" ? "nominal" : "quantitative" })),
    },
  });
}
