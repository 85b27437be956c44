"""A training step as one CUDA graph: hundreds of small kernels, started once.

QuickSRNet-Small is so small that starting its kernels one by one takes longer than running them.
A graph replays them without the host. Source: PyTorch's notes on CUDA graphs, "whole network
capture".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EAGER_STEPS = 3
"""Steps before the capture, so that cuDNN has chosen its kernels and optimisers their state."""


class Graphed:
    """Calls a step (crops, rounded) -> loss eagerly a few times, then captures and replays it.

    Every call is one step, whichever way it runs. There is one graph for each value of `rounded`,
    and each shape of crops. The loss that is returned is overwritten by the next call.
    """

    def __init__(self, step: Callable[[Tensor, bool], Tensor]) -> None:
        self._step = step
        self._eager: dict[tuple[torch.Size, bool], int] = {}
        self._graphs: dict[
            tuple[torch.Size, bool], tuple[torch.cuda.CUDAGraph, Tensor, Tensor]
        ] = {}

    def __call__(self, crops: Tensor, rounded: bool) -> Tensor:  # noqa: FBT001 - as the step's
        """Run one step."""
        key = (crops.shape, rounded)
        if key not in self._graphs:
            if self._eager.setdefault(key, 0) < EAGER_STEPS:
                self._eager[key] += 1
                return self._aside(crops, rounded=rounded)
            # Capturing runs nothing: the replay below is this call's step.
            self._graphs[key] = self._captured(crops, rounded=rounded)
        graph, place, loss = self._graphs[key]
        place.copy_(crops, non_blocking=True)
        graph.replay()
        return loss

    def _aside(self, crops: Tensor, *, rounded: bool) -> Tensor:
        """Run eagerly on a stream of its own, as a capture will."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._step(crops, rounded)
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def _captured(
        self, crops: Tensor, *, rounded: bool
    ) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        place = crops.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._step(place, rounded)
        return graph, place, loss
