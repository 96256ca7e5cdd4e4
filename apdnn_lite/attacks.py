"""What a thief can try who has copied the network.

Each attack takes exactly what its adversary has: the network, raw images (N, C, H, W)
in [0, 1] without labels, and what the text says they know. It returns
:class:`~apdnn_lite.transforms.Candidates`, the transforms they would put before the
network. How well these do is for ``access`` to say, which has labels. Wrong arguments
raise ValueError, and so does a whole split, because it holds labels. Direct piracy, the
input-only attack and the pair attack are those of Chen and Wu (2018); the brightness
shift, climbing and the thief's own choice are ours.
"""

import math

import numpy as np
import torch

from ._checks import check_images, real_number
from ._machine import device_of, evaluating
from ._network import (
    asking,
    check_effort,
    checked_pairs,
    independent_seeds,
    random_numbers,
    recording,
    suited,
)
from ._scoring import scores_of
from .transforms import Candidates, Fixed, Generator, Identity, Learned, Shift

SHIFTS = np.linspace(-0.2, 0.2, 17)


def direct(net, images):
    """Direct piracy: raw images as they are. The thief has the network and images."""
    return candidates(net, images, [Identity()])


def brightness(net, images, shifts=SHIFTS, clip=False):
    """Add one number to every pixel. The thief has the network and raw images.

    shifts: the numbers to try, in pixels of [0, 1].
    clip: whether shifted images are clipped to [0, 1].
    """
    return candidates(net, images, [Shift(value, clip) for value in shifts])


@recording()
def input_only(net, images, sigma, p, draws=100, seed=0, clip=False):
    """The input-only attack: guess keys. The thief has the network, images, σ and p.

    Draws ``draws`` random keys as the owner of a :class:`~apdnn_lite.transforms.Fixed`
    transform does; against another transform they can try the same. Their randomness is
    their own: equal seeds do not give them the owner's key.
    clip: whether they clip processed images, as the owner may.
    """
    check_images(images)
    shape, seeds = tuple(images.shape[1:]), independent_seeds(seed, "draws", draws)
    keys = [Fixed(shape, sigma, p, each, clip).to(device_of(net)) for each in seeds]
    return candidates(net, images, keys)


def matched_sigma(rms, p):
    """The σ of random keys with root mean square ``rms``: their mean square is 2pσ².

    For a thief who knows how strong the owner's perturbation is, but not its form.
    """
    p = real_number("p", p, 0, 0.5, above=True)
    return real_number("rms", rms, above=True) / math.sqrt(2 * p)


@recording()
def climb(net, images, tries=10, steps=20, lr=0.01, batch_size=200, sigma=0.03, seed=0,
          clip=False):
    """Climb instead of guessing. The thief has the network and raw images, no more.

    Each try starts from normal noise of its own, of standard deviation ``sigma`` in
    pixels of [0, 1], and changes this one perturbation of all images so that the
    thief's own score rises (:func:`information`, which needs no label): by Adam with
    learning rate ``lr``, in ``steps`` batches of ``batch_size`` raw images. It is the
    idea by which Liang, Hu and Feng (2020) fit a network to new images; here the
    network stays and the images change.

    clip: whether they clip processed images, as the owner may.
    """
    check_images(images)
    steps, batch_size = check_effort(steps, lr, batch_size)
    images, shape, thieves = images.to(device_of(net)), tuple(images.shape[1:]), []
    with evaluating(net), asking(net) as ask:
        for each in independent_seeds(seed, "tries", tries):
            thief = Learned(shape, sigma, each, clip).to(images.device)
            thieves.append(raise_score(ask, images, thief, steps, lr, batch_size, each))
    return candidates(net, images, thieves)


def raise_score(ask, images, thief, steps, lr, batch_size, seed):
    """Change the thief's perturbation until answers tell more; returns it, frozen."""
    optimizer = torch.optim.Adam([thief.delta], lr, maximize=True)
    generator = random_numbers(seed.generate_state(1)[0])
    for _ in range(steps):
        order = torch.randperm(len(images), generator=generator, device="cpu")
        processed = thief(images[order[:batch_size].to(images.device)])
        score = information(ask(processed))
        # The perturbation's gradient alone: the network's stay as they are.
        thief.delta.grad, = torch.autograd.grad(score, [thief.delta])
        optimizer.step()
    return thief.requires_grad_(False).eval()


@recording()
def pair(net, images, raw, processed, width=16, activation="tanh", form="convolutional",
         tries=10, steps=500, lr=0.01, batch_size=16, seed=0, clip=False):
    """The pair attack: imitate the owner's generator from examples of what it does.

    The thief has the network, raw images to judge their tries by, and pairs: ``raw``
    images (M, C, H, W) and the same ``processed`` by the owner. They have no label.
    Each try trains a :class:`~apdnn_lite.transforms.Generator` of their own, from new
    first weights, to turn raw into processed images: the mean squared difference, by
    Adam with a one-cycle schedule that peaks at ``lr``, in ``steps`` batches of
    ``batch_size`` pairs (our choices; the source prints none).

    width, activation, form, clip: of the thief's generator, not of the owner's.
    """
    check_images(images)
    raw, processed = checked_pairs(net, raw, processed)
    steps, batch_size = check_effort(steps, lr, batch_size)
    channels, side, thieves = images.shape[1], images.shape[-1], []
    side = side if form == "dense" else None
    for each in independent_seeds(seed, "tries", tries):
        thief = Generator(channels, width, activation, form, side, each, clip)
        thief = thief.to(raw.device)
        thieves.append(imitate(thief, raw, processed, steps, lr, batch_size, each))
    return candidates(net, images, thieves)


@recording()
def pair_universal(net, images, raw, processed, clip=False):
    """The pair attack on a universal perturbation: subtract. The thief has the same.

    Every pair shows x_p − x_r, the whole perturbation; nothing is trained. Where the
    owner clips, the difference in a pixel is the perturbation's or nearer to zero: of
    several pairs the farthest counts. clip: whether the thief clips, too.
    """
    raw, processed = checked_pairs(net, raw, processed)
    difference = processed - raw
    farthest = difference.abs().argmax(dim=0, keepdim=True)
    thief = Learned(tuple(raw.shape[1:]), clip=clip).to(raw.device)
    thief.requires_grad_(False).delta.copy_(difference.gather(0, farthest)[0])
    return candidates(net, images, [thief])


def imitate(thief, raw, processed, steps, lr, batch_size, seed):
    """Train a transform to turn ``raw`` into ``processed``; returns it, frozen."""
    raw, processed = suited(raw, thief), suited(processed, thief)
    optimizer = torch.optim.Adam(thief.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps)
    generator = random_numbers(seed.generate_state(1)[0])
    batch = (min(batch_size, len(raw)),)
    for _ in range(steps):
        index = torch.randint(len(raw), batch, generator=generator, device="cpu")
        index = index.to(raw.device)
        loss = (thief(raw[index]) - processed[index]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return thief.requires_grad_(False).eval()


def candidates(net, images, transforms, precision="float32"):
    """The transforms, each with the thief's own score on their unlabeled images.

    precision: "auto" starts in bfloat16 where training gains by it, for the same pick.
    """
    check_images(images)
    scores = scores_of(decisiveness, net, images, transforms, precision)
    return Candidates(transforms, scores)


def decisiveness(logits):
    """The thief's score of a candidate: the :func:`information` of its answers.

    It is −∞ if the network answers NaN, so that no such candidate is chosen.
    """
    score = information(logits).item()
    return -math.inf if math.isnan(score) else score


def information(logits):
    """How much the network's answers tell of the image, in nats; needs no label.

    The mutual information of image and answer, H(mean of q) − mean of H(q), q the
    softmax of the logits (N, num_classes): high when each answer is sure and all
    classes occur. A network that does not recognize its input tends to doubt, or to
    give everything one answer, and scores low. The criterion is that of Bridle, Heading
    and MacKay (1991) for clustering.
    """
    least = torch.finfo(logits.dtype).min  # and not −∞, so that 0 log 0 is 0
    log_q = logits.log_softmax(dim=1).clamp_min(least)
    log_mean = log_q.logsumexp(dim=0) - math.log(len(logits))  # log 0 has no gradient
    return entropy(log_mean) - entropy(log_q).mean()


def entropy(log_q):
    """−Σ q log q over the last dimension, of the logarithms of q, in nats."""
    return -(log_q.exp() * log_q).sum(dim=-1)
