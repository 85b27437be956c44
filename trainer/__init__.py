"""Train QuickSRNet on rendered game frames, quantise it to W8A8 and export it.

Needs the `train` extra (torch, aimet-torch). Importing this package is cheap: torch loads with
the module that first uses it.
"""
