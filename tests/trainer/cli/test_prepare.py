from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from trainer.degrade import DEGRADATIONS, degrade
from trainer.store import Store
from upscaler.contract import Frame
from upscaler.images import write_image

TWO = Fraction(2)
FOLDERS = ["--low", "low", "--high", "high", "--licence", "mine", "--game", "mygame"]
Pictures = tuple[Frame, Frame]


@pytest.fixture
def prepare(train_here: Callable) -> Callable[..., str]:
    """Run the command in this process, in `tmp_path`; return what it prints."""

    def run(*arguments: str | Path) -> str:
        done = train_here("prepare", *arguments, "--out", "store")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def write(root: Path, name: str, pictures: Pictures) -> None:
    for role, picture in zip(("low", "high"), pictures, strict=True):
        path = root / role / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture[:, :, ::-1])


@pytest.fixture
def folders(tmp_path: Path, cuts: list[Pictures]) -> Path:
    """Folders `low` and `high` of five scenes with two frames each."""
    for index, pictures in enumerate(cuts[:10]):
        write(tmp_path, f"{'abcde'[index // 2]}/{index}", pictures)
    return tmp_path


def write_manifest(root: Path, pairs: dict[str, str], *, repeat: int = 1) -> None:
    """List files of `folders` by name and split; each pair `repeat` times."""
    entries = [
        {"file": f"{folder}/{name}.png", "pair": f"{name}-{time}", "role": role, "split": split}
        | {"game": "mygame", "scene": name[0], "licence": "CC0-1.0"}
        for name, split in pairs.items()
        for time in range(repeat)
        for folder, role in (("low", "x2"), ("high", "hr"))
    ]
    (root / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")


def splits(store: Store) -> dict[str, str]:
    return {entry.scene: entry.split for entry in store.index.pairs}


def test_renders_in_folders(prepare: Callable[..., str], folders: Path) -> None:
    said = prepare(*FOLDERS)
    assert "pairs at 2x, native renders" in said
    for row in ("train │ 3 │ 6", "validation │ 1 │ 2", "test │ 1 │ 2"):
        assert f"mygame │ {row} │" in " ".join(said.split())
    assert "shift of low against high: median 0.0" in said
    assert "store is ready; look at store/contact.png" in said
    assert "dropped" not in said
    assert "warning" not in said
    store = Store(folders / "store")
    assert (store.scale, store.index.degradation) == (TWO, "native")
    assert Counter(splits(store).values()) == {"train": 3, "validation": 1, "test": 1}
    assert {entry.licence for entry in store.index.pairs} == {"mine"}
    assert (folders / "store" / "contact.png").stat().st_size > 10_000


@pytest.mark.parametrize("kind", DEGRADATIONS)
@pytest.mark.parametrize("scale", ["1.5", "4"])
def test_high_resolution_frames_alone(
    prepare: Callable[..., str], folders: Path, kind: str, scale: str
) -> None:
    said = prepare(
        "--high", "high", "--licence", "x", "--degradation", kind, "--scale", scale,
        "--scene-per-file",
    )  # fmt: skip
    assert f"pairs at {scale}x, degraded by {kind}" in said
    assert ("10 frames lost rows at the bottom" in said) == (scale == "1.5")
    store = Store(folders / "store")
    assert (store.scale, store.index.degradation) == (Fraction(scale), kind)
    assert len({entry.scene for entry in store.index.pairs}) == 10
    assert {entry.game for entry in store.index.pairs} == {"high"}


def test_what_is_wrong_is_dropped_with_its_reason(
    prepare: Callable[..., str], folders: Path, cuts: list[Pictures]
) -> None:
    low, high = cuts[10]
    write(folders, "a/2", (np.zeros_like(low), np.zeros_like(high)))
    write(folders, "a/3", cuts[1])
    write(folders, "b/4", (np.roll(low, 3, axis=0), high))
    write(folders, "b/5", (degrade(high, TWO, "area"), high))
    said = prepare(*FOLDERS)
    expected = {
        "mygame/a/2": "is black: 100.0 % of its pixels are within 2 levels",
        "mygame/a/3": "is frozen: 100.00 % of its pixels repeat the frame before",
        "mygame/b/4": "is misaligned by (",
        "mygame/b/5": "is no pair of renders: the low-resolution frame is a resize of the other",
    }
    index = json.loads((folders / "store" / "store.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in index["dropped"]] == list(expected)
    for each in index["dropped"]:
        assert each["reason"].startswith(expected[each["name"]])
        assert f"dropped: {each['name']} {each['reason']}\n" in said
    assert len(index["pairs"]) == 10


def test_a_long_list_of_dropped_pairs_is_cut(prepare: Callable[..., str], folders: Path) -> None:
    write_manifest(folders, {"a/0": "train"}, repeat=14)
    said = prepare("--data", ".")
    assert said.count("is frozen") == 10
    assert "dropped: 3 more, see store.json" in said
    assert "warning: nothing is held out for validation or test" in said


def test_scenes_of_a_manifest_are_held_out_by_name(
    prepare: Callable[..., str], folders: Path
) -> None:
    train = {"a/0": "train", "b/2": "train", "c/4": "train", "c/5": "train"}
    write_manifest(folders, train | {"d/6": "test", "e/8": "sequence"})
    prepare("--data", ".", "--hold-out", "c", "--hold-out", "mygame/a")
    held_out = {"a": "validation", "b": "train", "c": "validation", "d": "test"}
    assert splits(Store(folders / "store")) == held_out


def test_scenes_of_folders_are_held_out_by_name(prepare: Callable[..., str], folders: Path) -> None:
    prepare(*FOLDERS, "--hold-out", "b", "--test", "0")
    held_out = {**dict.fromkeys("acde", "train"), "b": "validation"}
    assert splits(Store(folders / "store")) == held_out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["name either --data, a folder with a manifest, or --high"]),
        (["--data", ".", "--high", "high"], ["name either --data"]),
        (["--data", ".", "--low", "low"], ["--data names the low-resolution frames itself"]),
        (["--data", ".", "--game", "x"], ["a manifest names game, scene, licence and test"]),
        (["--data", ".", "--scale", "3"], ["manifest.json has no pair at 3x of split 'train'"]),
        (["--data", "low"], ["low/manifest.json"]),
        (["--high", "high", "--licence", "x"], ["--high needs either --low"]),
        ([*FOLDERS, "--degradation", "area"], ["--high needs either --low"]),
        (["--high", "high", "--degradation", "lanczos"], ["unknown degradation 'lanczos'"]),
        (["--high", "high", "--degradation", "area"], ["name the frames' licence"]),
        ([*FOLDERS, "--high", "absent"], ["absent is no folder"]),
        ([*FOLDERS, "--scale", "7"], ["unsupported scale 7"]),
        ([*FOLDERS, "--scale", "1.5"], ["high/", ".png is 320x240, but 3/2 times low/"]),
        ([*FOLDERS, "--validation", "0.7"], ["Invalid value for '--validation'"]),
        ([*FOLDERS, "--validation", "0.2", "--hold-out", "a"], ["leave --validation to shares"]),
        ([*FOLDERS, "--hold-out", "x"], ["no scene 'x' to train on; choose from mygame/a, "]),
        ([*FOLDERS, *(f"--hold-out={scene}" for scene in "abcde")], ["all 5 scenes are held out"]),
        ([*FOLDERS, "--out", "high"], ["high exists; name another folder or remove it"]),
        ([*FOLDERS, "--out", "manifest.json/store"], ["cannot write manifest.json/store"]),
    ],
    ids=lambda value: "-".join(value[-2:]).replace("/", "|"),
)
def test_errors_are_one_line(
    assert_refused: Callable, folders: Path, *, arguments: list[str], parts: list[str]
) -> None:
    write_manifest(folders, {"a/0": "train", "b/2": "train"})
    out = [] if "--out" in arguments else ["--out", "store"]
    assert_refused(["prepare", *arguments, *out], *parts)
    assert sorted(path.name for path in folders.iterdir()) == ["high", "low", "manifest.json"]


@pytest.mark.parametrize(
    ("width", "height", "part"),
    [
        (0, 0, "cannot read high/c/4.png: No such file"),
        (0, 1000, "high/c/4.png is cut short"),
        (321, 240, "high/c/4.png is 321x240, but 2 times low/c/4.png is 320x240"),
    ],
)
def test_a_bad_file_of_a_manifest_is_named(
    assert_refused: Callable, folders: Path, *, width: int, height: int, part: str
) -> None:
    write_manifest(folders, {"a/0": "train", "b/2": "train", "c/4": "train"})
    path = folders / "high" / "c" / "4.png"
    if width:
        write_image(path, np.zeros((height, width, 3), np.uint8))
    elif height:
        path.write_bytes(path.read_bytes()[:-height])
    else:
        path.unlink()
    assert_refused(["prepare", "--data", ".", "--out", "store"], part)
    assert not list(folders.glob("*store*"))


def test_odd_sides_at_1_5x_are_named(assert_refused: Callable, tmp_path: Path) -> None:
    write(tmp_path, "a/1", (np.zeros((9, 8, 3), np.uint8), np.zeros((13, 12, 3), np.uint8)))
    arguments = ["prepare", *FOLDERS, "--scale", "1.5", "--out", "store"]
    assert_refused(arguments, "low/a/1.png: a scale of 1.5 needs even sides, not 8x9")


def test_nothing_left_to_train_on_is_one_line(assert_refused: Callable, tmp_path: Path) -> None:
    write(tmp_path, "a/1", (np.zeros((8, 8, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)))
    refused = (
        "nothing is left to train on in store; pairs dropped: 1, the first: mygame/a/1 is black"
    )
    assert_refused(["prepare", *FOLDERS, "--out", "store"], refused)


def test_needs_no_torch_and_says_one_line_of_a_damaged_file(
    run_trainer: Callable, folders: Path
) -> None:
    done = run_trainer("prepare", *FOLDERS, "--out", "store", torch=False)
    assert done.returncode == 0, done.stderr
    damaged = folders / "high" / "a" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    done = run_trainer("prepare", *FOLDERS, "--out", "other", torch=False)
    assert done.returncode == 2
    named = "high/a/0.png is cut short: a PNG without its end"
    assert done.stderr == f"upscaler-train: {named}\n"


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000,) * 2)
from trainer.cli.main import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_full_disk_is_one_line_and_leaves_nothing(folders: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "prepare", *FOLDERS, "--out", "store"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folders,
    )
    assert done.returncode == 2
    said = "upscaler-train: cannot write store: File too large after 1 MB\n"
    assert (done.stdout, done.stderr) == ("", said)
    assert sorted(path.name for path in folders.iterdir()) == ["high", "low"]


# What runs in the background of a shell script ignores Ctrl-C, and so does what it starts.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from trainer.cli.main import main
main()
"""


def test_an_interrupt_leaves_nothing(folders: Path) -> None:
    write_manifest(folders, {"a/0": "train"}, repeat=2000)
    command = [
        *(sys.executable, "-c", INTERRUPTIBLE, "prepare", "--data", folders),
        *("--out", "new/store"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folders
    ) as process:
        deadline = time.monotonic() + 60
        while not list(folders.glob(".store.*.draft/pixels.u8")):
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "upscaler-train: interrupted\n")
        assert process.returncode == 130
    assert sorted(path.name for path in folders.iterdir()) == ["high", "low", "manifest.json"]
