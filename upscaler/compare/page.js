// The page: tables and words. Comes last of the scripts, and starts them.
// Names are the user's: they become text nodes and properties, never markup.

// `digits` are those of a single frame, `mean` those of a mean over frames.
const MEASURES = {
  psnr_db: {
    name: "PSNR", unit: "dB", digits: 2, mean: 3, better: 1,
    text: "Size of the squared error over all pixels and channels, on a logarithmic scale; "
      + "1 dB more is a fifth less squared error.",
  },
  ssim: {
    name: "SSIM", unit: "up to 1", digits: 4, mean: 4, better: 1,
    text: "How alike brightness, contrast and structure are around each pixel; 1 is equal.",
  },
  flip: {
    name: "FLIP", unit: "0 to 1", digits: 4, mean: 4, better: -1,
    text: "Visible difference when flipping between the two pictures on a screen; 0 is none.",
  },
  flicker: {
    name: "Flicker", unit: "levels", digits: 2, mean: 2, better: -1,
    text: "How much the error changes from one frame to the next along the motion, "
      + "in levels of 0 to 255; a steady error does not flicker.",
  },
};
const NATIVE = "native"; // as in results.py
const { shown, comparison } = JSON.parse(document.getElementById("comparison").textContent);
const methods = comparison.methods.map((method, index) => ({
  ...method, id: String(index), colour: `var(--m${index % 8})`,
}));
const native = { key: NATIVE, id: NATIVE, colour: "var(--ink)" };
// Measures that at least one method has, over all frames.
const measures = Object.keys(MEASURES).filter((measure) =>
  methods.some((method) => mean(method.overall, measure) !== null));
const frameMeasures = measures.filter((measure) => comparison.frames.some((frame) =>
  methods.some((method) => (frame.methods[method.key]?.[measure] ?? null) !== null)));
const redraws = [];
let chosen = measures[0];

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") {
      for (const [property, content] of Object.entries(value)) {
        element.style.setProperty(property, content);
      }
    } else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function find(selector) {
  return document.querySelector(selector);
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function mean(figures, measure) {
  return figures?.[measure]?.mean ?? null;
}

function number(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value.toFixed(digits).replace("-", "−");
}

function signed(value, digits) {
  return (value > 0 ? "+" : "") + number(value, digits);
}

function interval(bounds, digits) {
  if (!bounds || bounds.low === null || bounds.high === null) return null;
  return `${number(bounds.low, digits)} to ${number(bounds.high, digits)}`;
}

// Of the first method its interval; of the others that of the difference to the first, which is
// narrower: frames differ by more than methods do.
function spread(method, measure) {
  const { digits } = MEASURES[measure];
  const { low, high } = method.difference?.[measure] ?? {};
  if (low === undefined || low === null) return interval(method.overall[measure], digits);
  return `${signed(low, digits)} to ${signed(high, digits)}`;
}

// Best of the values as they are printed, or null where nothing is to be told apart.
function best(values, better, digits) {
  const printed = values.filter((value) => value !== null && value !== undefined)
    .map((value) => Number.isFinite(value) ? Number(value.toFixed(digits)) : value);
  if (new Set(printed).size < 2) return null;
  return better > 0 ? Math.max(...printed) : Math.min(...printed);
}

function figureCell(value, digits, winner, small = null) {
  const rounded = Number.isFinite(value) ? Number(value?.toFixed(digits)) : value;
  const wins = winner !== null && value !== null && value !== undefined && rounded === winner;
  return el("td", { class: wins ? "figure best" : "figure" },
    el("span", {}, number(value, digits), wins ? el("span", { class: "unseen" }, ", best") : null),
    small === null ? null : el("small", {}, small));
}

function arrow(better) {
  return el("span", { class: "arrow", title: better > 0 ? "higher is better" : "lower is better" },
    better > 0 ? "↑" : "↓");
}

function measureHead(measure) {
  const { name, unit, better } = MEASURES[measure];
  return el("th", { scope: "col", class: "figure" }, `${name} `, arrow(better), el("small", {}, unit));
}

function label(method) {
  return el("span", { class: "label" },
    el("i", { class: "swatch", style: { "--c": method.colour } }), method.key);
}

function badge() {
  return el("span", {
    class: "badge", title: "another processor is imitated: right results, meaningless times",
  }, "emulated");
}

function table(head, rows, attributes = {}) {
  return el("table", attributes, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

function selectMeasure(options = measures) {
  const select = el("select", {
    onchange: () => { chosen = select.value; redraws.forEach((redraw) => redraw()); },
  }, ...options.map((measure) => el("option", { value: measure }, MEASURES[measure].name)));
  redraws.push(() => { select.value = options.includes(chosen) ? chosen : options[0]; });
  select.value = chosen;
  return el("label", { class: "choice" }, "Measure ", select);
}

function drawSummary() {
  const { frames, scale } = comparison;
  const at = scale === "mixed" ? "at mixed scales" : `at ${scale}`;
  find("h1").textContent =
    `${plural(methods.length, "method")} on ${plural(frames.length, "frame")} ${at}`;
  find(".finding").textContent = finding();
  const made = comparison.made.replace(/^(\d+-\d+-\d+)T(\d+:\d+)[\d:.]*(.*)$/, "$1 $2 $3");
  const facts = {
    Machine: comparison.machine,
    Threads: String(comparison.threads),
    Scenes: comparison.scenes.length ? String(comparison.scenes.length) : "",
    Made: made.replace(/ (Z|\+00:00)$/, " UTC"),
    Version: `upscaler ${comparison.upscaler}`,
  };
  find(".facts").append(...Object.entries(facts).filter(([, text]) => text)
    .map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}

function finding() {
  if (!measures.length) return "No native render was given, so there are no figures of quality.";
  const { name, unit, better, mean: digits } = MEASURES[measures[0]];
  const rated = methods.filter((method) => mean(method.overall, measures[0]) !== null)
    .map((method) => ({ key: method.key, value: mean(method.overall, measures[0]) }))
    .sort((a, b) => better * (b.value - a.value) || 0);
  const text = `Nearest to the native render in mean ${name}: ${rated[0].key}, `
    + `${number(rated[0].value, digits)} ${unit}`;
  const first = mean(methods[0].overall, measures[0]);
  const ahead = rated[0].value - first;
  if (rated[0].key === methods[0].key || first === null || !Number.isFinite(ahead)) return `${text}.`;
  return `${text}, ${number(Math.abs(ahead), digits)} ${unit} ${better > 0 ? "above" : "below"} `
    + `${methods[0].key}.`;
}

function drawMethods() {
  const timed = methods.some((method) => method.latency);
  const usual = usualDevice();
  const head = [el("th", { scope: "col" }, "Method"), el("th", { scope: "col" }, "Engine"),
    ...measures.map(measureHead)];
  const times = [["p50_ms", "p50"], ["p95_ms", "p95"]];
  if (timed) {
    head.push(...times.map(([, name]) => el("th", { scope: "col", class: "figure" },
      `Latency ${name} `, arrow(-1), el("small", {}, "ms"))));
  }
  const real = methods.filter((method) => method.latency && !method.emulated);
  const winners = Object.fromEntries([
    ...measures.map((measure) => [measure, best(methods.map((method) =>
      mean(method.overall, measure)), MEASURES[measure].better, MEASURES[measure].mean)]),
    ...times.map(([key]) => [key, best(real.map((method) => method.latency[key]), -1, 2)]),
  ]);
  const latency = (method) => {
    if (!method.emulated) {
      return times.map(([key]) => figureCell(method.latency?.[key], 2, winners[key]));
    }
    const imitated = times.map(([key]) => number(method.latency?.[key], 2)).join(" / ");
    return [el("td", { class: "figure", colspan: 2 }, badge(),
      method.latency ? el("small", {}, imitated) : null)];
  };
  const rows = methods.map((method) => el("tr", {},
    el("th", { scope: "row" }, label(method)),
    el("td", {}, method.engine, method.device === usual ? null : el("small", {}, method.device)),
    ...measures.map((measure) => figureCell(mean(method.overall, measure), MEASURES[measure].mean,
      winners[measure], spread(method, measure))),
    ...(timed ? latency(method) : [])));
  find("#methods .scroll").append(table(head, rows));
  find("#methods .note").textContent = methodsNote(real, usual);
}

// The device of most methods is said once, below the table.
function usualDevice() {
  const devices = methods.map((method) => method.device);
  const count = (device) => devices.filter((other) => other === device).length;
  return devices.reduce((usual, device) => count(device) > count(usual) ? device : usual, devices[0]);
}

function methodsNote(real, usual) {
  const words = [];
  if (measures.length || real.length) {
    words.push("↑ higher is better, ↓ lower is better; the best of each column is coloured.");
  }
  if (methods.some((method) => measures.some((measure) => interval(method.overall[measure], 0)))) {
    words.push("Small: the 95 % bootstrap interval of the mean over frames; with a sign, of the "
      + `difference to ${methods[0].key}, frame by frame.`);
  }
  const sizes = new Set(real.map(({ latency }) =>
    `${latency.input_size} to ${latency.output_size}, ${plural(latency.rounds, "round")}`));
  if (sizes.size) words.push(`Latency: one frame on this machine, ${[...sizes].join("; ")}.`);
  const others = methods.some((method) => method.device !== usual);
  if (usual) words.push(`Device${others ? ", where none is named" : ""}: ${usual}.`);
  if (methods.some((method) => method.emulated)) {
    words.push("Emulated: another processor is imitated; results are right, times mean nothing.");
  }
  return words.join(" ");
}

function drawMeasures() {
  find("#measures dl").append(...measures.flatMap((measure) => [
    el("dt", {}, `${MEASURES[measure].name} `, el("small", {}, MEASURES[measure].unit)),
    el("dd", {}, MEASURES[measure].text)]));
  find("#measures").hidden = !measures.length;
}

// A dot for each method on one line, at its difference to the first.
function differences(scene, measure, reach) {
  const first = mean(scene.methods[methods[0].key], measure);
  const dots = methods.slice(1).map((method) => {
    const difference = mean(scene.methods[method.key], measure) - first;
    if (first === null || !Number.isFinite(difference)) return null;
    return el("i", {
      class: "swatch", title: `${method.key} ${signed(difference, MEASURES[measure].mean)}`,
      style: { "--c": method.colour, left: `${50 + 50 * difference / reach}%` },
    });
  });
  return el("td", { class: "differences" }, el("div", { class: "strip" }, ...dots));
}

function drawScenes() {
  const measure = chosen;
  const { mean: digits, digits: small, better, unit } = MEASURES[measure];
  const first = (scene) => mean(scene.methods[methods[0].key], measure);
  const scenes = comparison.scenes.filter((scene) =>
    methods.some((method) => mean(scene.methods[method.key], measure) !== null));
  // Not by the difference: two infinite figures have none.
  scenes.sort((a, b) => first(a) === first(b) ? 0 : first(a) < first(b) ? -better : better);
  const apart = scenes.flatMap((scene) => methods.map((method) => Math.abs(
    mean(scene.methods[method.key], measure) - mean(scene.methods[methods[0].key], measure))));
  const reach = 1.05 * Math.max(...apart.filter(Number.isFinite), 10 ** -digits);
  const compared = methods.length > 1;
  const head = [el("th", { scope: "col" }, "Scene"),
    el("th", { scope: "col", class: "figure" }, "Frames")];
  const end = reach / 1.05;
  const ends = [number(-end, small), "0", signed(end, small)];
  if (compared) {
    head.push(el("th", { scope: "col", class: "differences" },
      `Difference to ${methods[0].key}${unit === "dB" ? ", dB" : ""} `,
      el("span", { class: "arrow" }, better > 0 ? "(better →)" : "(← better)"),
      el("small", { class: "ends" }, ...ends.map((text) => el("span", {}, text)))));
  }
  head.push(...methods.map((method) => el("th", { scope: "col", class: "figure" }, label(method))));
  const rows = scenes.map((scene) => {
    const values = methods.map((method) => mean(scene.methods[method.key], measure));
    const winner = best(values, better, digits);
    return el("tr", {}, el("th", { scope: "row" }, scene.name),
      el("td", { class: "figure" }, String(scene.frames)),
      compared ? differences(scene, measure, reach) : null,
      ...methods.map((method, index) => figureCell(values[index], digits, winner,
        interval(scene.methods[method.key]?.[measure], small))));
  });
  find("#scenes .scroll").replaceChildren(table(head, rows));
}

function drawFailures() {
  find("#failures").hidden = !comparison.failures.length;
  find("#failures ul").append(...comparison.failures.map((failure) =>
    el("li", {}, el("b", {}, failure.name), ` ${failure.reason}`)));
}

function others() {
  return comparison.frames.filter((frame, index) => !hasCard(frame, index));
}

function drawOthers() {
  const measure = frameMeasures.includes(chosen) ? chosen : frameMeasures[0];
  const head = ["Frame", "Scene"].map((name) => el("th", { scope: "col" }, name));
  const rated = measure ? methods : [];
  const kept = others().some((frame) => Object.keys(frame.pictures).length);
  head.push(...rated.map((method) => el("th", { scope: "col", class: "figure" }, label(method))),
    kept ? el("th", { scope: "col" }, "PNG files") : "");
  const rows = others().map((frame) => {
    const values = rated.map((method) => frame.methods[method.key]?.[measure] ?? null);
    const { better, digits } = MEASURES[measure] ?? {};
    const winner = measure ? best(values, better, digits) : null;
    const file = Object.values(frame.pictures)[0];
    const folder = file?.includes("/") ? file.slice(0, file.lastIndexOf("/")) : ".";
    return el("tr", {}, el("th", { scope: "row" }, frame.name), el("td", {}, frame.scene),
      ...values.map((value) => figureCell(value, digits, winner)),
      file ? el("td", {}, el("a", { href: address(folder) }, folder)) : "");
  });
  find("#others .scroll").replaceChildren(table(head, rows));
}

// A path beside the report as a link; nothing in a name can make it an address elsewhere.
function address(path) {
  return `./${path.split("/").map(encodeURIComponent).join("/")}`;
}

function start() {
  document.documentElement.classList.add("drawn");
  drawSummary();
  drawMethods();
  drawMeasures();
  drawFailures();
  const scenes = comparison.scenes.length && measures.length;
  find("#scenes").hidden = !scenes;
  if (scenes) {
    find("#scenes .heading").append(selectMeasure());
    find("#scenes .note").textContent = `Ordered by ${methods[0].key}, the first method. `
      + (methods.length > 1 ? "Dots: the mean of each other method less its mean." : "");
    redraws.push(drawScenes);
    drawScenes();
  }
  startPlot();
  startCards();
  find("#others").hidden = !others().length;
  if (others().length) {
    if (frameMeasures.length) find("#others .heading").append(selectMeasure(frameMeasures));
    find("#others .note").textContent = others().some((frame) => Object.keys(frame.pictures).length)
      ? "Their pictures are left out to keep this file small; the PNGs lie beside it."
      : "Pictures were kept of the worst frames only.";
    redraws.push(drawOthers);
    drawOthers();
  }
}

start();
