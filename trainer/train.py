"""The training step: crops in, better weights out; resumable and reproducible bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from protocol.errors import BadRequestError
from trainer.checkpoint import FORMAT as CHECKPOINT_FORMAT
from trainer.checkpoint import (
    architecture_from,
    architecture_state,
    read_checkpoint,
    write_checkpoint,
)
from trainer.expand import expand, plain_weights
from trainer.graphed import Graphed
from trainer.network import Architecture, QuickSRNet
from trainer.optimise import make_optimisers, set_rate
from trainer.processes import Processes, alone
from trainer.recipes import Recipe
from trainer.rounding import round_activations
from trainer.sampler import PatchSampler
from trainer.store import Store

LEVELS = 255
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": functional.l1_loss,
    "mse": functional.mse_loss,
}


class Trainer:
    """State of a run: network, averaged network, optimisers and the steps done.

    `averaged` is always plain, whatever is trained: it is what a run leaves.
    """

    def __init__(
        self,
        recipe: Recipe,
        architecture: Architecture,
        store: Store,
        *,
        start: QuickSRNet | None = None,
        origin: str = "",
        processes: Processes | None = None,
    ) -> None:
        """Prepare a run on the training split of `store`.

        `start` gives the weights to begin with, of a network at most as wide and as deep; from
        another scale all but the last layer. `origin` says in words what they are, for the model
        card. Raises BadRequestError when `start` is wider or deeper or the scale is not the
        store's, and what `PatchSampler` raises.
        """
        if architecture.scale != store.scale:
            msg = f"{store.root} holds pairs for {store.scale}x, not for {architecture.scale}x"
            raise BadRequestError(msg)
        self.recipe, self.architecture, self.store = recipe, architecture, store
        self.origin = origin
        self.processes = processes or alone()
        if recipe.batch % self.processes.count:
            msg = (
                f"a batch of {recipe.batch} does not divide among {self.processes.count} processes"
            )
            raise BadRequestError(msg)
        device = self.processes.device
        torch.manual_seed(recipe.seed)
        network = QuickSRNet(architecture, identity=recipe.identity, noise=recipe.noise)
        if start is not None:
            _take_weights(network, start)
        self.averaged = _channels_last(QuickSRNet(architecture, identity=False)).to(device).eval()
        self.averaged.requires_grad_(requires_grad=False)
        if recipe.expand:
            expand(network, recipe.expand)
        self.network = _channels_last(network).to(device)
        self._averages = plain_weights(self.averaged)
        for average, weight in zip(self._averages, plain_weights(self.network), strict=True):
            average.copy_(weight)
        if recipe.rounding:
            round_activations(self.network)
        self._forward: nn.Module = self.network
        if self.processes.count > 1:
            self._forward = DistributedDataParallel(self.network)
        self.optimisers = make_optimisers(
            self.network, recipe.optimiser, recipe.rate, on_device=device, decay=recipe.decay
        )
        self.sampler = PatchSampler(
            store,
            patch=recipe.patch,
            seed=recipe.seed,
            weighting=recipe.weighting,
            device=device,
        )
        self._decay = torch.zeros((), device=device)
        # Several processes exchange gradients in the middle of a step, which a graph cannot hold.
        graphed = recipe.graphed and device.type == "cuda" and self.processes.count == 1
        self._graphed = Graphed(self._work) if graphed else None
        if device.type == "cuda":
            tensor_cores = recipe.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = tensor_cores
            torch.backends.cudnn.allow_tf32 = tensor_cores
        self.done = 0

    def step(self) -> Tensor:
        """Train on one batch; return its loss, over this process's crops, still on the device.

        The tensor may be overwritten by the next step.
        """
        recipe, processes = self.recipe, self.processes
        set_rate(self.optimisers, recipe.rate_at(self.done))
        # A young average would remember the initial weights for long.
        self._decay.fill_(min(recipe.average, (1 + self.done) / (10 + self.done)))
        crops = self.sampler.table(self.done, recipe.batch, rank=processes.rank, of=processes.count)
        rounded = recipe.precision == "bfloat16" and not recipe.settled_at(self.done)
        work = self._graphed or self._work
        loss = work(crops, rounded)
        self.done += 1
        return loss

    def _work(self, crops: Tensor, rounded: bool) -> Tensor:  # noqa: FBT001 - part of a graph's key
        """The step on the device, without synchronisation: what a CUDA graph captures."""
        low, high = (each.float().div_(LEVELS) for each in self.sampler.gather(crops))
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        with _autocast(self.processes.device, enabled=rounded):
            upscaled: Tensor = self._forward(low)
        loss = LOSSES[self.recipe.loss](upscaled.float(), high)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            optimiser.step()
        weights = plain_weights(self.network)
        for average, weight in zip(self._averages, weights, strict=True):
            average.lerp_(weight, 1.0 - self._decay)
        return loss.detach()

    def save(self, path: Path) -> None:
        """Write everything that a resumed run needs, atomically.

        Raises BadRequestError when the file cannot be written.
        """
        write_checkpoint(
            path,
            {
                "format": CHECKPOINT_FORMAT,
                "architecture": architecture_state(self.architecture),
                "recipe": asdict(self.recipe),
                "data": self.store.fingerprint,
                "origin": self.origin,
                "averaged": self.averaged.state_dict(),
                "network": self.network.state_dict(),
                "optimisers": [each.state_dict() for each in self.optimisers],
                "done": self.done,
            },
        )

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same run, as if it had never stopped.

        Raises BadRequestError when the checkpoint is unreadable or belongs to another recipe,
        architecture or store.
        """
        state = read_checkpoint(path)
        same = {
            "architecture": architecture_state(self.architecture),
            "recipe": asdict(self.recipe),
            "data": self.store.fingerprint,
        }
        for what, expected in same.items():
            if state[what] != expected:
                msg = f"{path} is of another {what}: {state[what]}, not {expected}"
                raise BadRequestError(msg)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.done = state["done"]
        self.origin = state.get("origin", "")


def resume(path: Path, store: Store, *, processes: Processes | None = None) -> Trainer:
    """Return the run that a checkpoint holds, ready to go on.

    Raises BadRequestError when the checkpoint is unreadable or was trained on another store.
    """
    state = read_checkpoint(path)
    try:
        recipe = Recipe(**state["recipe"])
        architecture = architecture_from(state["architecture"])
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no checkpoint of this version of upscaler-train: {error}"
        raise BadRequestError(msg) from error
    trainer = Trainer(recipe, architecture, store, processes=processes)
    trainer.load(path)
    return trainer


@torch.no_grad()
def _take_weights(network: QuickSRNet, start: QuickSRNet) -> None:
    """Start `network` from `start`, which may be narrower and shallower.

    The larger network begins by computing the same (Net2Net, Chen et al., 2016): layers that
    `start` lacks are identities, which ReLU1 lets pass, and nothing listens yet to channels that it
    lacks.
    """
    ours, theirs = network.architecture, start.architecture
    if ours.width < theirs.width or ours.depth < theirs.depth:
        msg = (
            f"the weights to start from are those of {theirs.name}, another architecture than "
            f"{ours.name}"
        )
        raise BadRequestError(msg)
    hidden, taken = network.convolutions[:-1], start.convolutions[:-1]
    for conv, other in zip(hidden, taken, strict=False):
        _take(conv, other.weight, other.bias)
    for conv in hidden[len(taken) :]:
        identity = torch.empty(theirs.width, theirs.width, 3, 3)
        _take(conv, nn.init.dirac_(identity), torch.zeros(theirs.width))
    if (ours.scale, ours.head) == (theirs.scale, theirs.head):
        _take(network.conv_last, start.conv_last.weight, start.conv_last.bias)


def _take(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
    """Let the first outputs of `conv` be those of a smaller layer, hearing its inputs alone."""
    assert bias is not None
    assert conv.bias is not None
    outputs, inputs = weight.shape[:2]
    conv.weight[:outputs] = 0
    conv.weight[:outputs, :inputs] = weight
    conv.bias[:outputs] = bias


def _channels_last(network: QuickSRNet) -> QuickSRNet:
    """What the convolutions of CPUs and of tensor cores run fastest."""
    moved: QuickSRNet = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _autocast(device: torch.device, *, enabled: bool) -> AbstractContextManager[Any]:
    # Without its cache, which would outlive the capture of a graph.
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)
