// Quality against latency: one point for each method that was timed on real hardware.
// Up is better for every measure, so the axis of FLIP and flicker runs downwards.

const PLOT = { height: 340, left: 58, right: 18, top: 22, bottom: 44, label: 13 };
const BUDGETS_MS = { "60 fps": 1000 / 60, "120 fps": 1000 / 120 };
const LOG_FROM = 10; // ratio of the longest to the shortest time

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Round numbers in [low, high], about `count` of them.
function roundTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step); tick * step <= high + step / 1e6; tick++) {
    ticks.push(tick * step);
  }
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    ticks.push(...[1, 2, 5].map((factor) => factor * 10 ** power));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

// `room` to the right of the last point is for its label.
function timeAxis(points, width, room) {
  const least = Math.min(...points.map((point) => point.p50));
  const most = Math.max(...points.map((point) => point.p95));
  const log = most / least > LOG_FROM;
  const low = log ? least / 1.5 : 0;
  const high = log ? most * 1.3 : most * 1.05;
  const place = log ? Math.log : (value) => value;
  const at = (ms) => PLOT.left + (width - PLOT.left - PLOT.right - room)
    * (place(ms) - place(low)) / (place(high) - place(low));
  return { at, log, low, high, ticks: log ? logTicks(low, high) : roundTicks(low, high, 6).ticks };
}

function qualityAxis(points, measure) {
  const { better, mean: digits } = MEASURES[measure];
  const values = points.map((point) => point.value);
  const span = Math.max(Math.max(...values) - Math.min(...values), 10 ** (1 - digits));
  const low = Math.min(...values) - 0.14 * span;
  const high = Math.max(...values) + 0.14 * span;
  const share = (value) => (value - low) / (high - low);
  const at = (value) => PLOT.top + (PLOT.height - PLOT.top - PLOT.bottom)
    * (better > 0 ? 1 - share(value) : share(value));
  return { at, ...roundTicks(low, high, 5) };
}

function overlap(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

// Places for a label: beside its point, then further and further off, with a line to lead back.
function* labelPlaces(point, width) {
  const beside = { width, height: PLOT.label + 3 };
  for (let step = 0; step <= 12; step++) {
    for (const shift of step ? [-step * 8, step * 8] : [0]) {
      const y = point.y - beside.height / 2 + shift;
      yield { ...beside, x: Math.max(point.x, point.end) + 10, y };
      yield { ...beside, x: point.x - 10 - width, y };
      if (step >= 2) yield { ...beside, x: point.x - width / 2, y };
    }
  }
}

// Labels avoid one another, every point, every whisker and the frame.
function placeLabels(points, width, measureText) {
  const taken = points.flatMap((point) => [
    { x: point.x - 7, y: point.y - 7, width: 14, height: 14 },
    { x: point.x, y: point.y - 2, width: Math.max(0, point.end - point.x), height: 4 }]);
  return points.map((point) => {
    const long = measureText(point.method.key);
    const places = [...labelPlaces(point, long)].filter((place) => place.x >= PLOT.left + 2
      && place.x + place.width <= width && place.y >= 0
      && place.y + place.height <= PLOT.height - PLOT.bottom);
    const free = places.find((place) => !taken.some((box) => overlap(place, box)));
    const place = free ?? places[0] ?? { x: PLOT.left + 4, y: point.y, width: long, height: 16 };
    taken.push(place);
    return place;
  });
}

function drawGrid(drawing, width, times, quality, measure) {
  const bottom = PLOT.height - PLOT.bottom;
  const text = (words, x, y, anchor, kind = "tick") =>
    svg("text", { x, y, "text-anchor": anchor, class: kind }, words);
  for (const tick of quality.ticks) {
    const y = quality.at(tick);
    drawing.append(svg("line", { x1: PLOT.left, x2: width - PLOT.right, y1: y, y2: y, class: "grid" }),
      text(number(tick, quality.digits), PLOT.left - 8, y + 4, "end"));
  }
  for (const tick of times.ticks) {
    const x = times.at(tick);
    drawing.append(svg("line", { x1: x, x2: x, y1: bottom, y2: bottom + 4, class: "axis" }),
      text(String(Number(tick.toPrecision(6))), x, bottom + 17, "middle"));
  }
  for (const [name, ms] of Object.entries(BUDGETS_MS)) {
    if (ms <= times.low || ms >= times.high) continue;
    const x = times.at(ms);
    drawing.append(svg("line", { x1: x, x2: x, y1: PLOT.top, y2: bottom, class: "budget" }),
      text(name, x, PLOT.top - 8, "middle"));
  }
  const { name, unit, better } = MEASURES[measure];
  const title = `${name}${unit === "dB" ? ", dB" : ""}${better > 0 ? "" : ", downwards"}`;
  drawing.append(svg("line", { x1: PLOT.left, x2: width - PLOT.right, y1: bottom, y2: bottom, class: "axis" }),
    text(`Latency of a frame, ms${times.log ? ", logarithmic" : ""}`, width - PLOT.right,
      PLOT.height - 6, "end", "title"),
    text(title, 0, PLOT.top - 8, "start", "title"));
}

function drawPlot() {
  const holder = find("#plot .drawing");
  const width = Math.max(280, holder.clientWidth);
  const points = timedPoints();
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.font = `500 ${PLOT.label}px ${getComputedStyle(holder).fontFamily}`;
  const measureText = (words) => Math.ceil(canvas.measureText(words).width) + 2;
  const longest = Math.max(...points.map((point) => measureText(point.method.key)));
  const times = timeAxis(points, width, Math.min(longest, width / 5));
  const quality = qualityAxis(points, chosen);
  for (const point of points) {
    Object.assign(point, { x: times.at(point.p50), y: quality.at(point.value), end: times.at(point.p95) });
  }
  points.sort((a, b) => a.y - b.y);
  const drawing = svg("svg", {
    width, height: PLOT.height, viewBox: `0 0 ${width} ${PLOT.height}`, role: "img",
    "aria-label": `${MEASURES[chosen].name} against latency; the table of methods has the numbers`,
  });
  drawGrid(drawing, width, times, quality, chosen);
  const places = placeLabels(points, width, measureText);
  points.forEach((point, index) => drawPoint(drawing, point, places[index]));
  holder.replaceChildren(drawing);
}

function drawPoint(drawing, point, place) {
  const style = `--c: ${point.method.colour}`;
  const middle = place.y + place.height / 2;
  // From the nearest spot of point and whisker to that of the label, where it had to move away.
  const from = Math.min(Math.max(place.x, point.x), Math.max(point.x, point.end));
  const x = Math.min(Math.max(from, place.x - 2), place.x + place.width + 2);
  const y = Math.min(Math.max(point.y, place.y), place.y + place.height);
  if (Math.hypot(x - from, y - point.y) > 14) {
    drawing.append(svg("line", { x1: from, y1: point.y, x2: x, y2: y, class: "lead" }));
  }
  const { digits } = MEASURES[chosen];
  drawing.append(
    svg("line", { x1: point.x, x2: point.end, y1: point.y, y2: point.y, class: "whisker", style }),
    svg("circle", { cx: point.x, cy: point.y, r: 5, class: "point", style },
      svg("title", {}, `${point.method.key}: ${number(point.value, digits)}, `
        + `p50 ${number(point.p50, 2)} ms, p95 ${number(point.p95, 2)} ms`)),
    svg("text", { x: place.x, y: middle + 4.5, class: "name" }, point.method.key));
}

function timedPoints() {
  return methods.filter((method) => method.latency && !method.emulated
    && Number.isFinite(mean(method.overall, chosen) ?? NaN)).map((method) => ({
    method,
    value: mean(method.overall, chosen),
    p50: method.latency.p50_ms,
    p95: method.latency.p95_ms,
  }));
}

// Methods without a place in the plot, and why.
function absent() {
  const words = [];
  const emulated = methods.filter((method) => method.emulated);
  const untimed = methods.filter((method) => !method.emulated && !method.latency);
  const name = (method) => {
    const { name: measure, mean: digits } = MEASURES[chosen];
    return `${method.key} (${measure} ${number(mean(method.overall, chosen), digits)})`;
  };
  if (emulated.length) {
    words.push(el("p", {}, badge(), ` ${emulated.map(name).join(", ")}: not drawn, `
      + "since times of an imitated processor mean nothing."));
  }
  if (untimed.length) words.push(el("p", {}, `Not timed: ${untimed.map(name).join(", ")}.`));
  return words;
}

function startPlot() {
  const drawn = measures.length > 0 && methods.some((method) => method.latency && !method.emulated);
  find("#plot").hidden = !drawn;
  if (!drawn) return;
  const redraw = () => {
    const points = timedPoints();
    find("#plot .drawing").hidden = !points.length;
    if (points.length) drawPlot();
    find("#plot .note").replaceChildren(
      "Up and to the left is better. The line beside a point reaches from p50 to p95.", ...absent());
  };
  find("#plot .heading").append(selectMeasure());
  redraws.push(redraw);
  // Drawn anew for every width, so that the type keeps its size.
  new ResizeObserver(redraw).observe(find("#plot .heading"));
  redraw();
}
