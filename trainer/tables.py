"""What the paper's tables compare, as data: rows to train or take, and the paper's own figures.

Figures of the paper stand here only where they are known first hand: 31.61 dB for the float Small
network at 2x on BSD100 (luma), what its four ways to quantise leave of it, and its margins on
rendered frames. Every other cell says so with a dash: none is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from protocol.errors import BadRequestError
from trainer.network import RGB, Architecture
from trainer.quantise import Method

BSD100 = "BSD100"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that a table needs: what is built, and how its recipe differs."""

    name: str
    architecture: Architecture
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: a filter by name, or a network in float or quantised by a method.

    `paper` maps a set to the paper's PSNR in dB.
    """

    label: str
    filter: str | None = None
    network: Network | None = None
    method: Method | None = None
    paper: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or figure. `luma` says whether PSNR and SSIM are of Y or of RGB.

    `margins` maps a filter's label to the paper's margin of the last row over it in dB.
    """

    name: str
    title: str
    scale: Fraction
    luma: bool
    rows: tuple[Row, ...]
    by_cost: bool = False
    margins: dict[str, float] = field(default_factory=dict)


def multiplications(architecture: Architecture) -> int:
    """Multiply-adds for each low-resolution pixel."""
    width, up, folding = architecture.width, architecture.upsampling, architecture.folding
    hidden = RGB * width * 9 + architecture.depth * width * width * 9
    kernel = 1 if folding > 1 else 9
    # Behind a space-to-depth there are folding^2 times fewer pixels, of as many more channels.
    return hidden + width * RGB * up**2 * kernel


def _network(size: tuple[int, int], scale: Fraction = Fraction(2)) -> Network:
    architecture = Architecture(width=size[0], depth=size[1], scale=scale)
    return Network(name=architecture.name, architecture=architecture)


SMALL = _network((32, 2))
SMALL_BSD100 = 31.61


def _ablations() -> tuple[Row, ...]:
    two = Fraction(2)
    variants: tuple[tuple[Network, dict[str, float]], ...] = (
        (SMALL, {BSD100: SMALL_BSD100}),
        (
            Network(
                name="no-identity",
                architecture=Architecture(scale=two),
                changes={"identity": False},
            ),
            {},
        ),
        (Network(name="no-relu1", architecture=Architecture(scale=two, activation="relu")), {}),
        (
            Network(
                name="no-identity-no-relu1",
                architecture=Architecture(scale=two, activation="relu"),
                changes={"identity": False},
            ),
            {},
        ),
        (Network(name="residual", architecture=Architecture(scale=two, residual=True)), {}),
    )
    rows = []
    for network, paper in variants:
        rows.append(Row(label=f"{network.name}, float", network=network, paper=paper))
        if not network.architecture.residual:
            rows.append(
                Row(label=f"{network.name}, int8", network=network, method="ptq-per-channel")
            )
    return tuple(rows)


def _methods() -> tuple[Row, ...]:
    known: dict[Method, float] = {
        "ptq-per-tensor": 30.81,
        "qat-per-tensor": 31.34,
        "qat-per-channel": 31.57,
        "adaround": 31.56,
    }
    order: tuple[Method, ...] = (
        "ptq-per-tensor",
        "ptq-per-channel",
        "adaround",
        "qat-per-tensor",
        "qat-per-channel",
    )
    floating = Row(label="float", network=SMALL, paper={BSD100: SMALL_BSD100})
    return (
        floating,
        *(
            Row(
                label=method,
                network=SMALL,
                method=method,
                paper={BSD100: known[method]} if method in known else {},
            )
            for method in order
        ),
    )


def _heads() -> tuple[Row, ...]:
    scale = Fraction(3, 2)
    pooled = Network(name="pooled", architecture=Architecture(scale=scale, head="pooled"))
    folded = Network(name="space-to-depth", architecture=Architecture(scale=scale))
    return (
        Row(label="bicubic", filter="bicubic"),
        Row(label="fsr1", filter="fsr1"),
        Row(label="naive head: 3x, then 2x2 average", network=pooled),
        Row(label="space-to-depth head", network=folded),
    )


def _sweep() -> tuple[Row, ...]:
    sizes = ((32, 1), (32, 2), (32, 3), (32, 5), (32, 7), (32, 11), (64, 11))
    return (
        Row(label="bicubic", filter="bicubic-matlab"),
        *(
            Row(
                label=f"f{size[0]}-m{size[1]}",
                network=_network(size),
                paper={BSD100: SMALL_BSD100} if size == (32, 2) else {},
            )
            for size in sizes
        ),
    )


TABLES = {
    table.name: table
    for table in (
        Table(
            name="table2",
            title="Identity initialisation, ReLU1 and the missing residual",
            scale=Fraction(2),
            luma=True,
            rows=_ablations(),
        ),
        Table(
            name="table4",
            title="Ways to quantise QuickSRNet-Small",
            scale=Fraction(2),
            luma=True,
            rows=_methods(),
        ),
        Table(
            name="table5",
            title="Heads for 1.5x",
            scale=Fraction(3, 2),
            luma=False,
            rows=_heads(),
        ),
        Table(
            name="table7",
            title="Rendered frames",
            scale=Fraction(2),
            luma=False,
            rows=(
                Row(label="bicubic", filter="bicubic"),
                Row(label="fsr1", filter="fsr1"),
                Row(label="QuickSRNet-Small, float", network=SMALL),
                Row(label="QuickSRNet-Small, int8", network=SMALL, method="adaround"),
            ),
            margins={"bicubic": 0.83, "fsr1": 0.70},
        ),
        Table(
            name="figure7",
            title="Quality against cost",
            scale=Fraction(2),
            luma=True,
            rows=_sweep(),
            by_cost=True,
        ),
    )
}


def find_table(name: str) -> Table:
    """Return the table called `name`.

    Raises BadRequestError when there is none.
    """
    if name not in TABLES:
        msg = f"unknown table {name!r}; choose one of {', '.join(TABLES)}"
        raise BadRequestError(msg)
    return TABLES[name]
