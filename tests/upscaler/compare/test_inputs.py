from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadImageError, BadRequestError
from protocol.frames import Size
from upscaler.compare.inputs import Shot, Video, find_shots, result_size, video_shots
from upscaler.images import read_image

TWO = Fraction(2)


def shots(source: Path, native: Path | None = None, **options: bool) -> list[Shot]:
    sequence, lonely = options.get("sequence", False), options.get("lonely", False)
    found = find_shots(source, native, scale=TWO, split="test", sequence=sequence, lonely=lonely)
    listed = list(found.frames)
    assert found.count == len(listed)
    return listed


def test_two_folders_are_pairs_by_name(pairs: tuple[Path, Path]) -> None:
    listed = shots(*pairs)
    assert [(each.name, each.scene, each.follows) for each in listed] == [
        ("000", "low", False),
        ("001", "low", False),
        ("002", "low", False),
    ]
    low, native = listed[1].load()
    assert np.array_equal(low, read_image(pairs[0] / "001.png"))
    assert native is not None
    assert np.array_equal(native, read_image(pairs[1] / "001.png"))


def test_a_folder_alone_has_no_native_render(pairs: tuple[Path, Path]) -> None:
    listed = shots(pairs[0], sequence=True)
    assert [each.follows for each in listed] == [False, True, True]
    assert listed[0].load()[1] is None


def test_single_images_may_have_any_names(pairs: tuple[Path, Path]) -> None:
    (shot,) = shots(pairs[0] / "000.png", pairs[1] / "001.png")
    assert shot.name == "000"
    native = shot.load()[1]
    assert native is not None
    assert np.array_equal(native, read_image(pairs[1] / "001.png"))


def test_a_manifest_lists_pairs_and_sequences(pairs: tuple[Path, Path]) -> None:
    root = pairs[0].parent
    entries = [
        {
            "file": f"{folder}/{index:03d}.png",
            "game": "arena",
            "scene": "yard",
            "pair": f"yard/{index}",
            "role": role,
            "split": split,
            "licence": "GPL",
        }
        for split, index in (("sequence", 0), ("sequence", 1))
        for folder, role in (("low", "x2"), ("high", "hr"))
    ]
    (root / "manifest.json").write_text(json.dumps(entries))
    found = find_shots(root, None, scale=TWO, split="sequence", sequence=False)
    listed = list(found.frames)
    assert [(each.scene, each.follows) for each in listed] == [
        ("arena/yard", False),
        ("arena/yard", True),
    ]
    with pytest.raises(BadImageError, match="has a manifest of its pairs; leave --native out"):
        find_shots(root, pairs[1], scale=TWO, split="sequence", sequence=False)
    with pytest.raises(BadImageError, match="no pair of split 'test'"):
        find_shots(root, None, scale=TWO, split="test", sequence=False)


def test_a_name_in_one_folder_alone_is_named(pairs: tuple[Path, Path]) -> None:
    (pairs[1] / "001.png").unlink()
    with pytest.raises(BadImageError, match=r"low has 3 images and .*high has 2: .*high has none "):
        shots(*pairs)
    listed = shots(*pairs, lonely=True)
    assert [each.name for each in listed] == ["000", "001", "002"]
    with pytest.raises(BadImageError, match="high has none called 001"):
        listed[1].load()


def test_videos_are_read_as_they_come() -> None:
    frames = [np.full((4, 6, 3), level, np.uint8) for level in range(3)]
    video = Video(path=Path("a/clip.mp4"), count=3, frames=iter(frames))
    listed = list(video_shots(video, None).frames)
    assert [(each.name, each.scene, each.follows) for each in listed] == [
        ("clip/000000", "clip", False),
        ("clip/000001", "clip", True),
        ("clip/000002", "clip", True),
    ]
    assert listed[2].load()[0][0, 0, 0] == 2


def test_videos_of_other_lengths_are_refused() -> None:
    frames = [np.zeros((4, 6, 3), np.uint8)] * 3
    with pytest.raises(BadImageError, match=r"low\.mp4 has 3 frames, but high\.mp4 2"):
        video_shots(
            Video(path=Path("low.mp4"), count=3, frames=iter(frames)),
            Video(path=Path("high.mp4"), count=2, frames=iter(frames)),
        )
    unknown = video_shots(
        Video(path=Path("low.mp4"), count=None, frames=iter(frames)),
        Video(path=Path("high.mp4"), count=None, frames=iter(frames[:1])),
    )
    with pytest.raises(BadImageError, match=r"high\.mp4 ends after 1 frames"):
        list(unknown.frames)


@pytest.mark.parametrize(
    ("low", "native", "expected"),
    [
        ((540, 960), None, Size(1920, 1080)),
        ((831, 1477), (1080, 1920), Size(1920, 1080)),
        ((540, 960), (540, 960), Size(960, 540)),
    ],
)
def test_the_size_of_the_result(
    low: tuple[int, int], native: tuple[int, int] | None, expected: Size
) -> None:
    render = None if native is None else np.zeros((*native, 3), np.uint8)
    frame = np.zeros((*low, 3), np.uint8)
    assert result_size(frame, render, scale=TWO, where="a.png") == expected


def test_a_native_render_of_another_shape_is_named() -> None:
    frame = np.zeros((540, 960, 3), np.uint8)
    for native in ((1080, 1900), (270, 480), (4000, 7112)):
        with pytest.raises(BadImageError, match=r"a\.png is \d+x\d+, which is no upscaling"):
            result_size(frame, np.zeros((*native, 3), np.uint8), scale=TWO, where="a.png")
    with pytest.raises(BadRequestError, match="needs even sides"):
        result_size(frame[:539], None, scale=Fraction(3, 2), where="a.png")
