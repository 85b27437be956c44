"""The pixels of a run: the demo's game clip, made-up pictures, or frames that a caller has.

Few different frames are enough, and they stay in memory: what is measured is no decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import fitted
from upscaler.contract import Frame
from upscaler.images import read_image

CLIP = Path(__file__).parents[2] / "demo" / "clip" / "frames"
MOST_FRAMES = 12
MOST_BYTES = 64_000_000
"""Of the frames of one size: two at least, whatever they take."""
SYNTHETIC = Size(480, 270)


@dataclass(slots=True, kw_only=True)
class Source:
    """Pictures, (height, width, 3) uint8 blue first, and what they are called in results."""

    name: str
    pictures: Sequence[Frame]
    _made: dict[tuple[Size, PixelFormat], list[Frame]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.pictures:
            msg = f"the source {self.name} has no frame"
            raise BadImageError(msg)

    def frames(self, size: Size, pixel_format: PixelFormat) -> list[Frame]:
        """Return them cut or repeated to `size`, in `pixel_format`; alpha is 255."""
        if (size, pixel_format) not in self._made:
            each = size.pixels * pixel_format.channels
            count = min(MOST_FRAMES, max(2, MOST_BYTES // each), len(self.pictures))
            made = [fitted(picture, size, pixel_format) for picture in self.pictures[:count]]
            self._made = {(size, pixel_format): made}  # those of another size make way
        return self._made[size, pixel_format]


def clip_source() -> Source:
    """The shipped game clip."""
    paths = sorted(CLIP.glob("*.webp"))[:MOST_FRAMES]
    return Source(name="clip", pictures=[read_image(path) for path in paths])


def synthetic_source() -> Source:
    """Gradients that move, under noise: the same pixels everywhere, and no two frames alike."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[: SYNTHETIC.height, : SYNTHETIC.width]
    pictures = []
    for step in range(MOST_FRAMES):
        waves = [128 + 100 * np.sin(x / 40 + y / 60 + step / 3 + turn) for turn in range(3)]
        noise = random.integers(-20, 21, (SYNTHETIC.height, SYNTHETIC.width, 3))
        pictures.append(np.clip(np.dstack(waves) + noise, 0, 255).astype(np.uint8))
    return Source(name="synthetic", pictures=pictures)
