// Wires the controls to the state, and shows it.
const controls = [...document.querySelectorAll("[data-state]")];

for (const axis of ["x", "y"]) {
  const select = document.querySelector(`[data-state=${axis}]`);
  select?.append(...DATA.figures.map(({ key, name, unit }) => element("option", { value: key }, `${name} ${unit}`.trim())));
}
for (const control of controls) {
  const tick = control.type === "checkbox";
  control.addEventListener("input", () => change({ [control.dataset.state]: tick ? (control.checked ? "1" : "") : control.value }));
  watchers.push(() => {
    if (tick) control.checked = Boolean(state[control.dataset.state]);
    else if (control.value !== state[control.dataset.state]) control.value = state[control.dataset.state];
  });
}
if (DATA.rows.length) {
  prepareTable();
  prepareUse();
  prepareCurves();
  document.querySelector("form.filters").addEventListener("reset", (event) => {
    event.preventDefault();
    change({ ...DEFAULTS });
  });
  document.getElementById("all").addEventListener("click", () => change({ all: "1" }));
  const link = document.getElementById("link");
  link.addEventListener("click", () => copy(location.href.split("#")[0] + address(), link));
  document.getElementById("earlier").addEventListener("change", (event) => showChanges(event.target.files[0]));
  addEventListener("hashchange", () => {
    restore();
    show();
    if (state.row) document.getElementById("explore").scrollIntoView();
  });
  DARK.addEventListener("change", show);
  document.documentElement.classList.add("ready"); // first, as charts take the width that they find
  restore();
  show();
}
