"""The anti-piracy loss, E = α·E_p + β·E_r + γ·‖x_p − x_r‖₂² (Chen and Wu, 2018)."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import check_floats, check_labels, real_number


class LossTerms(NamedTuple):
    """The loss and its three parts, before weighting; each a scalar tensor."""

    total: torch.Tensor
    processed: torch.Tensor
    raw: torch.Tensor
    size: torch.Tensor


class AntiPiracyLoss(nn.Module):
    """Be right on processed images, wrong on raw ones, and keep the perturbation small.

    alpha weighs E_p, the cross-entropy of the processed images with the true labels;
    beta weighs E_r, the softmax probability (no logarithm) that raw images give their
    true class; gamma weighs ‖x_p − x_r‖₂², the squared norm of the perturbation, summed
    over C×H×W. Each term is the mean over the batch: no weight depends on its size.

    The weights are our choice: the source does not print them.
    Raises ValueError for a negative weight, and for tensors that do not go together.
    """

    def __init__(self, alpha=1.0, beta=1.0, gamma=0.01):
        super().__init__()
        self.alpha = real_number("alpha", alpha)
        self.beta = real_number("beta", beta)
        self.gamma = real_number("gamma", gamma)

    def forward(self, logits_processed, logits_raw, labels, perturbation):
        """The four numbers of :class:`LossTerms`.

        logits_processed, logits_raw: (N, num_classes), before any softmax.
        labels: (N,) int64.
        perturbation: (N, C, H, W), x_p − x_r, not detached, or γ does nothing.
        """
        check_floats("logits_processed", logits_processed, ("N", "num_classes"))
        check_floats("logits_raw", logits_raw, logits_processed.shape)
        check_floats("perturbation", perturbation, (len(logits_raw), "C", "H", "W"))
        check_labels(labels, len(logits_raw), num_classes=logits_raw.shape[1])

        processed = F.cross_entropy(logits_processed, labels)
        raw = logits_raw.softmax(dim=1).gather(1, labels[:, None]).mean()
        size = perturbation.square().sum(dim=(1, 2, 3)).mean()
        total = self.alpha * processed + self.beta * raw + self.gamma * size
        return LossTerms(total, processed, raw, size)

    def extra_repr(self):
        return f"alpha={self.alpha:g}, beta={self.beta:g}, gamma={self.gamma:g}"
