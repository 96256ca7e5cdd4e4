"""What a thief can do without a single label, and with more patience than the owner.

The strong climb is the attack of :func:`apdnn_lite.attacks.climb`, made adaptive: a
lock whose network is sure of its wrong answers has gradients next to zero, and looks
safe until logits are divided by a temperature. Athalye, Carlini and Wagner (2018)
showed how often a defense is only that, and Tramèr et al. (2020) how to look for it.
"""

import copy

import torch
from torch import nn

from .._checks import check_images, real_number, whole_number
from .._machine import device_of, evaluating
from .._network import ask, asking, check_effort, independent_seeds, recording, suited
from ..attacks import candidates, raise_score
from ..data import Split
from ..training import fit
from ..transforms import Learned

TEMPERATURES = (1, 4, 10, 30)


@torch.no_grad()
def renormalize(net, images, batch_size=500):
    """A copy of the network whose batch normalization has seen these images instead.

    Its means and variances are estimated anew on ``images`` (N, C, H, W), which are raw
    for a thief and may be processed for an owner; no weight changes.
    Raises ValueError if the network has no batch normalization.
    """
    check_images(images, raw=False)
    net = copy.deepcopy(net).eval()
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    if not norms:
        raise ValueError("this network has no batch normalization to estimate anew")
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the plain mean over all batches
        part.train()
    for some in suited(images, net).split(whole_number("batch_size", batch_size)):
        net(some.to(device_of(net), copy=True))
    return net.eval()


@recording()
def strong_climb(net, images, temperatures=TEMPERATURES, tries=3, steps=120, lr=0.03,
                 batch_size=100, sigma=0.1, seed=0, clip=False):
    """Climb the thief's score on logits divided by each temperature in turn.

    The thief has the network and raw images, no label. For each temperature and try,
    one perturbation starts as normal noise of standard deviation ``sigma``, in pixels
    of [0, 1], and climbs for ``steps`` steps. What they pick among all of them they
    pick by the ordinary score, at temperature 1. Returns ``Candidates``, the tries of
    the first temperature first.
    """
    check_images(images)
    steps, batch_size = check_effort(steps, lr, batch_size)
    heats = [real_number("temperature", heat, above=True) for heat in temperatures]
    images, shape, found = images.to(device_of(net)), tuple(images.shape[1:]), []
    with evaluating(net), asking(net) as answer:
        for heat in heats:
            for each in independent_seeds(seed, "tries", tries):
                thief = Learned(shape, sigma, each, clip).to(images.device)
                found.append(raise_score(lambda x, heat=heat: answer(x) / heat, images,
                                         thief, steps, lr, batch_size, each))
    return candidates(net, images, found)


class Level(nn.Module):
    """A network whose logits are brought to one spread, for :func:`.attacks.climb`.

    Then no answer is too sure to be climbed, whatever its temperature would have been.
    spread: the mean standard deviation that the logits of an image shall have.
    """

    def __init__(self, net, spread=2.0):
        super().__init__()
        self.net, self.spread = net, real_number("spread", spread, above=True)

    def forward(self, images):
        logits = self.net(images)
        return logits * (self.spread / logits.std(dim=1).mean())


def whole_theft(net, images, student, opened=None, **settings):
    """Steal without label and key: climb, label, and train a clean network.

    The thief opens the stolen network by :func:`strong_climb`, lets it label ``images``
    and trains ``student``, an untrained network, on raw images with these labels. In
    the end they hold a network that needs no key.

    opened: their transform, if they have climbed already. settings: those of ``fit``.
    Returns the labels that the opened network gave, (N,), and the student, trained.
    """
    check_images(images)
    if opened is None:
        found = strong_climb(net, images)
        opened = found.transforms[found.picked]
    labels = ask(net, images, opened).argmax(dim=1).to(images.device)
    loot = Split(images, labels, torch.arange(len(images)))
    part = max(1, len(loot) // 10)  # the thief's own validation, by stolen labels
    fit(student, loot[part:], loot[:part], **settings)
    return labels, student
