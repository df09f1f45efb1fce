// What is shown, kept in the page's address: a link restores the view.
const DATA = JSON.parse(document.getElementById("figures").textContent);
const FIGURES = Object.fromEntries(DATA.figures.map((figure) => [figure.key, figure]));
const ROWS = Object.fromEntries(DATA.rows.map((row) => [row.id, row]));
const KEYS = Object.keys(FIGURES);

const DEFAULTS = {
  device: DATA.rows.find((row) => row.status === "ok")?.device ?? "",
  scheme: "", model: "", status: "", text: "", front: "",
  x: ["latency_ms", "token_ms", "instructions", "gzip_bytes"].find((key) => key in FIGURES) ?? KEYS[1] ?? "",
  y: KEYS[0] ?? "",
  sort: "", row: "", all: "",
};
const state = { ...DEFAULTS };
const watchers = [];
const drawers = [];
let pending = 0;

function restore() {
  const said = new URLSearchParams(location.hash.slice(1));
  if (location.hash && ![...said.keys()].some((key) => key in DEFAULTS)) return; // a place on this page
  Object.assign(state, DEFAULTS);
  for (const [key, value] of said) if (key in DEFAULTS) state[key] = value;
  for (const axis of ["x", "y"]) if (!(state[axis] in FIGURES)) state[axis] = DEFAULTS[axis];
  if (!(state.row in ROWS)) state.row = "";
}

function address() {
  const changed = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  return `#${new URLSearchParams(changed)}`;
}

function change(patch) {
  Object.assign(state, patch);
  try {
    history.replaceState(null, "", address());
  } catch { /* a frame without an address of its own, as MLflow shows pages in */ }
  show();
}

// The table at once; what is drawn, when that is on the screen.
function show() {
  const rows = DATA.rows.filter(matches);
  for (const watcher of watchers) watcher(rows);
  clearTimeout(pending);
  pending = setTimeout(() => requestAnimationFrame(() => setTimeout(() => drawers.forEach((drawer) => drawer(rows)))));
}

function matches(row) {
  return (!state.device || row.device === state.device) && (!state.scheme || row.scheme === state.scheme)
    && (!state.model || row.model === state.model) && (!state.status || row.status === state.status)
    && (!state.front || row.fronts.includes(state.x))
    && (!state.text || row.variant.toLowerCase().includes(state.text.toLowerCase()));
}
