"""Full power while frames come, little power after a while without: when to change, and doing it.

Changing costs a call to the NPU's driver, so it is done when a pause begins and when it ends, and
never for a frame between: there the cost is a lock that nobody else holds and one look at a clock.
onnxruntime-qnn's run options could change the mode around every frame, and would make two calls
each time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class IdlePower:
    """Calls `switch(mode)` with `idle_mode` after `idle_after_s` without a frame, and back.

    A thread of its own watches the pauses. `switch` is never called twice at once, nor while a
    frame runs. One that fails is logged once, and the mode stays what it is: frames do not depend
    on it.
    """

    def __init__(
        self,
        switch: Callable[[str], None],
        *,
        mode: str,
        idle_mode: str,
        idle_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start watching; the first pause begins now, in `mode`."""
        self.switch = switch
        self._mode = mode
        self._idle_mode = idle_mode
        self._idle_after_s = idle_after_s
        self._clock = clock
        # Reentrant: the collector may call `close` in the middle of anything, on this thread.
        self._changed = threading.Condition()
        self._last = clock()
        self._running = False
        self._relaxed = False
        self._closed = False
        self._thread: threading.Thread | None = None
        if idle_after_s and mode != idle_mode:
            self._thread = threading.Thread(target=self._watch, name="npu-power", daemon=True)
            self._thread.start()

    @property
    def mode(self) -> str:
        """The mode now."""
        return self._idle_mode if self._relaxed else self._mode

    def begin(self) -> None:
        """Call before a frame: ends a pause."""
        with self._changed:
            self._running = True
            if self._relaxed:
                self._relaxed = False
                self._try(self._mode)
                self._changed.notify_all()

    def end(self) -> None:
        """Call after a frame: a pause may begin."""
        with self._changed:
            self._last = self._clock()
            self._running = False

    def close(self) -> None:
        """Stop watching; `switch` is not called any more. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait for a pause to have been noticed; return whether it was within `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._relaxed, timeout_s)

    def relax_if_idle(self) -> float | None:
        """Save power if the pause is long enough; return when to look again.

        In seconds; None when there is nothing to look for until the next frame.
        """
        with self._changed:
            return self._relax_if_idle()

    def _relax_if_idle(self) -> float | None:
        if self._relaxed or self._closed:
            return None
        left_s = self._last + self._idle_after_s - self._clock()
        if self._running or left_s > 0:
            return self._idle_after_s if self._running else left_s
        self._relaxed = True
        self._try(self._idle_mode)
        self._changed.notify_all()
        return None

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                self._changed.wait(self._relax_if_idle())

    def _try(self, mode: str) -> None:
        if self._closed:
            return
        try:
            self.switch(mode)
        except Exception as error:  # noqa: BLE001 - whatever the runtime throws; frames go on
            self._closed = True
            log.warning(
                "the NPU does not take the mode %s (%s); it keeps the last one", mode, error
            )
