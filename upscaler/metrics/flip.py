"""FLIP: the difference that an observer sees when flipping between two pictures.

Andersson et al., FLIP: A Difference Evaluator for Alternating Images, 2020. Made for rendered
frames: it models the eye's contrast sensitivity at a viewing distance, colour, and the visibility
of edges and points. This is the definition of NVIDIA's `flip-evaluator` 1.7, with separable
filters, written anew to measure many pictures; what it takes is said at `FlipReference`.

Both pictures become opponent colours (Y, X - Y, Y - Z of CIE XYZ, in shares of white), each blurred
by what the eye does not resolve there. The blurred ones, back inside sRGB's gamut and then as
L*a*b*, with a* and b* the weaker the darker (Hunt), differ by HyAB: |dL| plus the distance in a*b*.
That to the power of 0.7 is brought to 0..1 along two straight lines: `colour`. On Y unblurred, the
gradient and the second derivatives of a Gaussian as wide as the least visible edge say how strong
edges and points are; the larger of the two differences, times sqrt(1/2), is `feature`. The error of
the pixel is `colour ** (1 - sqrt(feature))`. Beyond the border the last pixel is repeated.
"""

from __future__ import annotations

from math import inf, pi

import numpy as np
from numpy.typing import NDArray

from upscaler.contract import Frame
from upscaler.metrics.pictures import PEAK, comparable

PIXELS_PER_DEGREE = 3840 * pi / 180
"""FLIP's default, 67: a display of 3840 pixels, seen from as far as it is wide."""

CONTRAST_Y, CONTRAST_XY = 0.0047, 0.0053
"""Widths of the Gaussians of contrast sensitivity, `exp(-(pi * degrees)**2 / width)`."""
CONTRAST_YZ = (34.1, 0.04), (13.5, 0.025)
"""Amplitude and width of both Gaussians for Y - Z."""
NEGLIGIBLE = 1e-9
"""Share of a filter's sum below which a tap at its end changes nothing in float32."""
FEATURE_DEGREES = 0.082
"""How wide an edge is that is just visible, in degrees: two standard deviations."""
COLOUR_EXPONENT = 0.7
ELBOW_SHARE, ELBOW_VALUE = 0.4, 0.95
"""Where the lines meet, as a share of the largest colour difference, and the value there."""

LINEAR_TO_XYZ = np.array(
    [
        [10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794],
        [2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897],
        [1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382],
    ]
)
"""Of sRGB's primaries and its white, D65."""
LINEAR_TO_SHARES = LINEAR_TO_XYZ / LINEAR_TO_XYZ.sum(axis=1, keepdims=True)
"""X, Y and Z in shares of white."""
SHARES_TO_OPPONENTS = np.array([[0.0, 1, 0], [1, -1, 0], [0, 1, -1]])

Filters = tuple[NDArray[np.float32], ...]


class FlipReference:
    """A picture to compare others with; what FLIP looks at in it is worked out once.

    `reference` is (H, W, 3) uint8 sRGB, red first; `shave` pixels at each side are left out before
    anything is computed. Maps may be asked for from several threads at once.

    Holds 20 bytes a pixel; a map takes 4, and about 1 MB beside it. On one core of an Intel Xeon
    (AVX-512), a 1080p reference takes 0.053 s and each picture 0.056 s, where flip-evaluator 1.7
    takes 3.15 s a pair: 57 times as fast, or 29 times with one picture a reference. Both agree
    within 2e-4 at every pixel and 1e-5 in the mean: on 47 upscaled game frames at 67 pixels a
    degree, and on one of them and noise at 2 to 1000.

    Raises ValueError for what is no such picture, when no pixel is left, or for a resolution that
    is not positive.
    """

    def __init__(
        self,
        reference: Frame,
        *,
        pixels_per_degree: float = PIXELS_PER_DEGREE,
        shave: int = 0,
    ) -> None:
        from upscaler.metrics.flip_kernels import describe

        if not 0 < pixels_per_degree < inf:
            msg = f"FLIP needs a positive number of pixels per degree, not {pixels_per_degree}"
            raise ValueError(msg)
        self._reference, self._shave = reference, shave
        cut = self._cut(reference)
        height, width, _ = cut.shape
        self._filters = _filters(pixels_per_degree)
        self._described = np.empty((height, 5, width), np.float32)
        describe(cut, _LINEAR, _MATRICES, self._filters, self._described)

    def map(self, picture: Frame) -> NDArray[np.float32]:
        """Return the visible difference of every pixel, (H, W) float32 in 0..1.

        `picture` is as the reference is. Raises ValueError when they cannot be compared.
        """
        from upscaler.metrics.flip_kernels import errors_of

        cut = self._cut(picture)
        errors = np.empty(cut.shape[:2], np.float32)
        errors_of(cut, _LINEAR, _MATRICES, self._filters, self._described, _RESPONSE, errors)
        return errors

    def _cut(self, picture: Frame) -> Frame:
        """Check a picture against the reference, and return what is left of it, contiguous."""
        cut, _ = comparable(picture, self._reference, shave=self._shave)
        if cut.ndim != 3 or cut.shape[2] != 3:
            msg = f"FLIP compares (height, width, 3) RGB, not {cut.shape}"
            raise ValueError(msg)
        return np.ascontiguousarray(cut)


def flip_mean(
    picture: Frame,
    reference: Frame,
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    shave: int = 0,
) -> float:
    """Return the mean of `flip_map`, 0 (no visible difference) to 1; same arguments and errors."""
    errors = flip_map(picture, reference, pixels_per_degree=pixels_per_degree, shave=shave)
    return float(errors.mean(dtype=np.float64))


def flip_map(
    picture: Frame,
    reference: Frame,
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    shave: int = 0,
) -> NDArray[np.float32]:
    """Return the visible difference of every pixel, (H, W) float32 in 0..1.

    Both are (H, W, 3) uint8 sRGB of one size, red first; `shave` pixels at each side are left out
    before anything is computed. For several pictures of one reference, use `FlipReference`.

    Raises ValueError for pictures that cannot be compared, or a resolution that is not positive.
    """
    prepared = FlipReference(reference, pixels_per_degree=pixels_per_degree, shave=shave)
    return prepared.map(picture)


def _linear_light() -> NDArray[np.float32]:
    """Light of each of the 256 levels of sRGB."""
    level = np.arange(PEAK + 1) / PEAK
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _matrices() -> NDArray[np.float32]:
    """Linear RGB to opponent colours, these to linear RGB, and that to shares of white."""
    to_opponents = SHARES_TO_OPPONENTS @ LINEAR_TO_SHARES
    matrices = np.stack([to_opponents, np.linalg.inv(to_opponents), LINEAR_TO_SHARES])
    return matrices.astype(np.float32)


def _response() -> NDArray[np.float32]:
    """Exponent and lines that turn a HyAB difference into 0..1, see `flip_kernels.errors_of`.

    The largest one is that of green and blue, both at their brightest.
    """
    roots = np.cbrt(LINEAR_TO_SHARES[:, 1:].T)  # of all six shares, none of which is dark
    light = 116 * roots[:, 1] - 16
    hunt = np.stack(
        [5 * light * (roots[:, 0] - roots[:, 1]), 2 * light * (roots[:, 1] - roots[:, 2])]
    )
    largest = abs(light[0] - light[1]) + np.hypot(*(hunt[:, 0] - hunt[:, 1]))
    top = largest**COLOUR_EXPONENT
    elbow = ELBOW_SHARE * top
    return np.array(
        [
            COLOUR_EXPONENT,
            elbow,
            ELBOW_VALUE / elbow,
            ELBOW_VALUE,
            (1 - ELBOW_VALUE) / (top - elbow),
        ],
        np.float32,
    )


_LINEAR, _MATRICES, _RESPONSE = _linear_light(), _matrices(), _response()


def _filters(pixels_per_degree: float) -> Filters:
    """Return the filters of Y, X - Y, two of Y - Z, a Gaussian and its two derivatives.

    All have an odd number of taps. Below one pixel a degree nothing changes any more, except that
    exponentials vanish, so that is the least. (The tool's vanish below 1.7, and leave it without
    edges and points.)
    """
    # In float32, as the tool's: where three deviations are whole, rounding decides on a tap.
    resolution = np.float32(max(pixels_per_degree, 1))
    widest = np.sqrt(np.float32(max(width for _, width in CONTRAST_YZ) / (2 * pi**2)))
    degrees = _centred(3 * widest * resolution) / float(resolution)

    def blur(width: float) -> NDArray[np.float64]:
        return np.exp(-((pi * degrees) ** 2) / width)

    single = [each / each.sum() for each in map(blur, (CONTRAST_Y, CONTRAST_XY))]
    # The root of the amplitude, since it is applied along both axes; both are normed together.
    double = [(amplitude**2 * pi / width) ** 0.25 * blur(width) for amplitude, width in CONTRAST_YZ]
    together = np.hypot(*(each.sum() for each in double))

    deviation = np.float32(FEATURE_DEGREES / 2) * resolution
    deviations = _centred(3 * deviation) / float(deviation)
    gaussian = np.exp(-(deviations**2) / 2)
    slope, bend = -deviations * gaussian, (deviations**2 - 1) * gaussian
    every = [
        *map(_trimmed, single),
        *(each / together for each in double),
        gaussian / gaussian.sum(),
        _balanced(slope),
        _balanced(bend),
    ]
    return tuple(np.ascontiguousarray(each, np.float32) for each in every)


def _centred(reach: np.float32) -> NDArray[np.float64]:
    radius = int(np.ceil(reach))
    return np.arange(-radius, radius + 1, dtype=np.float64)


def _trimmed(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the ends of a falling filter that change nothing."""
    dropped = int(np.argmax(weights > NEGLIGIBLE))
    return weights[dropped : weights.size - dropped]


def _balanced(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norm a derivative: its positive weights add up to 1, its negative ones to -1."""
    positive, negative = weights[weights > 0].sum(), -weights[weights < 0].sum()
    balanced: NDArray[np.float64] = weights / np.where(weights > 0, positive, negative)
    return balanced
