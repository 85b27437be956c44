"""How close pictures and sequences are to a reference, and how sure that is.

Pictures are uint8. What depends on luma or colour (`*_y*`, FLIP, flicker) takes RGB, in this order.
"""

from upscaler.metrics.bootstrap import Interval, bootstrap_mean, paired_differences
from upscaler.metrics.flicker import Motion, flicker_levels, motion_between, signed_error
from upscaler.metrics.flip import FlipReference, flip_map, flip_mean
from upscaler.metrics.psnr import psnr_db, psnr_y_db
from upscaler.metrics.ssim import ssim_rgb, ssim_y

__all__ = [
    "FlipReference",
    "Interval",
    "Motion",
    "bootstrap_mean",
    "flicker_levels",
    "flip_map",
    "flip_mean",
    "motion_between",
    "paired_differences",
    "psnr_db",
    "psnr_y_db",
    "signed_error",
    "ssim_rgb",
    "ssim_y",
]
