// A card for each frame with pictures: the wipe between any two of them, figures and crops.
//
// Pictures stand in the file as blocks of base64. A card makes images of those it shows when it
// comes near the window and frees them when it is far, so a hundred pictures are never decoded.

const ZOOMS = { Fit: 0, "1:1": 1, "2:1": 2 }; // pixels of the screen for one of the picture
const NEAR = "100% 0px";

// Base64 of a block, or null in a file that was cut off. While the page is still read in, the
// block may be there in part: it is whole once something follows it.
async function pictureText(id) {
  for (;;) {
    const loading = document.readyState === "loading";
    const block = document.getElementById(id);
    if (block && (block.nextElementSibling || !loading)) return block.textContent;
    if (!loading) return null;
    await new Promise((resume) => { setTimeout(resume, 50); });
  }
}

function pictureBlob(base64, type) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return new Blob([bytes], { type });
}

class Card {
  constructor(frame, index) {
    this.frame = frame;
    this.index = index;
    this.columns = [...methods, native].filter((column) => column.key in frame.pictures);
    this.left = 0;
    this.right = this.columns.length - 1;
    this.flip = false;
    this.zoom = 0;
    this.at = 50; // the divider, in percent of the view
    this.offset = { x: 0, y: 0 }; // of the zoomed picture in the view, in CSS pixels
    this.near = false;
    this.urls = new Map();
    this.crops = [];
    this.element = this.build();
    this.update();
  }

  build() {
    const { frame } = this;
    const layer = (side) => el("div", { class: `layer ${side}` }, el("img", { alt: "", draggable: false }));
    this.divider = el("div", { class: "divider", role: "slider", tabindex: 0,
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal" }, el("i"));
    this.tags = ["left", "right"].map((side) => el("span", { class: `tag ${side}` }));
    this.mark = el("div", { class: "mark", hidden: "" });
    this.view = el("div", { class: "view", style: { "--aspect": frame.width / frame.height } },
      layer("right"), layer("left"), this.mark, ...this.tags, this.divider);
    this.images = ["left", "right"].map((side) => this.view.querySelector(`.${side} img`));
    this.selects = ["left", "right"].map((side) => chooser(this.columns, `${side} picture`,
      (place) => this.show({ [side]: place })));
    this.buttons = this.buildButtons();
    const element = el("article", { class: "card", id: `frame-${this.index}`, tabindex: -1,
      "aria-label": frame.name },
    el("header", {}, el("span", { class: "rank" }, String(this.index + 1)), el("h3", {}, frame.name),
      el("p", {}, frame.scene ? `${frame.scene} · ` : "",
        `${frame.input_size} to ${frame.width}x${frame.height}`)),
    el("div", { class: "bar" }, this.selects[0], this.buttons, this.selects[1]),
    this.view, this.buildGrid());
    element.addEventListener("keydown", (event) => this.key(event));
    this.follow();
    return element;
  }

  buildButtons() {
    const button = (text, title, action) => el("button", { type: "button", title, onclick: action }, text);
    this.zoomButtons = Object.entries(ZOOMS).map(([name, zoom]) =>
      button(name, zoom ? `${zoom} pixels of the screen for one; drag to pan` : "the whole frame",
        () => this.zoomTo(zoom)));
    this.flipButton = button("FLIP", "heat maps of the visible difference to the native render",
      () => this.show({ flip: !this.flip }));
    const maps = Object.keys(this.frame.flip_maps).length > 0;
    this.flipButton.disabled = !maps;
    return el("div", { class: "buttons" }, el("div", { class: "group" }, ...this.zoomButtons),
      maps ? el("div", { class: "group" }, this.flipButton) : null);
  }

  // Figures and crops share columns: one for each method and one for the native render.
  buildGrid() {
    const { frame, columns, index } = this;
    const figures = frameMeasures.filter((measure) => columns.some((column) =>
      (frame.methods[column.key]?.[measure] ?? null) !== null));
    const rows = figures.map((measure) => {
      const { name, unit, digits, better } = MEASURES[measure];
      const values = columns.map((column) => frame.methods[column.key]?.[measure] ?? null);
      const winner = best(values, better, digits);
      return el("tr", {}, el("th", { scope: "row" }, `${name} `, arrow(better),
        unit === "dB" ? el("small", {}, " dB") : null),
      ...values.map((value, place) => columns[place] === native ? el("td", {}, "")
        : figureCell(value, digits, winner)));
    });
    rows.push(...frame.crops.map((crop, place) => el("tr", { class: "crops" },
      el("th", { scope: "row" }, `Crop ${place + 1}`,
        el("small", {}, `${crop.width}x${crop.height}`), el("small", {}, `at ${crop.x}, ${crop.y}`)),
      ...columns.map((column) => el("td", {},
        this.buildCrop(crop, column, `crop-${index}-${place}-${column.id}`))))));
    rows.push(el("tr", { class: "files" }, el("th", { scope: "row" }, "Exact file"),
      ...columns.map((column) => el("td", {},
        el("a", { href: address(frame.pictures[column.key]) }, "PNG")))));
    const head = [el("td"), ...columns.map((column) => el("th", { scope: "col" }, label(column)))];
    const widest = Math.max(132, ...frame.crops.map((crop) => 2 * crop.width));
    return el("div", { class: "scroll" },
      table(head, rows, { class: "grid", style: { "--columns": columns.length, "--least": `${widest}px` } }));
  }

  buildCrop(crop, column, id) {
    const image = el("img", { class: "crop", alt: `${column.key}, crop`, width: crop.width,
      height: crop.height, style: { "--width": `${crop.width}px` } });
    this.crops.push({ image, id });
    const show = (shown) => () => { this.mark.hidden = !shown; this.placeMark(crop); };
    return el("button", { type: "button", title: "show this place 1:1", onmouseenter: show(true),
      onmouseleave: show(false), onfocus: show(true), onblur: show(false),
      onclick: () => this.goTo(crop) }, image);
  }

  // Change left, right or flip; places that this frame does not have are ignored.
  show({ left = this.left, right = this.right, flip = this.flip }) {
    if (left < this.columns.length) this.left = left;
    if (right < this.columns.length) this.right = right;
    this.flip = flip;
    this.update();
  }

  update() {
    [this.left, this.right].forEach((place, side) => {
      const column = this.columns[place];
      const flip = this.flip && column.key in this.frame.flip_maps;
      this.selects[side].querySelector("select").value = String(place);
      this.selects[side].style.setProperty("--c", column.colour);
      this.tags[side].textContent = flip ? `FLIP of ${column.key}` : column.key;
      this.images[side].alt = this.tags[side].textContent;
      this.fill(this.images[side], `${flip ? "flip" : "picture"}-${this.index}-${column.id}`);
    });
    this.flipButton.setAttribute("aria-pressed", String(this.flip));
    this.divider.setAttribute("aria-label",
      `Divider between ${this.tags[0].textContent} and ${this.tags[1].textContent}`);
    this.moveTo(this.at);
    this.place();
  }

  // Show block `id` in the image, unless the card goes away or another is wanted meanwhile.
  async fill(image, id, type = "image/jpeg") {
    image.dataset.wanted = id;
    if (!this.near) return;
    if (!this.urls.has(id)) {
      const text = await pictureText(id);
      if (text === null || !this.near) return;
      if (!this.urls.has(id)) this.urls.set(id, URL.createObjectURL(pictureBlob(text, type)));
    }
    if (image.dataset.wanted !== id || image.dataset.shown === id) return;
    image.dataset.shown = id;
    image.src = this.urls.get(id);
  }

  setNear(near) {
    this.near = near;
    if (near) {
      this.update();
      for (const { image, id } of this.crops) this.fill(image, id, "image/png");
      return;
    }
    for (const image of [...this.images, ...this.crops.map((crop) => crop.image)]) {
      image.removeAttribute("src");
      delete image.dataset.shown;
    }
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
    this.urls.clear();
  }

  moveTo(percent) {
    this.at = Math.min(100, Math.max(0, percent));
    this.view.style.setProperty("--at", `${this.at}%`);
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.at)));
    this.divider.setAttribute("aria-valuetext", `${Math.round(this.at)} %`);
  }

  // CSS pixels for a pixel of the picture.
  get scale() {
    return this.zoom ? this.zoom / window.devicePixelRatio : this.view.clientWidth / this.frame.width;
  }

  // Zoom, and keep the spot of the picture under (x, y) of the view where it is.
  zoomTo(zoom, x = this.view.clientWidth / 2, y = this.view.clientHeight / 2) {
    const before = this.scale;
    const spot = { x: (x - this.offset.x) / before, y: (y - this.offset.y) / before };
    this.zoom = zoom;
    this.offset = { x: x - spot.x * this.scale, y: y - spot.y * this.scale };
    this.place();
  }

  goTo(crop) {
    this.zoom = this.zoom || 1;
    this.offset.x = this.view.clientWidth / 2 - (crop.x + crop.width / 2) * this.scale;
    this.offset.y = this.view.clientHeight / 2 - (crop.y + crop.height / 2) * this.scale;
    this.place();
    this.placeMark(crop);
    this.view.scrollIntoView({ block: "nearest" });
  }

  place() {
    const { view, frame, offset, scale, zoom } = this;
    // A picture larger than the view covers it; a smaller one stands in its middle.
    const kept = (start, room, size) => Math.round(size < room ? (room - size) / 2
      : Math.min(0, Math.max(room - size, start)));
    offset.x = zoom ? kept(offset.x, view.clientWidth, frame.width * scale) : 0;
    offset.y = zoom ? kept(offset.y, view.clientHeight, frame.height * scale) : 0;
    const width = zoom ? `${frame.width * scale}px` : "100%";
    const height = zoom ? `${frame.height * scale}px` : "100%";
    const lengths = { "--x": `${offset.x}px`, "--y": `${offset.y}px`, "--w": width, "--h": height };
    for (const [name, length] of Object.entries(lengths)) view.style.setProperty(name, length);
    view.classList.toggle("zoomed", zoom > 0);
    view.classList.toggle("enlarged", scale * window.devicePixelRatio >= 2);
    this.zoomButtons.forEach((button, place) =>
      button.setAttribute("aria-pressed", String(Object.values(ZOOMS)[place] === zoom)));
  }

  placeMark({ x, y, width, height }) {
    const { offset, scale, mark } = this;
    const lengths = { left: offset.x + x * scale, top: offset.y + y * scale,
      width: width * scale, height: height * scale };
    for (const [name, length] of Object.entries(lengths)) mark.style.setProperty(name, `${length}px`);
  }

  // Mouse, pen and touch: drag the divider; of a zoomed picture, drag what is beside it to pan.
  follow() {
    let drag = null;
    const { view } = this;
    const move = (event) => {
      if (!drag) return;
      if (drag.pan) {
        this.offset = { x: drag.x + event.clientX - drag.clientX, y: drag.y + event.clientY - drag.clientY };
        this.place();
      } else {
        const box = view.getBoundingClientRect();
        this.moveTo(100 * (event.clientX - box.left) / box.width);
      }
    };
    view.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      view.setPointerCapture(event.pointerId);
      this.divider.focus({ preventScroll: true });
      const pan = this.zoom > 0 && !this.divider.contains(event.target);
      drag = { pan, ...this.offset, clientX: event.clientX, clientY: event.clientY };
      if (!pan) move(event);
    });
    view.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { drag = null; });
    view.addEventListener("dblclick", (event) => {
      const box = view.getBoundingClientRect();
      this.zoomTo(this.zoom ? 0 : 1, event.clientX - box.left, event.clientY - box.top);
    });
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
    const step = event.shiftKey ? 10 : 1;
    const onDivider = event.target === this.divider;
    const moves = { ArrowLeft: this.at - step, ArrowRight: this.at + step, ArrowDown: this.at - step,
      ArrowUp: this.at + step, PageDown: this.at - 10, PageUp: this.at + 10, Home: 0, End: 100 };
    const pans = { a: [1, 0], d: [-1, 0], w: [0, 1], s: [0, -1] };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (digit) this.show({ [event.shiftKey ? "right" : "left"]: Number(digit) - 1 });
    else if (onDivider && key in moves) this.moveTo(moves[key]);
    else if (key === "f" && !this.flipButton.disabled) this.show({ flip: !this.flip });
    else if (key === "z") this.zoomTo((this.zoom + 1) % Object.keys(ZOOMS).length);
    else if (key === "j" || key === "k") this.step(key === "j" ? "nextElementSibling" : "previousElementSibling");
    else if (this.zoom && key in pans) {
      this.offset.x += 60 * pans[key][0];
      this.offset.y += 60 * pans[key][1];
      this.place();
    } else return;
    event.preventDefault();
  }

  step(sibling) {
    const next = this.element[sibling];
    next?.querySelector(".divider").focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  }
}

// A select of columns, with the key that chooses each.
function chooser(columns, name, choose, empty = null) {
  const options = columns.map((column, place) => el("option", { value: place }, `${place + 1}  ${column.key}`));
  if (empty) options.unshift(el("option", { value: "" }, empty));
  const select = el("select", { "aria-label": name,
    onchange: () => { if (select.value !== "") choose(Number(select.value)); } }, ...options);
  return el("label", { class: "chooser" }, el("i", { class: "swatch" }), select);
}

function keys(maps) {
  const key = (text) => el("kbd", {}, text);
  return el("p", { class: "keys" }, "Drag to wipe. With a picture in focus: ", key("←"), " ", key("→"),
    " wipe, ", key("Shift"), " faster; ", key("1"), " to ", key("9"), " the left picture, with ",
    key("Shift"), " the right; ", ...(maps ? [key("F"), " FLIP; "] : []), key("Z"), " zoom, ", key("W"), key("A"), key("S"),
    key("D"), " pan; ", key("J"), key("K"), " next and previous frame.");
}

function hasCard(frame, index) {
  return index < shown && [...methods, native].some((column) => column.key in frame.pictures);
}

function startCards() {
  const frames = comparison.frames.filter(hasCard);
  find("#frames").hidden = !frames.length;
  if (!frames.length) return;
  const cards = frames.map((frame) => new Card(frame, comparison.frames.indexOf(frame)));
  const columns = [...methods, native].filter((column) => frames.some((frame) => column.key in frame.pictures));
  const all = ["left", "right"].map((side) => chooser(columns, `${side} picture of all frames`,
    (place) => cards.forEach((card) => {
      const there = card.columns.indexOf(columns[place]);
      if (there >= 0) card.show({ [side]: there });
    }), side));
  if (measures.length) find("#frames h2").textContent = "Frames, worst first";
  const left = comparison.frames.length - frames.length;
  const maps = frames.some((frame) => Object.keys(frame.flip_maps).length);
  find("#frames .note").append(left ? `The first ${frames.length} of ${comparison.frames.length}. ` : "",
    measures.length ? `Ordered by the PSNR of ${methods[0].key}, the first method. ` : "",
    `Whole pictures${maps ? " and FLIP maps" : ""} are JPEG here (quality 92, full colour); `
    + "the crops, and the PNG files beside this report, are exact."
    + (maps ? " In FLIP maps dark is no visible difference, bright a large one." : ""));
  find("#frames .note").after(keys(maps));
  if (cards.length > 1) {
    find("#frames .heading").append(el("div", { class: "choice" }, "All frames ", ...all));
  }
  find("#frames .cards").append(...cards.map((card) => card.element));
  const byElement = new Map(cards.map((card) => [card.element, card]));
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) byElement.get(entry.target).setNear(entry.isIntersecting);
  }, { rootMargin: NEAR });
  cards.forEach((card) => observer.observe(card.element));
  window.addEventListener("resize", () => cards.forEach((card) => card.place()));
}
