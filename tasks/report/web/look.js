// Elements, colours and charts as this page has them.
const DARK = matchMedia("(prefers-color-scheme: dark)");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function deviceColour(device) {
  const place = [...new Set(DATA.rows.map((row) => row.device))].indexOf(device);
  return colour(`device-${(place % 8) + 1}`);
}

// Vega's expressions are interpreted (`ast`), as the page's policy lets nothing be evaluated.
async function draw(place, spec, many = false) {
  const options = { ast: true, actions: false, logLevel: 1, renderer: many ? "canvas" : "svg" };
  return vegaEmbed(place, { ...spec, config: config() }, { ...options, tooltip: { theme: DARK.matches ? "dark" : "light" } });
}

function config() {
  const [ink, muted, grid, line] = ["ink", "muted", "grid", "line"].map(colour);
  const axis = { labelColor: muted, titleColor: muted, gridColor: grid, domainColor: line, tickColor: line };
  return {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
    axis: { ...axis, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" }, text: { color: ink },
  };
}

const BAR = 22; // pixels

// Horizontal bars of [label, value] pairs.
function bars(pairs, title, mark = colour("accent")) {
  return {
    width: "container", height: BAR * pairs.length + 46, autosize: { type: "fit", contains: "padding" }, data: { values: pairs.map(([name, value]) => ({ name, value })) },
    mark: { type: "bar", color: mark, height: { band: 0.7 } },
    encoding: {
      y: { field: "name", type: "nominal", sort: null, title: null, axis: { labelLimit: 220 } },
      x: { field: "value", type: "quantitative", title },
      tooltip: [{ field: "name" }, { field: "value", format: ".4~g", title }],
    },
  };
}

function figureText(row, key) {
  const { name, unit } = FIGURES[key];
  return `${name} ${row.figures[key][5]}${unit ? ` ${unit}` : ""}, ${row.figures[key][3]}`;
}

async function copy(text, button) {
  const was = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    prompt("Copy", text); // a frame that may not reach the clipboard
  }
  setTimeout(() => { button.textContent = was; }, 1500);
}

function copyButton(text, label = "Copy") {
  const button = element("button", { type: "button", class: "copy" }, label);
  button.addEventListener("click", () => copy(text(), button));
  return button;
}
