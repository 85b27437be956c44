"""Trains what a table needs, measures every row, and leaves Markdown, CSV and a picture.

A run that was cut short goes on where it stopped: networks are kept in `runs/`, a finished one is
not trained again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from protocol.errors import BadRequestError
from trainer.checkpoint import load_checkpoint
from trainer.evaluate import Metric, Upscale, evaluate
from trainer.methods import filter_method
from trainer.network import QuickSRNet
from trainer.quantise import Quantisation, quantise, run_network
from trainer.recipes import Recipe, fitted, varied
from trainer.run import CHECKPOINT, Report, run
from trainer.store import FramePair, Store
from trainer.tables import Network, Row, Table, multiplications
from trainer.train import Trainer, resume

UNKNOWN = "-"
LUMA: tuple[Metric, Metric] = ("psnr_y_db", "ssim_y")
COLOUR: tuple[Metric, Metric] = ("psnr_db", "ssim_rgb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Means over the frames of one set."""

    psnr_db: float
    ssim: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A measured table: a row's label and the set's name give the cell."""

    table: Table
    sets: list[str]
    cells: dict[tuple[str, str], Cell]
    conditions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to reproduce: the recipe at its full length, and what share of it is run.

    `taken` maps the name of a network to a checkpoint that stands in for training it.
    """

    recipe: Recipe
    budget: float
    taken: dict[str, Path]
    adaround_iterations: int = 10_000
    qat_iterations: int = 2_000

    @property
    def iterations(self) -> int:
        """Iterations that are run."""
        return max(1, round(self.recipe.iterations * self.budget))


def networks_of(table: Table) -> list[Network]:
    """Return the networks that a table needs, each once."""
    needed = {row.network.name: row.network for row in table.rows if row.network is not None}
    return list(needed.values())


def train_network(
    network: Network, store: Store, folder: Path, plan: Plan, *, stop: Callable[[], bool]
) -> Iterator[Report]:
    """Train a network of a table to the end of its budget, or go on with it."""
    recipe = varied(
        fitted(plan.recipe, network.architecture.depth),
        iterations=plan.iterations,
        **network.changes,
    )
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists():
        trainer = resume(checkpoint, store)
        if (trainer.recipe, trainer.architecture) != (recipe, network.architecture):
            msg = f"{checkpoint} was trained otherwise; name another --out or the same budget"
            raise BadRequestError(msg)
    else:
        trainer = Trainer(recipe, network.architecture, store)
    yield from run(trainer, folder, stop=stop)


def measure(
    table: Table,
    trained: dict[str, QuickSRNet],
    store: Store,
    sets: dict[str, list[FramePair]],
    plan: Plan,
    *,
    on_row: Callable[[str], None] = lambda _label: None,
) -> dict[tuple[str, str], Cell]:
    """Measure every row of a table on every set."""
    cells = {}
    for row in table.rows:
        on_row(row.label)
        with _opened(row, trained, store, table, plan) as upscale:
            for name, pairs in sets.items():
                cells[row.label, name] = _measure(upscale, pairs, luma=table.luma)
    return cells


def to_markdown(result: Reproduction) -> str:
    """Return the table as Markdown, the paper's figure beside ours in every cell."""
    table = result.table
    kind = "Y" if table.luma else "RGB"
    heads = [f"{name}: PSNR {kind}, dB / paper | SSIM {kind}" for name in result.sets]
    cost = "| multiply-adds a pixel " if table.by_cost else ""
    lines = [f"# {table.name}: {table.title}", "", result.conditions, ""]
    lines.append(f"| {cost}| method | {' | '.join(heads)} |".replace("| | ", "| ", 1))
    columns = 1 + 2 * len(result.sets) + bool(cost)
    lines.append("|" + "---|" * columns)
    for row in table.rows:
        parts = [str(_cost(row))] if cost else []
        parts.append(row.label)
        for name in result.sets:
            cell = result.cells[row.label, name]
            paper = f"{row.paper[name]:.2f}" if name in row.paper else UNKNOWN
            parts += [f"{cell.psnr_db:.3f} / {paper}", f"{cell.ssim:.4f}"]
        lines.append(f"| {' | '.join(parts)} |")
    last = table.rows[-1].label
    for base, margin in table.margins.items():
        for name in result.sets:
            ours = result.cells[last, name].psnr_db - result.cells[base, name].psnr_db
            lines += ["", f"{last} over {base} on {name}: {ours:+.3f} dB, paper {margin:+.2f} dB."]
    lines += ["", f"{UNKNOWN}: the paper's figure is not known here."]
    return "\n".join(lines) + "\n"


def to_csv(result: Reproduction) -> str:
    """Return one line for each row and set."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kind = "y" if result.table.luma else "rgb"
    writer.writerow(
        ["table", "method", "set", f"psnr_{kind}_db", "paper_db", f"ssim_{kind}", "macs_per_pixel"]
    )
    for row in result.table.rows:
        for name in result.sets:
            cell = result.cells[row.label, name]
            paper = row.paper.get(name, "")
            values = [f"{cell.psnr_db:.4f}", paper, f"{cell.ssim:.5f}", _cost(row)]
            writer.writerow([result.table.name, row.label, name, *values])
    return text.getvalue()


def draw(result: Reproduction, path: Path) -> None:
    """Plot the table: bars by method, or PSNR against cost; the paper's figures as crosses."""
    from matplotlib.figure import Figure

    table = result.table
    figure = Figure(figsize=(5.0 * len(result.sets), 4.2), layout="constrained")
    figure.suptitle(f"{table.name}: {table.title}\n{result.conditions}", fontsize=9, wrap=True)
    axes = figure.subplots(1, len(result.sets), squeeze=False)[0]
    for axis, name in zip(axes, result.sets, strict=True):
        rows = [row for row in table.rows if not table.by_cost or row.network is not None]
        ours = [result.cells[row.label, name].psnr_db for row in rows]
        places = [float(_cost(row)) for row in rows] if table.by_cost else list(range(len(rows)))
        known = [
            (place, row.paper[name])
            for place, row in zip(places, rows, strict=True)
            if name in row.paper
        ]
        if table.by_cost:
            axis.semilogx(places, ours, "o-", label="ours")
            for place, value, row in zip(places, ours, rows, strict=True):
                axis.annotate(
                    row.label, (place, value), xytext=(4, -10), textcoords="offset points"
                )
            axis.set_xlabel("multiply-adds a low-resolution pixel")
        else:
            axis.bar(places, ours, color="tab:blue", label="ours")
            axis.set_xticks(places, [row.label for row in rows], rotation=30, ha="right")
            shown = [*ours, *(value for _, value in known)]
            low, high = min(shown), max(shown)
            # Room below, so that differences show, and above, for the legend.
            axis.set_ylim(low - 0.5 * (high - low) - 0.05, high + 0.5 * (high - low) + 0.05)
        if known:
            axis.plot(*zip(*known, strict=True), "x", color="tab:red", label="paper")
        axis.set_ylabel(f"PSNR {'Y' if table.luma else 'RGB'}, dB")
        axis.set_title(name)
        axis.legend(loc="lower right" if table.by_cost else "upper right", ncols=2)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


@contextmanager
def _opened(
    row: Row, trained: dict[str, QuickSRNet], store: Store, table: Table, plan: Plan
) -> Iterator[Upscale]:
    """Open what a row stands for."""
    if row.network is None:
        assert row.filter is not None
        with filter_method(row.filter, table.scale) as method:
            yield method
        return
    network = trained[row.network.name]
    if row.method is None:
        yield partial(run_network, network)
        return
    how = Quantisation(
        method=row.method,
        adaround_iterations=plan.adaround_iterations,
        qat_iterations=plan.qat_iterations,
    )
    yield partial(run_network, quantise(network, store, how).simulation.model)


def load_taken(plan: Plan, network: Network) -> QuickSRNet:
    """Return the network of a checkpoint that was given instead of training.

    Raises BadRequestError when it is of another architecture than the table's.
    """
    found = load_checkpoint(plan.taken[network.name]).network
    if found.architecture != network.architecture:
        msg = f"{plan.taken[network.name]} is of another architecture than {network.name}"
        raise BadRequestError(msg)
    return found


def _measure(upscale: Upscale, pairs: list[FramePair], *, luma: bool) -> Cell:
    psnr, similarity = LUMA if luma else COLOUR
    evaluation = evaluate(upscale, pairs, metrics=(psnr, similarity))
    return Cell(psnr_db=evaluation.mean(psnr), ssim=evaluation.mean(similarity))


def _cost(row: Row) -> int:
    return 0 if row.network is None else multiplications(row.network.architecture)
