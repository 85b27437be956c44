from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from protocol.errors import ErrorCode, ServiceError
from upscaler import shared_memory
from upscaler.shared_memory import MAKING, PREFIX, Segment, folder, remove_abandoned

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="segments are no files there")


def open_segments() -> int:
    """Descriptors of segments that this process has open."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own is closed by now
            count += descriptor.readlink().name.startswith("upscaler")
    return count


def test_what_one_side_writes_the_other_reads() -> None:
    made = Segment.make(10_000)
    opened = Segment.open(made.name, 10_000)
    made.memory[9_990:] = b"0123456789"
    assert opened.memory[9_990:] == b"0123456789"
    made.unlink()
    made.unlink()
    assert not (folder() / made.name).exists()
    opened.memory[:3] = b"abc"  # a mapping outlives its name
    assert made.memory[:3] == b"abc"
    with pytest.raises(ServiceError, match="cannot be mapped here") as caught:
        Segment.open(made.name, 10_000)
    assert caught.value.code is ErrorCode.UNSUPPORTED_TRANSPORT


def test_a_segment_is_its_owners_alone_and_nobody_guesses_its_name() -> None:
    first, second = Segment.make(1), Segment.make(1)
    mode = (folder() / first.name).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert first.name != second.name
    assert len(first.name) >= len(PREFIX) + 32
    assert len(first.name) <= 64  # WELCOME has no more room
    first.unlink()
    second.unlink()


@pytest.mark.parametrize("name", ["", "upscaler-", "upscaler-../../etc/passwd", "/etc/passwd"])
def test_a_service_cannot_make_a_client_open_another_file(name: str) -> None:
    with pytest.raises(ServiceError, match="no name of one"):
        Segment.open(name, 10)


def test_a_segment_that_is_too_small_is_refused() -> None:
    made = Segment.make(4096)
    with pytest.raises(ServiceError, match="cannot be mapped here"):
        Segment.open(made.name, 1 << 20)
    made.unlink()


def test_no_room_is_an_error_and_leaves_nothing() -> None:
    gc.collect()  # an exception's traceback keeps mappings of other tests alive in a cycle
    before = sorted(folder().glob("upscaler*")), open_segments()
    with pytest.raises(ServiceError, match=r"shared memory cannot be had .*inline") as caught:
        Segment.make(1 << 50)
    assert caught.value.code is ErrorCode.UNSUPPORTED_TRANSPORT
    gc.collect()
    assert (sorted(folder().glob("upscaler*")), open_segments()) == before


MAKE_AND_DIE = """
import os, signal
from upscaler.shared_memory import Segment
print(Segment.make(4096).name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else() -> None:
    alive = Segment.make(4096)
    done = subprocess.run(
        [sys.executable, "-c", MAKE_AND_DIE], capture_output=True, text=True, check=False
    )
    orphan = done.stdout.strip()
    assert (folder() / orphan).exists()
    assert orphan in remove_abandoned()
    assert not (folder() / orphan).exists()
    assert (folder() / alive.name).exists()
    alive.unlink()


def test_what_nobody_makes_any_more_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "folder", lambda: tmp_path)
    old, new = tmp_path / f"{MAKING}1", tmp_path / f"{MAKING}2"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    assert remove_abandoned() == [old.name]
    assert new.exists()


def test_nothing_is_left_open() -> None:
    gc.collect()  # what other tests left would go in the meantime
    before = open_segments()
    for _ in range(20):
        made = Segment.make(4096)
        Segment.open(made.name, 4096)
        assert open_segments() > before
        made.unlink()
        del made
    gc.collect()
    assert open_segments() == before
