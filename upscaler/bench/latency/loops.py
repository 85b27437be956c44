"""Frames through a client, in a closed or an open loop, or through an upscaler alone.

**Closed loop**: the next frame is submitted when the last one has come back. **Open loop**: frame
number k is meant for `begin + k / fps`, computed from the beginning, so that nothing adds up. A
frame that cannot be submitted then, because the service holds as many as it may or because another
one came late, is submitted as soon as possible, and its latency still counts from the time it was
meant for: a slow moment delays every frame that was due in it, and hides none (no "coordinated
omission").

In both, pixels are written into the frame's slot before its time, as a game renders there; that is
not part of the latency. Shortly before the frame's time the thread spins: a sleep ends when the
kernel likes. Garbage is collected before and after, not in between.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from protocol.errors import ServiceTimeoutError
from upscaler.client import Client, Upscaled
from upscaler.contract import Frame, Upscaler
from upscaler.timings import Timing

NS = 1_000_000_000
MS = 1_000_000
LEAD_NS = 20 * MS
"""From the start of an open loop to its first frame."""
AWAKE_NS = MS // 2
"""Before its time a frame is waited for awake."""
ALONE_NS = 4 * MS
"""The same when none is in flight: the service, which waits as well, loses nothing by it."""
POLL_NS = 12 * MS // 10
"""The shortest wait for a result that may end late by its rounding up to whole milliseconds."""
SLACK_NS = 6 * MS
"""So long before the next frame there is time to show how far it is."""
FEWEST = 5
"""Frames that are taken even when the time is over."""


@dataclass(slots=True, kw_only=True)
class Shot:
    """One frame: what it was meant for, when it was submitted, and what came of it; in ns.

    `harness_ns` is what this module spent since the frame before, outside the calls of the client
    and the writing of pixels. `timing` is None until it comes back, and stays so when it was
    dropped.
    """

    meant_ns: int
    submitted_ns: int = 0
    call_ns: int = 0
    harness_ns: int = 0
    dropped: bool = False
    timing: Timing | None = None


@dataclass(slots=True, kw_only=True)
class Limit:
    """When a loop ends: after `frames`, or when `until_ns` has passed and some were taken."""

    frames: int
    until_ns: int
    fewest: int = FEWEST

    def reached(self, taken: int) -> bool:
        """Whether no more frame is to be submitted."""
        late = taken >= self.fewest and time.perf_counter_ns() > self.until_ns
        return taken >= self.frames or late


@dataclass(slots=True, kw_only=True)
class Take:
    """Frames as they are taken. `idle` is called where a pause disturbs nothing."""

    limit: Limit
    idle: Callable[[int], None] = lambda _: None
    """With the number of frames that have come back."""
    shots: list[Shot] = field(default_factory=list)

    @property
    def returned(self) -> list[Shot]:
        """Frames that came back with pixels."""
        return [shot for shot in self.shots if shot.timing is not None]


@contextmanager
def without_garbage() -> Iterator[None]:
    """Collect garbage now, and none inside: a collection takes milliseconds."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def closed_loop(client: Client, frames: Sequence[Frame], take: Take) -> None:
    """Submit each frame when the last one has come back, until the limit.

    Raises what `client` does; the frames until then are in `take`.
    """
    before_ns = 0
    # Little happens between two frames: what can be done afterwards is.
    passed: list[tuple[int, int, bool, Timing]] = []
    try:
        while not take.limit.reached(len(passed)):
            acquiring_ns = time.perf_counter_ns()
            slot = client.acquire()
            np.copyto(slot, frames[len(passed) % len(frames)])
            filled_ns = time.perf_counter_ns()
            client.submit(slot)
            submitted_ns = time.perf_counter_ns()
            upscaled = client.receive()
            client.release(upscaled)
            released_ns = time.perf_counter_ns()
            timing = upscaled.timing
            began_ns = timing.submitted_ns
            spent_ns = acquiring_ns - before_ns + began_ns - filled_ns if before_ns else 0
            passed.append((submitted_ns - began_ns, spent_ns, upscaled.dropped, timing))
            before_ns = released_ns
            take.idle(len(passed))
    finally:
        take.shots += [
            Shot(
                meant_ns=timing.submitted_ns,
                submitted_ns=timing.submitted_ns,
                call_ns=call_ns,
                harness_ns=spent_ns,
                dropped=dropped,
                timing=None if dropped else timing,
            )
            for call_ns, spent_ns, dropped, timing in passed
        ]


def open_loop(client: Client, frames: Sequence[Frame], take: Take, *, fps: float) -> None:
    """Submit frame k at k / `fps` seconds from the beginning, until the limit; wait for the rest.

    Raises what `client` does; the frames until then are in `take`.
    """
    _OpenLoop(client, frames, take, Fraction(NS) / Fraction(str(fps))).run()


class _OpenLoop:
    """The state of an open loop: frames that have not come back, by id."""

    def __init__(
        self, client: Client, frames: Sequence[Frame], take: Take, period_ns: Fraction
    ) -> None:
        self._client = client
        self._frames = frames
        self._take = take
        self._period_ns = period_ns
        self._out: dict[int, Shot] = {}
        self._filling_ns = MS
        """How long writing pixels took, at most."""

    def run(self) -> None:
        take, client = self._take, self._client
        begin_ns = time.perf_counter_ns() + LEAD_NS
        while not take.limit.reached(len(take.shots)):
            meant_ns = begin_ns + int(len(take.shots) * self._period_ns)
            self._rest(meant_ns - 2 * self._filling_ns)
            slot = client.acquire()
            filling_ns = time.perf_counter_ns()
            np.copyto(slot, self._frames[len(take.shots) % len(self._frames)])
            filled_ns = time.perf_counter_ns()
            self._filling_ns = max(self._filling_ns, min(filled_ns - filling_ns, 4 * MS))
            self._wait(meant_ns)
            shot = Shot(meant_ns=meant_ns)
            take.shots.append(shot)
            shot.submitted_ns = time.perf_counter_ns()
            self._out[client.submit(slot)] = shot
            shot.call_ns = time.perf_counter_ns() - shot.submitted_ns
            while (upscaled := client.poll()) is not None:
                self._keep(upscaled)
        while client.in_flight or self._out:
            self._keep(client.receive())

    def _rest(self, until_ns: int) -> None:
        """Collect results until the next frame has to be written; progress, if there is time."""
        self._collect(until_ns)
        if until_ns - time.perf_counter_ns() > SLACK_NS:
            self._take.idle(len(self._take.shots) - len(self._out))
        left_ns = until_ns - time.perf_counter_ns()
        if left_ns > 0:
            time.sleep(left_ns / NS)

    def _collect(self, until_ns: int) -> None:
        while self._out and (left_ns := until_ns - time.perf_counter_ns()) > 0:
            wait_ns = left_ns // MS * MS if left_ns > POLL_NS else 0
            try:
                self._keep(self._client.receive(wait_ns / NS))
            except ServiceTimeoutError:
                continue

    def _wait(self, until_ns: int) -> None:
        """Return at `until_ns`, as exactly as can be; results that come meanwhile are collected."""
        self._collect(until_ns)
        awake_ns = AWAKE_NS if self._out else ALONE_NS
        left_ns = until_ns - time.perf_counter_ns() - awake_ns
        if left_ns > 0:
            time.sleep(left_ns / NS)
        while time.perf_counter_ns() < until_ns:
            pass

    def _keep(self, upscaled: Upscaled) -> None:
        shot = self._out.pop(upscaled.frame_id)
        shot.submitted_ns = upscaled.timing.submitted_ns
        shot.dropped = upscaled.dropped
        shot.timing = None if upscaled.dropped else upscaled.timing
        self._client.release(upscaled)


def device_loop(upscaler: Upscaler, frames: Sequence[Frame], take: Take) -> None:
    """Call the upscaler on frame after frame, without a service, until the limit."""
    # Written, so that the first frame does not pay for the memory.
    result = np.full(upscaler.output_shape, 1, np.uint8)
    source = np.empty(upscaler.input_shape, np.uint8)
    before_ns = 0
    while not take.limit.reached(len(take.shots)):
        filling_ns = time.perf_counter_ns()
        np.copyto(source, frames[len(take.shots) % len(frames)])
        filled_ns = time.perf_counter_ns()
        started_ns = time.perf_counter_ns()
        upscaler(source, result)
        finished_ns = time.perf_counter_ns()
        spent_ns = started_ns - before_ns - (filled_ns - filling_ns) if before_ns else 0
        timing = Timing(
            submitted_ns=started_ns,
            received_ns=started_ns,
            started_ns=started_ns,
            finished_ns=finished_ns,
            returned_ns=finished_ns,
            arrived_ns=finished_ns,
        )
        take.shots.append(
            Shot(
                meant_ns=started_ns,
                submitted_ns=started_ns,
                call_ns=finished_ns - started_ns,
                harness_ns=spent_ns,
                timing=timing,
            )
        )
        before_ns = finished_ns
        take.idle(len(take.shots))
