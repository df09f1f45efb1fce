// Quality, or any figure, against another: points with their intervals, the front, what is invalid crossed out.
const SHAPES = { measured: "circle", estimated: "circle", emulated: "diamond", none: "circle", reference: "square", invalid: "M-.9-.9L.9.9M-.9.9L.9-.9" };
const MANY = 300; // points: more are drawn on a canvas, which is faster, and have no text of their own for a screen reader
const LABELS = 14;
const SPREAD = 5; // of an axis: more than so much, and it is logarithmic
let drawn = null;
let wanted = "";

function point(row) {
  const [x, y] = [state.x, state.y].map((key) => row.costs[key] ?? row.figures[key]);
  if (!x || !y) return null;
  const invalid = row.status !== "ok";
  const [px, py] = [FIGURES[state.x].per, FIGURES[state.y].per];
  const own = invalid ? colour("bad") : deviceColour(row.device);
  return {
    id: row.id, variant: row.variant, device: row.device, why: row.verdict, group: `${row.device} ${x[3]}`,
    across: figureText(row, state.x), upwards: figureText(row, state.y),
    x: x[0] / px, xl: x[1] / px, xh: x[2] / px, y: y[0] / py, yl: y[1] / py, yh: y[2] / py,
    shape: invalid ? "invalid" : row.reference ? "reference" : x[4], colour: own,
    fill: !invalid && x[4] === "measured" ? own : "transparent",
    said: `${row.variant} on ${row.device}. ${figureText(row, state.x)}. ${figureText(row, state.y)}. ${row.verdict}`,
    front: !invalid && state.y === KEYS[0] && row.fronts.includes(state.x), chosen: row.id === state.row,
  };
}

// The labels of the front and the reference, as far as they do not lie on each other.
function label(points) {
  const size = (name) => Math.max(...points.map((p) => p[name])) - Math.min(...points.map((p) => p[name])) || 1;
  const [width, height] = [size("x"), size("y")];
  const placed = [];
  for (const p of points.filter((each) => each.front || each.shape === "reference" || each.chosen)) {
    const near = placed.some((q) => Math.abs(p.x - q.x) / width < 0.2 && Math.abs(p.y - q.y) / height < 0.07);
    if (!near && placed.length < LABELS) placed.push(p);
  }
  for (const p of placed) p.label = state.device ? p.variant : `${p.variant} @ ${p.device}`;
}

function axis(key, points, name) {
  const values = points.map((p) => p[name]);
  const low = Math.min(...values, ...points.map((p) => p[`${name}l`]));
  const logarithmic = low > 0 && Math.max(...values) > SPREAD * Math.min(...values);
  const title = `${FIGURES[key].title}${logarithmic ? ", logarithmic" : ""}`;
  const scale = logarithmic ? { type: "log", nice: false, padding: 18 } : { zero: false, padding: 18 };
  return { field: name, type: "quantitative", scale, title, axis: { tickCount: 6, format: ",.4~r" } };
}

function frontSpec(points) {
  const plain = (field) => ({ field, type: "nominal", scale: null });
  const rule = { type: "rule", opacity: 0.45, tooltip: null };
  const seen = ["variant", "device", "across", "upwards", "why"];
  return {
    width: "container", height: 380, autosize: { type: "fit", contains: "padding" }, data: { name: "points", values: points },
    encoding: { x: axis(state.x, points, "x"), y: axis(state.y, points, "y"), stroke: plain("colour") },
    layer: [
      { transform: [{ filter: "datum.front" }], mark: { type: "line", interpolate: "step-after", strokeWidth: 1.6, opacity: 0.6 }, encoding: { detail: { field: "group" }, order: { field: "x" } } },
      { mark: rule, encoding: { y: { field: "yl" }, y2: { field: "yh" } } },
      { mark: rule, encoding: { x: { field: "xl" }, x2: { field: "xh" } } },
      { transform: [{ filter: "datum.chosen" }], mark: { type: "point", size: 420, strokeWidth: 2 } },
      {
        mark: { type: "point", size: 95, strokeWidth: 2, opacity: 1, cursor: "pointer" },
        encoding: {
          shape: { field: "shape", type: "nominal", scale: { domain: Object.keys(SHAPES), range: Object.values(SHAPES) }, legend: null },
          fill: plain("fill"), description: { field: "said" }, tooltip: seen.map((field) => ({ field, type: "nominal" })),
        },
      },
      { transform: [{ filter: "datum.label" }], mark: { type: "text", align: "left", dx: 9, dy: -9, fontSize: 12, fill: colour("ink"), strokeWidth: 0, limit: 260 }, encoding: { text: { field: "label" }, stroke: { value: null } } },
    ],
  };
}

async function drawFront(rows) {
  const points = rows.map(point).filter(Boolean);
  const [x, y] = [FIGURES[state.x], FIGURES[state.y]];
  const place = document.getElementById("chart");
  document.getElementById("chart-title").textContent = x && y
    ? `${y.name} against ${x.name.toLowerCase()}: ${points.length} of ${rows.length} pairs${state.device ? ` on ${state.device}` : ""}`
    : "";
  crossOut(rows);
  legend(points);
  place.hidden = !points.length;
  if (!points.length) return;
  label(points);
  const spec = frontSpec(points);
  const kind = JSON.stringify([spec.encoding, DARK.matches, points.length > MANY]);
  wanted = kind;
  if (drawn?.kind === kind) {
    drawn.view.data("points", points).runAsync();
    return;
  }
  const made = await draw(place, spec, points.length > MANY);
  if (wanted !== kind) return made.finalize(); // the view has changed meanwhile
  drawn?.finalize();
  drawn = { kind, view: made.view, finalize: made.finalize };
  made.view.addEventListener("click", (_, item) => item?.datum?.id && change({ row: item.datum.id }));
}

// What did not run, or does not count: crossed out, each reason once.
function crossOut(rows) {
  const reasons = new Map();
  for (const row of rows.filter((each) => each.status !== "ok")) {
    reasons.set(row.verdict, [...(reasons.get(row.verdict) ?? []), state.device ? row.variant : row.id]);
  }
  const items = [...reasons].map(([reason, names]) => element("li", {}, element("s", {}, names.slice(0, 8).join(", ")),
    `${names.length > 8 ? ` and ${names.length - 8} more` : ""} ${reason}`));
  document.getElementById("crossed").replaceChildren(...items.slice(0, 12), ...(items.length > 12 ? [element("li", {}, `and ${items.length - 12} more reasons in the table`)] : []));
}

// Which colour is which device, where there are several.
function legend(points) {
  const devices = [...new Set(points.map((p) => p.device))];
  if (devices.length < 2) return;
  const names = devices.map((device) => element("span", { style: `color: ${deviceColour(device)}` }, ` ▬ ${device}`));
  document.getElementById("chart-title").append(element("br"), ...names);
}

// Of what writes text: how near each variant comes to what the memory gives.
let roofed = null;
async function drawRoof(rows) {
  const known = rows.filter((row) => row.roof);
  document.getElementById("roof").hidden = !known.length;
  const kind = JSON.stringify([known.map((row) => row.id), DARK.matches]);
  if (!known.length || kind === roofed) return;
  roofed = kind;
  const values = known.map((row) => ({ name: state.device ? row.variant : row.id, read: row.roof[0], roof: row.roof[1], bound: row.roof[2] }));
  const base = bars([], "GB a second");
  const tooltip = ["name", "read", "roof", "bound"].map((field) => ({ field, type: "nominal" }));
  await draw("#roof-chart", {
    ...base, height: BAR * known.length + 46, data: { values }, mark: undefined,
    encoding: { y: base.encoding.y, tooltip },
    layer: [
      { mark: base.mark, encoding: { x: { field: "read", type: "quantitative", title: "GB a second" } } },
      { mark: { type: "tick", thickness: 2, color: colour("ink") }, encoding: { x: { field: "roof", type: "quantitative" } } },
    ],
  });
}
drawers.push(drawFront, drawRoof);
