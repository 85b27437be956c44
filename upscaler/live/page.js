// The live page: pictures come over a WebSocket, wishes go back over it.
//
// A picture is acknowledged when it has been drawn, and the next one comes after that: a page in the
// background, which draws nothing, gets nothing. When the connection is lost it is tried again.

const RETRY_MS = 1000;
const TAKEN_OVER = 4001; // as in web.py
const REFUSED = 1008;
const ZOOMS = [0, 1, 2];
const SIDES = ["left", "right"];

const find = (selector) => document.querySelector(selector);
const token = new URLSearchParams(location.search).get("token") ?? "";
const view = find("#view");
const divider = find("#divider");
const canvases = SIDES.map((side) => find(`.layer.${side} canvas`));
const tags = SIDES.map((side) => find(`.tag.${side}`));
const selects = SIDES.map((side) => find(`#${side}`));
const chart = new Chart(find("#chart"), find(".legend"));
const shown = { at: 50, zoom: 0, x: 0, y: 0, width: 16, height: 9, frame: 0 };
let pointer = null;
let state = null;
let socket = null;
let drawing = Promise.resolve();

// Connection

function connect() {
  const address = new URL("live", location.href);
  address.protocol = "ws:";
  address.search = `?token=${encodeURIComponent(token)}`;
  const opened = new WebSocket(address);
  opened.binaryType = "arraybuffer";
  opened.onopen = () => {
    say("");
    if (document.hidden) ask({ hidden: true });
  };
  opened.onmessage = (event) => {
    if (typeof event.data === "string") tell(JSON.parse(event.data));
    else drawing = drawing.then(() => draw(event.data, opened)).catch((error) => say(String(error), true));
  };
  opened.onclose = (event) => {
    if (socket !== opened) return;
    socket = null;
    if (event.code === TAKEN_OVER && event.reason.startsWith("another")) {
      const again = Object.assign(document.createElement("button"), { type: "button", textContent: "Watch here" });
      again.onclick = connect;
      say("Another page was opened, and this one has stopped. ", true, again);
      return;
    }
    if (event.code === REFUSED) return say("The token in the address is wrong.", true);
    say("The connection is lost; trying again.", true);
    setTimeout(connect, RETRY_MS);
  };
  socket = opened;
}

function ask(wish) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(wish));
}

function say(text, trouble = false, ...more) {
  find("#status").replaceChildren(text, ...more);
  find("#status").classList.toggle("trouble", trouble);
}

// Pictures

async function draw(message, from) {
  const length = new DataView(message).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, length)));
  let at = 4 + length;
  const images = [];
  for (const side of head.sides) {
    const data = new Uint8Array(message, at, side.bytes);
    at += side.bytes;
    images.push(side.bytes ? await createImageBitmap(new Blob([data], { type: side.type })) : null);
  }
  const same = head.sides[0].method === head.sides[1].method;
  await new Promise((resolve) => requestAnimationFrame(resolve));
  head.sides.forEach((side, place) => {
    const image = images[place] ?? (same ? images[0] : null);
    const canvas = canvases[place];
    if (canvas.width !== head.width || canvas.height !== head.height) {
      Object.assign(canvas, { width: head.width, height: head.height });
    }
    const pen = canvas.getContext("2d");
    if (image) pen.drawImage(image, 0, 0);
    else pen.clearRect(0, 0, canvas.width, canvas.height);
    tags[place].textContent = side.error ? `${side.method}: ${side.error}`
      : side.method + (side.ms === null ? "" : ` ${side.ms.toFixed(1)} ms`);
    tags[place].classList.toggle("failed", Boolean(side.error));
    canvas.dataset.method = side.method;
    canvas.dataset.exact = String(side.type === "image/png");
    canvas.dataset.error = side.error;
  });
  images.forEach((image) => image?.close());
  if (head.width !== shown.width || head.height !== shown.height) {
    Object.assign(shown, { width: head.width, height: head.height });
    view.style.setProperty("--aspect", String(head.width / head.height));
  }
  find("#waiting").hidden = true;
  shown.frame += 1;
  view.dataset.frames = String(shown.frame);
  view.dataset.time = String(head.time_s);
  place();
  if (from === socket) ask({ ack: head.id });
}

// Words and figures: names are the user's, they become text nodes and never markup.

function tell(told) {
  const first = state === null || state.methods.join() !== told.methods.join();
  state = told;
  find("#source").textContent = [told.source, told.size && told.upscaled ? `${told.size} to ${told.upscaled}` : told.size].filter(Boolean).join(", ");
  selects.forEach((select, place) => {
    if (first) {
      select.replaceChildren(...told.methods.map((method, index) =>
        Object.assign(document.createElement("option"), { value: method, textContent: index < 9 ? `${index + 1}  ${method}` : method })));
    }
    select.value = told[SIDES[place]];
  });
  find("#pause").setAttribute("aria-pressed", String(told.paused));
  const trouble = told.service.note || told.note;
  say(trouble || (told.paused ? "Paused: both pictures are exact" : ""), Boolean(trouble));
  const { path } = told;
  if (path) {
    chart.add(told.stages, path.points, path.statistics.stages.total ?? null);
    find("#points").textContent = `${path.method}, ${path.size} to ${path.upscaled}: a bar for each ${path.each}; percentiles of the last 1024 frames.`;
    const rows = [...told.stages, "total"].filter((stage) => path.statistics.stages[stage]);
    find("#latency tbody").replaceChildren(...rows.map((stage) => row(stage, path.statistics.stages[stage])));
  }
  counts(told);
  facts(".service", [
    ["Engine", `${told.service.engine}${told.service.emulated ? ", EMULATED: times mean nothing" : ""}`],
    ["Device", told.service.device],
    ["Models", told.service.models.join(", ")],
    ["Clients", String(told.service.clients)],
    ["Version", told.service.version],
    ["", told.service.note, "bad"],
  ]);
}

function row(stage, figures) {
  const cells = [figures.p50_ms, figures.p95_ms, figures.p99_ms].map((ms) =>
    Object.assign(document.createElement("td"), { className: "figure", textContent: ms.toFixed(2) }));
  const line = document.createElement("tr");
  line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: stage }), ...cells);
  return line;
}

function counts({ path, counts: more, note }) {
  const told = path?.statistics;
  facts(".counts", !told ? [["", note || "No frames pass yet"]] : [
    ["Method", `${path.method} (${path.engine}${path.emulated ? ", EMULATED" : ""}), ${path.transport}`],
    ["Rate", `${told.fps.toFixed(1)} frames a second`],
    ["Upscaled", String(told.frames)],
    ["Dropped", String(told.dropped), told.dropped ? "some" : ""],
    ["Deadlines missed", String(told.missed), told.missed ? "bad" : ""],
    ["Failed, lost", `${told.failed}, ${told.lost}`, told.failed || told.lost ? "bad" : ""],
    ...Object.entries(more).map(([name, count]) => [name[0].toUpperCase() + name.slice(1), String(count)]),
  ]);
}

function facts(selector, entries) {
  find(`#facts ${selector}`).replaceChildren(...entries.filter(([, text]) => text).flatMap(([name, text, kind]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: text, className: kind ?? "" }),
  ]));
}

// Wipe, zoom and pan

function moveTo(percent) {
  shown.at = Math.min(100, Math.max(0, percent));
  view.style.setProperty("--at", `${shown.at}%`);
  divider.setAttribute("aria-valuenow", String(Math.round(shown.at)));
  divider.setAttribute("aria-valuetext", `${Math.round(shown.at)} %`);
}

// CSS pixels for a pixel of the picture.
function scale() {
  return shown.zoom ? shown.zoom / window.devicePixelRatio : view.clientWidth / shown.width;
}

function zoomTo(zoom, spot = pointer ?? { x: view.clientWidth / 2, y: view.clientHeight / 2 }) {
  const before = scale();
  const [x, y] = [(spot.x - shown.x) / before, (spot.y - shown.y) / before];
  shown.zoom = zoom;
  shown.x = spot.x - x * scale();
  shown.y = spot.y - y * scale();
  place();
}

function place() {
  const kept = (start, room, size) => Math.round(size < room ? (room - size) / 2 : Math.min(0, Math.max(room - size, start)));
  const [width, height] = [shown.width * scale(), shown.height * scale()];
  shown.x = shown.zoom ? kept(shown.x, view.clientWidth, width) : 0;
  shown.y = shown.zoom ? kept(shown.y, view.clientHeight, height) : 0;
  const lengths = { "--x": `${shown.x}px`, "--y": `${shown.y}px`,
    "--w": shown.zoom ? `${width}px` : "100%", "--h": shown.zoom ? `${height}px` : "100%" };
  for (const [name, length] of Object.entries(lengths)) view.style.setProperty(name, length);
  view.classList.toggle("zoomed", shown.zoom > 0);
  view.classList.toggle("enlarged", scale() * window.devicePixelRatio >= 2);
  for (const button of document.querySelectorAll("#zooms button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === shown.zoom));
  }
}

function spotOf(event) {
  const box = view.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

let drag = null;
view.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  view.setPointerCapture(event.pointerId);
  divider.focus({ preventScroll: true });
  drag = { pan: shown.zoom > 0 && !divider.contains(event.target), x: shown.x, y: shown.y, from: spotOf(event) };
  if (!drag.pan) moveTo((100 * drag.from.x) / view.clientWidth);
});
view.addEventListener("pointermove", (event) => {
  pointer = spotOf(event);
  if (drag?.pan) {
    shown.x = drag.x + pointer.x - drag.from.x;
    shown.y = drag.y + pointer.y - drag.from.y;
    place();
  } else if (drag) moveTo((100 * pointer.x) / view.clientWidth);
});
for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { drag = null; });
view.addEventListener("pointerleave", () => { pointer = null; });
view.addEventListener("dblclick", (event) => zoomTo(shown.zoom ? 0 : 1, spotOf(event)));

// Wishes

function choose(place, method) {
  if (state?.methods.includes(method)) ask({ [SIDES[place]]: method });
}

function pause() {
  ask({ paused: !state?.paused });
}

function save(side) {
  const link = document.createElement("a");
  link.href = `picture/${side}.png?token=${encodeURIComponent(token)}`;
  link.download = "";
  link.click();
}

selects.forEach((select, place) => select.addEventListener("change", () => choose(place, select.value)));
find("#pause").addEventListener("click", pause);
find("#step").addEventListener("click", () => ask({ step: true }));
find("#save").addEventListener("click", () => save("right"));
for (const button of document.querySelectorAll("#zooms button")) {
  button.addEventListener("click", () => zoomTo(Number(button.dataset.zoom)));
}
document.addEventListener("visibilitychange", () => ask({ hidden: document.hidden }));
window.addEventListener("resize", place);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  const step = event.shiftKey ? 10 : 1;
  const moves = { ArrowLeft: shown.at - step, ArrowRight: shown.at + step, ArrowDown: shown.at - step,
    ArrowUp: shown.at + step, PageDown: shown.at - 10, PageUp: shown.at + 10, Home: 0, End: 100 };
  const pans = { a: [1, 0], d: [-1, 0], w: [0, 1], s: [0, -1] };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (digit) choose(event.shiftKey ? 1 : 0, state?.methods[Number(digit) - 1]);
  else if (key === "n") choose(event.shiftKey ? 1 : 0, "native");
  else if (event.target === divider && key in moves) moveTo(moves[key]);
  else if (key === " " && event.target.matches("button")) return;
  else if (key === " ") pause();
  else if (key === ".") ask({ step: true });
  else if (key === "z") zoomTo(ZOOMS[(ZOOMS.indexOf(shown.zoom) + 1) % ZOOMS.length]);
  else if (key === "p") save(event.shiftKey ? "left" : "right");
  else if (shown.zoom && key in pans) {
    shown.x += 60 * pans[key][0];
    shown.y += 60 * pans[key][1];
    place();
  } else return;
  event.preventDefault();
});

moveTo(50);
place();
connect();
