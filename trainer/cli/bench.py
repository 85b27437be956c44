"""`upscaler-train bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from trainer.cli.options import StoreFolder, Threads, prepare_torch

COMPARED = ("float32", "bfloat16", "tf32")


def bench(
    data: StoreFolder,
    architecture: Annotated[str, typer.Option(help='Such as "small" or "f32-m7".')] = "small",
    recipe: Annotated[str, typer.Option(help="A recipe by name.")] = "fast",
    batch: Annotated[int, typer.Option(help="Crops in a step.", min=1)] = 32,
    patch: Annotated[int, typer.Option(help="Side of a low-res crop.", min=1)] = 64,
    rounds: Annotated[int, typer.Option(help="Rounds, after one to warm up.", min=1)] = 5,
    steps: Annotated[int, typer.Option(help="Steps in a round.", min=1)] = 20,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda".')] = "auto",
    threads: Threads = None,
) -> None:
    """Print training steps a second in each precision, and the share of the data path."""
    prepare_torch(threads)
    import torch

    from trainer.bench import measure
    from trainer.network import Architecture, parse_size
    from trainer.processes import joined
    from trainer.recipes import find_recipe, varied
    from trainer.store import Store
    from trainer.train import Trainer
    from upscaler.console import console, progress, table
    from upscaler.machine import cpu_name

    store = Store(data)
    width, depth = parse_size(architecture)
    built = Architecture(width=width, depth=depth, scale=store.scale)
    with joined(device) as processes:
        on_gpu = processes.device.type == "cuda"
        name = torch.cuda.get_device_name(processes.device) if on_gpu else cpu_name()
        shown = table(
            f"{built.name} {float(built.scale):g}x, {batch} crops of {patch}x{patch}, {name}, "
            f"{torch.get_num_threads()} threads",
            *("recipe", "precision", "steps/s", "ms a step", "network", "data", "1M steps, hours"),
        )
        precisions = [each for each in COMPARED if on_gpu or each != "tf32"]
        with progress() as bar:
            task = bar.add_task("precisions", total=len(precisions))
            for precision in precisions:
                chosen = varied(
                    find_recipe(recipe),
                    batch=batch,
                    patch=patch,
                    precision=precision,
                    iterations=1_000_000,
                )
                trainer = Trainer(chosen, built, store, processes=processes)
                speed = measure(trainer, rounds=rounds, steps_per_round=steps)
                shown.add_row(
                    chosen.name,
                    precision,
                    f"{speed.steps_per_second:.1f}",
                    f"{1000 * speed.step_s:.2f}",
                    f"{speed.network_share:.1%}",
                    f"{1 - speed.network_share:.1%}",
                    f"{1e6 * speed.step_s / 3600:.2f}",
                )
                bar.advance(task)
        console.print(shown)
