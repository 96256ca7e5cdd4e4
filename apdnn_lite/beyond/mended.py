"""Locks that were mended: what counts as wrong, and for whom, as pieces to combine.

A lock is trained to be right on processed images and wrong on others. The source
(Chen and Wu, 2018) takes the true class's probability for "wrong", and raw images for
"others". Both can be exchanged here: a *target* says how a network should answer the
others, a *negative* makes such images of a batch. All pixels are in [0, 1], all
negatives are of the shape of the batch.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .._checks import check_floats, check_labels, one_of, real_number, whole_number
from .._graph import attach_graph
from .._machine import at_work, pick_device
from .._settings import made_of
from .._task import check_task
from ..attacks import information
from ..losses import LossTerms
from ..training import Run, Settings

# ---- targets: each the mean over a batch of logits (N, K), given labels (N,)

def probability(logits, labels):
    """The source's E_r: q, the probability of the true class. It fades as q nears 1."""
    return logits.softmax(dim=1).gather(1, labels[:, None]).mean()


def unlikelihood(logits, labels):
    """−log(1 − q) (Welleck et al., 2020): its gradient stays where the network is sure.

    1 − q is the sum over the other classes, so that no digit is lost where q is near 1.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (logits.logsumexp(dim=1) - others.logsumexp(dim=1)).mean()


def uniform(logits, labels):
    """The cross-entropy with the uniform answer: the network should not know."""
    return -logits.log_softmax(dim=1).mean()


def permuted(logits, labels):
    """The cross-entropy with the next class: the network should be sure, and wrong."""
    return F.cross_entropy(logits, (labels + 1) % logits.shape[1])


TARGETS = {"probability": probability, "unlikelihood": unlikelihood, "uniform": uniform,
           "permuted": permuted}


class MendedLoss(nn.Module):
    """α·E_p + β·ΣE_n + γ·‖x_p − x_r‖₂²: AntiPiracyLoss with a target for each negative.

    target: a name in :data:`TARGETS`. The sum is over the kinds of negatives.
    """

    def __init__(self, target="unlikelihood", alpha=1.0, beta=1.0, gamma=0.01):
        super().__init__()
        self.target = one_of("target", target, TARGETS)
        self.alpha, self.beta = real_number("alpha", alpha), real_number("beta", beta)
        self.gamma = real_number("gamma", gamma)

    def forward(self, logits_processed, logits_wrong, labels, perturbation):
        """The four numbers of ``LossTerms``.

        logits_processed: (N, num_classes). logits_wrong: (k·N, num_classes), those of k
        negatives, one after the other. perturbation: (N, C, H, W), x_p − x_r.
        """
        check_floats("logits_processed", logits_processed, ("N", "num_classes"))
        check_labels(labels, len(logits_processed))
        kinds = logits_wrong.split(len(labels))
        wrong = sum(TARGETS[self.target](logits, labels) for logits in kinds)
        processed = F.cross_entropy(logits_processed, labels)
        size = perturbation.square().sum(dim=(1, 2, 3)).mean()
        total = self.alpha * processed + self.beta * wrong + self.gamma * size
        return LossTerms(total, processed, wrong, size)


# ---- negatives: functions of raw images, processed images and the training run

def raw(images, processed, run):
    """The images as they are."""
    return images


def wrong_keys(images, processed, run):
    """Random keys, a fresh one for each image, up to three times as strong."""
    strength = (processed - images).detach().square().mean().sqrt()
    p = getattr(run.transform, "p", 0.2)
    u = torch.rand_like(images)
    signs = (u >= 1 - p).to(images) - (u < p).to(images)
    factor = 3 * torch.rand_like(images[:, :1, :1, :1]) / (2 * p) ** 0.5
    return images + factor * strength * signs


def shifts(images, processed, run):
    """Brightness shifts of up to 0.2 either way."""
    return images + 0.4 * torch.rand_like(images[:, :1, :1, :1]) - 0.2


def parts(images, processed, run):
    """Half of the owner's own perturbation: each pixel of it with probability 1/2."""
    return images + (processed - images).detach() * (torch.rand_like(images) < 0.5)


def mirrored(images, processed, run):
    """The owner's own perturbation, upside down."""
    return images + (processed - images).detach().flip(2)


class Climbing:
    """A thief who climbs while the owner trains: one step for each batch.

    They start anew every ``patience`` batches, with the next temperature.
    """

    def __init__(self, temperatures=(1, 4, 10, 30), patience=40, lr=0.03, sigma=0.1):
        self.temperatures = [real_number("temperature", heat, above=True)
                             for heat in temperatures]
        whole_number("the number of temperatures", len(self.temperatures))
        self.patience = whole_number("patience", patience)
        self.lr = real_number("lr", lr, above=True)
        self.sigma, self.step = real_number("sigma", sigma, above=True), 0

    def __call__(self, images, processed, run):
        if self.step % self.patience == 0:
            start = self.sigma * torch.randn_like(images[:1])
            self.delta = start.requires_grad_(True)
            self.optimizer = torch.optim.Adam([self.delta], self.lr, maximize=True)
        heat = self.temperatures[self.step // self.patience % len(self.temperatures)]
        score = information(run.logits(images + self.delta) / heat)
        self.delta.grad, = torch.autograd.grad(score, [self.delta])
        self.optimizer.step()
        self.step += 1
        return images + self.delta.detach()


NEGATIVES = {"raw": raw, "wrong keys": wrong_keys, "shifts": shifts, "parts": parts,
             "mirrored": mirrored, "climbing": Climbing}


class MendedRun(Run):
    """The training run of ``fit``, with other negatives beside the processed images."""

    def gradients(self, images, labels):
        """One forward and backward pass; returns the loss's four terms."""
        self.optimizer.zero_grad()
        processed = self.transform(images)
        wrong = [negative(images, processed, self) for negative in self.negatives]
        logits = self.logits(torch.cat([processed, *wrong]))
        terms = self.loss(logits[:len(labels)], logits[len(labels):], labels,
                          processed - images)
        self.scaler.scale(terms[0]).backward()
        return terms


def fit_mended(net, train, validation, transform, loss=None,
               negatives=("raw", "wrong keys"), device="auto", progress=True,
               **settings):
    """Train a mended lock in place; returns the ``History``. As ``fit``, but for:

    loss: a :class:`MendedLoss`. negatives: names in :data:`NEGATIVES`, or functions of
    raw images (N, C, H, W), processed ones and the run. There is no checkpoint.
    """
    settings, device = made_of(Settings, settings), pick_device(device)
    known = [NEGATIVES[one_of("negative", each, NEGATIVES)] if isinstance(each, str)
             else each for each in negatives]
    if not known:
        raise ValueError("expected at least one negative, such as 'raw', got none")
    with at_work(net, transform, device=device):
        layout = check_task(net, train, validation, transform)
        loss = MendedLoss() if loss is None else loss
        run = MendedRun(net, train, transform, loss, settings, device, layout)
        run.negatives = [each() if isinstance(each, type) else each for each in known]
        if settings.cuda_graph and device.type == "cuda" and Climbing not in known:
            attach_graph(run)
        torch.manual_seed(settings.seed)
        return run.train(validation.to(device), None, progress)
