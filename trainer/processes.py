"""The processes that train together, as torchrun starts them, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from protocol.errors import BadRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process's place: number `rank` of `count`, training on `device`."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def any(self, *, flag: bool) -> bool:
        """Whether the flag is set in any process; all of them must ask together."""
        if self.count == 1:
            return flag
        shared = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return bool(shared)

    def mean(self, value: float) -> float:
        """Mean of a number over all processes; all of them must ask together."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, device=self.device, dtype=torch.float64)
        distributed.all_reduce(shared)
        return float(shared) / self.count

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            distributed.barrier()


def alone(device: torch.device | None = None) -> Processes:
    """One process, on the CPU unless told otherwise."""
    return Processes(rank=0, count=1, device=device or torch.device("cpu"))


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; without torchrun this process is alone.

    `device` is "cpu", "cuda" or "auto". Several processes on one machine take its GPUs in turn.
    Raises BadRequestError when there is no such device.
    """
    available = torch.cuda.is_available()
    if device not in {"auto", "cpu", "cuda"}:
        msg = f"unknown device {device!r}; choose auto, cpu or cuda"
        raise BadRequestError(msg)
    if device == "cuda" and not available:
        msg = "this machine has no GPU that PyTorch can use; --device cpu trains without one"
        raise BadRequestError(msg)
    on_gpu = available and device != "cpu"
    count = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    where = (
        torch.device("cuda", local % torch.cuda.device_count()) if on_gpu else torch.device("cpu")
    )
    if on_gpu:
        torch.cuda.set_device(where)
    if count == 1:
        yield alone(where)
        return
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(rank=distributed.get_rank(), count=count, device=where)
    finally:
        distributed.destroy_process_group()
