"""Over-parameterised convolutions that collapse into plain ones.

In training a kernel is the sum of a plain one and the product of two matrices, a 3x3 convolution
to `width` channels and a 1x1 convolution back, with nothing between them: what SESR calls a
collapsible linear block (Bhardwaj et al., Collapsible Linear Blocks for Super-Efficient Super
Resolution, 2022, section 3; RepSR, Wang et al., 2022, trains parallel branches likewise). The sum
is formed before the convolution runs, so a step costs no more arithmetic on pixels than that of
the plain network, and only the optimiser sees another landscape.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainer.network import QuickSRNet


class Collapsible(nn.Module):
    """Adds to a kernel (out, in, k, k) the product of (out, width) and (width, in k k)."""

    def __init__(self, kernel: Tensor, width: int) -> None:
        super().__init__()
        outputs, fan_in = kernel.shape[0], kernel[0].numel()
        self.spread = nn.Parameter(torch.randn(width, fan_in) * fan_in**-0.5)
        # Zero: training starts from the same network as without.
        self.gather = nn.Parameter(torch.zeros(outputs, width))

    def forward(self, kernel: Tensor) -> Tensor:
        """Return the kernel of the collapsed convolution."""
        return kernel + (self.gather @ self.spread).view(kernel.shape)


def expand(network: QuickSRNet, width: int) -> None:
    """Give every convolution of `network` a collapsible block of `width` channels, in place."""
    for conv in network.convolutions:
        parametrize.register_parametrization(conv, "weight", Collapsible(conv.weight, width))


@torch.no_grad()
def plain_weights(network: QuickSRNet) -> list[Tensor]:
    """Weight and bias of every convolution as they are run, in the order of execution.

    Tensors of a plain network are its parameters; those of an expanded one are computed here.
    """
    return [
        cast("Tensor", each) for conv in network.convolutions for each in (conv.weight, conv.bias)
    ]
