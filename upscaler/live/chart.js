// Latency: a bar of stages for each of the last points, lines for p50, p95 and p99 of the total.

const KEPT = 240;

class Chart {
  constructor(canvas, legend) {
    this.canvas = canvas;
    this.legend = legend;
    this.stages = [];
    this.points = [];
    this.total = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  add(stages, points, total) {
    if (stages.join() !== this.stages.join()) {
      this.stages = stages;
      this.legend.replaceChildren(...stages.map((stage, place) => {
        const mark = document.createElement("i");
        mark.style.setProperty("--c", `var(--s${place})`);
        const item = document.createElement("span");
        item.append(mark, stage);
        return item;
      }));
    }
    this.points = [...this.points, ...points].slice(-KEPT);
    this.total = total;
    this.canvas.dataset.points = String(this.points.length);
    this.canvas.setAttribute("aria-label", total
      ? `Latency by stage; in all p50 ${total.p50_ms.toFixed(1)} ms, p95 ${total.p95_ms.toFixed(1)} ms, p99 ${total.p99_ms.toFixed(1)} ms`
      : "Latency by stage");
    this.draw();
  }

  draw() {
    const { canvas, points } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const ratio = window.devicePixelRatio;
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name);
    const lines = this.total ? [["p50", this.total.p50_ms], ["p95", this.total.p95_ms], ["p99", this.total.p99_ms]] : [];
    const sums = points.map((point) => point.reduce((sum, each) => sum + each, 0));
    // One frame that was late must not flatten all others.
    const tallest = Math.max(4, 1.25 * (lines[1]?.[1] ?? 0), ...[...sums].sort((a, b) => a - b).slice(0, Math.ceil(sums.length * 0.98)));
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((each) => tallest / each <= 5) ?? 10000;
    const top = Math.ceil(tallest / step) * step;
    const [left, right, bottom] = [34, width - 92, height - 6];
    const y = (ms) => bottom - Math.min(ms / top, 1) * (bottom - 8);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let ms = 0; ms <= top; ms += step) {
      pen.fillStyle = colour("--line");
      pen.fillRect(left, Math.round(y(ms)), right - left, 1);
      pen.fillStyle = colour("--muted");
      pen.fillText(String(ms), left - 6, y(ms));
    }
    const wide = (right - left) / KEPT;
    points.forEach((point, place) => {
      const x = right - (points.length - place) * wide;
      let sum = 0;
      point.forEach((ms, stage) => {
        const [from, to] = [y(sum), y(sum + ms)];
        pen.fillStyle = colour(`--s${stage}`);
        pen.fillRect(x, to, Math.max(wide - (wide > 3 ? 1 : 0), 0.5), from - to);
        sum += ms;
      });
    });
    pen.textAlign = "left";
    let last = Infinity;
    for (const [name, ms] of lines) {
      pen.fillStyle = colour("--ink");
      for (let x = left; x < right; x += 6) pen.fillRect(x, Math.round(y(ms)), 3, 1);
      const at = Math.min(y(ms), last - 13);
      last = at;
      pen.fillText(`${name} ${ms.toFixed(1)} ms`, right + 8, at);
    }
  }
}
