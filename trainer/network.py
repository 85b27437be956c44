"""QuickSRNet: plain convolutions, ReLU1 and a depth-to-space (Berger et al., QuickSRNet, 2023).

Every activation lies in 0..1, so an 8-bit encoding of scale 1/255 and zero-point 0 holds each of
them, and saturation to 0..255 is the clip. Nothing here may break that: no normalisation layers,
no long skip connection, a clip before depth-to-space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from protocol.errors import BadRequestError

SCALES = (Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4))
RGB = 3
NAMED = {"small": (32, 2), "medium": (32, 5), "large": (64, 11)}
"""The paper's names for (width f, depth m)."""

Head = Literal["space-to-depth", "pooled"]
Activation = Literal["relu1", "relu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What makes one QuickSRNet: `width` f, `depth` m and the exact `scale`.

    Small is f=32 m=2, Medium f=32 m=5, Large f=64 m=11 (paper, section 3).

    The rest exists to be compared with. `head` matters at 1.5x only: "space-to-depth" is the
    paper's, "pooled" the naive one that it is compared with, upscaling by 3 and averaging 2x2.
    `activation` "relu" leaves hidden activations unbounded above; `residual` adds the
    nearest-neighbour upscaled input to the output, which the paper's design avoids.
    """

    width: int = 32
    depth: int = 2
    scale: Fraction = Fraction(2)
    head: Head = "space-to-depth"
    activation: Activation = "relu1"
    residual: bool = False

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            offered = ", ".join(str(scale) for scale in SCALES)
            msg = f"QuickSRNet has no scale {self.scale}; choose one of {offered}"
            raise ValueError(msg)
        if self.width < RGB or self.depth < 0:
            msg = f"QuickSRNet needs width >= 3 and depth >= 0, not f={self.width} m={self.depth}"
            raise ValueError(msg)
        if self.head == "pooled" and self.scale.denominator == 1:
            msg = f"the pooled head is for 1.5x; at {self.scale}x there is nothing to pool"
            raise ValueError(msg)

    @property
    def upsampling(self) -> int:
        """Block of the final depth-to-space: the numerator of the scale."""
        return self.scale.numerator

    @property
    def size_multiple(self) -> int:
        """Both input sides must be a multiple of this: the denominator of the scale."""
        return self.scale.denominator

    @property
    def folding(self) -> int:
        """Block of the space-to-depth before the last convolution; 1 where there is none."""
        return 1 if self.head == "pooled" else self.scale.denominator

    @property
    def name(self) -> str:
        """Name of the size, such as "small", or "f32-m3" for one that the paper left unnamed."""
        names = {size: name for name, size in NAMED.items()}
        size = (self.width, self.depth)
        return names.get(size, f"f{self.width}-m{self.depth}")

    @property
    def variants(self) -> list[str]:
        """What differs from the deployed design, such as "pooled"; empty for QuickSRNet itself."""
        differences = {
            "pooled": self.head == "pooled",
            "relu": self.activation == "relu",
            "residual": self.residual,
        }
        return [name for name, differs in differences.items() if differs]


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, depth) of "small", "medium", "large" or the like of "f32-m7".

    Raises BadRequestError for anything else.
    """
    if text in NAMED:
        return NAMED[text]
    match = re.fullmatch(r"f(\d{1,4})-?m(\d{1,3})", text)
    if match is None:
        msg = f"unknown architecture {text!r}; choose {', '.join(NAMED)} or the like of f32-m7"
        raise BadRequestError(msg)
    return int(match[1]), int(match[2])


class QuickSRNet(nn.Module):
    """QuickSRNet of any width, depth and scale.

    `cnn` holds (convolution 3x3, ReLU1) x (m + 1); `conv_last` maps to 3 S^2 channels. At 1.5x a
    space-to-depth(2) stands before `conv_last`, which is then 1x1, and S is 3.
    """

    def __init__(
        self, architecture: Architecture, *, identity: bool = True, noise: float = 1.0
    ) -> None:
        """Initialise as PyTorch does, and add the identity to it if asked to.

        `noise` scales the random part of all layers but the first, which must tell its channels
        apart: at 1, as in the paper, it is about as large as the identity that it surrounds.
        """
        super().__init__()
        self.architecture = architecture
        width, folding = architecture.width, architecture.folding
        layers: list[nn.Module] = []
        for index in range(architecture.depth + 1):
            conv = nn.Conv2d(RGB if index == 0 else width, width, 3, padding=1)
            bounded = architecture.activation == "relu1"
            layers += [conv, nn.Hardtanh(0.0, 1.0) if bounded else nn.ReLU()]
        self.cnn = nn.Sequential(*layers)
        self.space_to_depth = nn.PixelUnshuffle(folding) if folding > 1 else nn.Identity()
        kernel = 1 if folding > 1 else 3
        self.conv_last = nn.Conv2d(
            width * folding**2, RGB * architecture.upsampling**2, kernel, padding=kernel // 2
        )
        # The clip stands before depth-to-space, so that the last convolution saturates (ReLU1).
        self.clip = nn.Hardtanh(0.0, 1.0)
        self.depth_to_space = nn.PixelShuffle(architecture.upsampling)
        pooled = architecture.head == "pooled"
        self.pool = nn.AvgPool2d(architecture.size_multiple) if pooled else nn.Identity()
        if identity:
            with torch.no_grad():
                for conv in self.convolutions[1:]:
                    for parameter in conv.parameters():
                        parameter.mul_(noise)
            self.add_identity()

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """All convolutions in the order of execution."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]

    @torch.no_grad()
    def add_identity(self) -> None:
        """Make the untrained network a nearest-neighbour upscaler (paper, section 3.2).

        Adds 1 to the centre tap that carries colour c through: partial in the first layer, full in
        the middle, repeated over the S^2 sub-pixels in the last.
        """
        for index, conv in enumerate(self.convolutions[:-1]):
            channels = range(RGB if index == 0 else self.architecture.width)
            for channel in channels:
                conv.weight[channel, channel, 1, 1] += 1.0
        if self.architecture.residual:
            return  # the input reaches the output by itself
        block, upsampling = self.architecture.folding, self.architecture.upsampling
        centre = self.conv_last.kernel_size[0] // 2
        for colour in range(RGB):
            for row in range(upsampling):
                for column in range(upsampling):
                    out = colour * upsampling**2 + row * upsampling + column
                    sub = (row * block // upsampling) * block + column * block // upsampling
                    self.conv_last.weight[out, colour * block**2 + sub, centre, centre] += 1.0

    def forward(self, low_resolution: Tensor) -> Tensor:
        """Upscale (N, 3, H, W) RGB in 0..1 to (N, 3, scale H, scale W) in 0..1.

        H and W must be multiples of `architecture.size_multiple`.
        """
        features = self.conv_last(self.space_to_depth(self.cnn(low_resolution)))
        if self.architecture.residual:
            features = features + self._repeated(low_resolution)
        upscaled: Tensor = self.pool(self.depth_to_space(self.clip(features)))
        return upscaled

    def _repeated(self, low_resolution: Tensor) -> Tensor:
        """The input, nearest-neighbour upscaled, in the channels that depth-to-space takes."""
        up, folding = self.architecture.upsampling, self.architecture.folding
        if folding == 1:
            return low_resolution.repeat_interleave(up**2, dim=1)
        large = functional.interpolate(low_resolution, scale_factor=up / folding, mode="nearest")
        return functional.pixel_unshuffle(large, up)
