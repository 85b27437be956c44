"""`upscaler-train reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import BadRequestError
from trainer.cli.options import (
    Out,
    StoreFolder,
    Threads,
    interrupt_noted,
    prepare_torch,
)
from upscaler.cli.running import Interrupted


def reproduce(
    table: Annotated[
        str, typer.Argument(help="table2, table4, table5, table7 or figure7.", metavar="TABLE")
    ],
    data: StoreFolder,
    out: Out,
    sets: Annotated[
        list[Path] | None,
        typer.Option(
            "--set",
            help="A test set, such as a folder BSD100_x2 of NAME_LR.png and NAME_HR.png; may be "
            "repeated. Without any, the test split of the store.",
            metavar="DIR",
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help='"fast", or "paper" for the paper\'s.')] = "fast",
    budget: Annotated[
        float, typer.Option(help="Share of the recipe's iterations to run.", min=1e-6, max=1.0)
    ] = 1.0,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="Take a network instead of training it; may be repeated.", metavar="NAME=FILE"
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Another than the recipe's.")] = None,
    loss: Annotated[str | None, typer.Option(help='"mse" or "l1".')] = None,
    adaround_iterations: Annotated[int, typer.Option(help="Iterations a layer.", min=1)] = 10_000,
    qat_iterations: Annotated[int, typer.Option(help="Iterations.", min=1)] = 2_000,
    threads: Threads = None,
) -> None:
    """Train and measure what one of the paper's tables compares; writes Markdown, CSV and a PNG."""
    prepare_torch(threads)
    import torch

    from trainer.checkpoint import load_checkpoint
    from trainer.data import load_pairs
    from trainer.recipes import find_recipe, varied
    from trainer.reproduce import (
        Plan,
        Reproduction,
        draw,
        load_taken,
        measure,
        networks_of,
        to_csv,
        to_markdown,
        train_network,
    )
    from trainer.run import CHECKPOINT
    from trainer.store import Store
    from trainer.tables import find_table
    from upscaler.console import console
    from upscaler.machine import cpu_name

    chosen = find_table(table)
    store = Store(data)
    if store.scale != chosen.scale:
        msg = f"{chosen.name} is about {chosen.scale}x, {data} holds pairs for {store.scale}x"
        raise BadRequestError(msg)
    plan = Plan(
        recipe=varied(find_recipe(recipe), precision=precision, loss=loss),
        budget=budget,
        taken=dict(_named(each) for each in checkpoint or []),
        adaround_iterations=adaround_iterations,
        qat_iterations=qat_iterations,
    )
    networks = networks_of(chosen)
    names = {network.name for network in networks}
    if unknown := sorted(plan.taken.keys() - names):
        msg = f"{chosen.name} has no network {unknown[0]!r}; it has {', '.join(sorted(names))}"
        raise BadRequestError(msg)
    measured = {
        each.name.removesuffix(f"_x{chosen.scale}"): load_pairs(
            each, split="test", scale=chosen.scale
        )
        for each in sets or []
    } or {"test": store.pairs("test")}
    trained = {each.name: load_taken(plan, each) for each in networks if each.name in plan.taken}
    with interrupt_noted() as interrupted:
        for network in networks:
            if network.name in trained:
                continue
            folder = out / "runs" / network.name
            console.print(f"{network.name}: {plan.iterations} iterations")
            for report in train_network(network, store, folder, plan, stop=interrupted.is_set):
                console.print(f"{report.done:>7} iterations, loss {report.loss:.6f}")
            if interrupted.is_set():
                msg = "interrupted; the same command goes on"
                raise Interrupted(msg)
            trained[network.name] = load_checkpoint(folder / CHECKPOINT).network
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
    conditions = []
    if len(plan.taken) < len(networks):
        conditions.append(
            f"Recipe {plan.recipe.name} at {budget:.3%} of its length: {plan.iterations} "
            f"iterations a network ({plan.recipe.summary}), on {len(store.entries('train'))} pairs"
        )
    for name, path in sorted(plan.taken.items()):
        conditions.append(f"Taken, not trained here: {name}, {load_checkpoint(path).training}")
    result = Reproduction(
        table=chosen,
        sets=list(measured),
        cells=measure(
            chosen,
            trained,
            store,
            measured,
            plan,
            on_row=lambda label: console.print(f"measuring {label}"),
        ),
        conditions=f"{'. '.join(conditions)}. Measured with {where}.",
    )
    out.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("md", to_markdown(result)), ("csv", to_csv(result))):
        (out / f"{chosen.name}.{suffix}").write_text(text, encoding="utf-8")
    draw(result, out / f"{chosen.name}.png")
    console.print(to_markdown(result), markup=False, soft_wrap=True)
    console.print(f"wrote {chosen.name}.md, .csv and .png into {out}")


def _named(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or not name or not file:
        msg = f"--checkpoint takes NAME=FILE, such as small=run/best.pt, not {text!r}"
        raise BadRequestError(msg)
    return name, Path(file)
