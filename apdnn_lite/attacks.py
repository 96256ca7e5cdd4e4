"""What a thief can try who has copied the network.

Each attack takes exactly what its adversary has: the network, raw images without labels, and what
the text says he knows. It returns :class:`~apdnn_lite.transforms.Candidates`, the transforms he
would put before the network. How well they do is for ``access`` to say, which has labels.

Every attack raises ValueError if the images are no tensor (N, C, H, W); a whole split is refused,
for it holds labels.

Threats: Chen and Wu (2018), direct piracy, the input-only attack and the pair attack; the
brightness shift, climbing and the thief's own choice are ours.
"""

import math

import numpy as np
import torch

from ._machine import device_of, evaluating
from .evaluate import predict
from .transforms import Candidates, Fixed, Generator, Identity, Learned, Shift


def direct(net, images):
    """Direct piracy: raw images as they are. The thief has the network and raw images (N, C, H, W)."""
    check_raw(images)
    return candidates(net, images, [Identity()])


def brightness(net, images, shifts=np.linspace(-0.2, 0.2, 17), clip=False):
    """Add one number to every pixel. The thief has the network and raw images (N, C, H, W).

    shifts: the numbers to try, in pixels of [0, 1].
    clip: whether shifted images are clipped to [0, 1].
    """
    check_raw(images)
    return candidates(net, images, [Shift(value, clip) for value in shifts])


def input_only(net, images, sigma, p, draws=100, seed=0, clip=False):
    """The input-only attack: guess keys. The thief has the network and raw images (N, C, H, W), and knows σ and p.

    Draws ``draws`` random keys as the owner of a :class:`~apdnn_lite.transforms.Fixed` transform
    does; against another transform he can try the same. His randomness is his own: equal seeds do
    not give him the owner's key.
    clip: whether he clips processed images, as the owner may.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    check_raw(images)
    shape = tuple(images.shape[1:])
    seeds = np.random.SeedSequence(seed).spawn(draws)
    return candidates(net, images, [Fixed(shape, sigma, p, seed=each, clip=clip) for each in seeds])


def matched_sigma(rms, p):
    """The σ that gives random keys the root mean square ``rms``: a pixel's mean square is 2pσ².

    For a thief who knows how strong the owner's perturbation is, in pixels of [0, 1], but not its form.
    """
    return rms / math.sqrt(2 * p)


def climb(net, images, tries=10, steps=20, lr=0.01, batch_size=200, sigma=0.03, seed=0, clip=False):
    """Climb instead of guessing. The thief has the network and raw images (N, C, H, W), and nothing of the owner's.

    Each try starts from normal noise of its own, of standard deviation ``sigma`` in pixels of [0, 1], and
    changes this one perturbation of all images so that the thief's own score rises (:func:`information`, which
    needs no label): by Adam with learning rate ``lr``, ``steps`` batches of ``batch_size`` raw images. It is the idea by
    which Liang, Hu and Feng (2020) fit a network to new images; here the network stays and the images change.

    clip: whether he clips processed images, as the owner may.
    Raises ValueError if there is nothing to try.
    """
    check_raw(images)
    check_counts(tries, steps, batch_size)
    images, shape = images.to(device_of(net)), tuple(images.shape[1:])
    thieves = []
    with evaluating(net):
        for each in np.random.SeedSequence(seed).spawn(tries):
            thief = Learned(shape, sigma, each, clip).to(images.device)
            thieves.append(raise_score(net, images, thief, steps, lr, batch_size, each))
    return candidates(net, images, thieves)


def raise_score(net, images, thief, steps, lr, batch_size, seed):
    """Change the thief's perturbation until the network's answers tell more of the images; returns it, frozen."""
    optimizer = torch.optim.Adam([thief.delta], lr, maximize=True)
    generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
    for _ in range(steps):
        index = torch.randperm(len(images), generator=generator)[:batch_size].to(images.device)
        score = information(net(thief(images[index])))
        thief.delta.grad, = torch.autograd.grad(score, [thief.delta])  # of the perturbation alone: the network stays
        optimizer.step()
    return thief.requires_grad_(False).eval()


def pair(net, images, raw, processed, width=16, activation="tanh", form="convolutional", tries=10, steps=500, lr=0.01,
         batch_size=16, seed=0, clip=False):
    """The pair attack: imitate the owner's generator from examples of what it does.

    The thief has the network, raw images (N, C, H, W) to judge his tries by, and pairs: ``raw``
    images (M, C, H, W) and the same ``processed`` by the owner. He has no label. Each try trains a
    :class:`~apdnn_lite.transforms.Generator` of his own, from first weights of its own, to turn raw
    into processed images: the mean squared difference, by Adam with a one-cycle schedule that peaks
    at ``lr``, ``steps`` batches of ``batch_size`` pairs (our choices; the source prints none).

    width, activation, form, clip: of the thief's generator, which need not be those of the owner's.
    Raises ValueError if the pairs do not match or there is nothing to try.
    """
    check_raw(images)
    check_pairs(raw, processed)
    check_counts(tries, steps, batch_size)
    side = images.shape[-1] if form == "dense" else None
    thieves = []
    for each in np.random.SeedSequence(seed).spawn(tries):
        thief = Generator(images.shape[1], width, activation, form, side, each, clip).to(raw.device)
        thieves.append(imitate(thief, raw, processed, steps, lr, batch_size, each))
    return candidates(net, images, thieves)


def pair_universal(net, images, raw, processed, clip=False):
    """The pair attack on a universal perturbation: subtract. The thief has what :func:`pair`'s has.

    Every pair shows x_p − x_r, the whole perturbation; nothing is trained. Where the owner clips, the
    difference in a pixel is the perturbation's or nearer to zero: of several pairs the farthest counts.
    clip: whether the thief clips too.
    """
    check_raw(images)
    check_pairs(raw, processed)
    difference = processed - raw
    farthest = difference.abs().argmax(dim=0, keepdim=True)
    thief = Learned(raw.shape[1:], clip=clip).to(raw.device).requires_grad_(False)
    thief.delta.copy_(difference.gather(0, farthest)[0])
    return candidates(net, images, [thief])


def imitate(thief, raw, processed, steps, lr, batch_size, seed):
    """Train the thief's transform until it turns ``raw`` into ``processed``; returns it, frozen."""
    optimizer = torch.optim.Adam(thief.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps)
    generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
    for _ in range(steps):
        index = torch.randint(len(raw), (min(batch_size, len(raw)),), generator=generator).to(raw.device)
        loss = (thief(raw[index]) - processed[index]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return thief.requires_grad_(False).eval()


def check_raw(images):
    """Raises ValueError unless ``images`` are what every thief has: a tensor (N, C, H, W), no labels."""
    if not isinstance(images, torch.Tensor) or images.dim() != 4 or len(images) < 1:
        found = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
        raise ValueError(f"an attack takes raw images, a tensor (N, C, H, W) with N ≥ 1 and no labels; got {found}")


def check_pairs(raw, processed):
    """Raises ValueError unless there is a processed image for each raw one, and at least one."""
    check_raw(raw)
    check_raw(processed)
    if raw.shape != processed.shape:
        raise ValueError("expected pairs, as many processed images as raw ones and of one shape; "
                         f"got {tuple(raw.shape)} and {tuple(processed.shape)}")


def check_counts(tries, steps, batch_size):
    """Raises ValueError unless there is something to try and something to learn from."""
    if min(tries, steps, batch_size) < 1:
        raise ValueError(f"tries, steps and batch_size must be at least 1, got {tries}, {steps} and {batch_size}")


def candidates(net, images, transforms):
    """The transforms, each with the thief's own score on his unlabelled images."""
    return Candidates(transforms, [decisiveness(predict(net, images, transform)) for transform in transforms])


def decisiveness(logits):
    """The thief's score of a candidate: :func:`information` of the answers it gets, as a number."""
    return information(logits).item()


def information(logits):
    """How much the network's answers tell of the image, in nats; needs no label.

    The mutual information of image and answer, H(mean of q) − mean of H(q), q the softmax of the
    logits (N, num_classes): high when each answer is sure and all classes occur. A network that
    does not recognise its input tends to doubt, or to give everything one answer, and scores low.
    The criterion is that of Bridle, Heading and MacKay (1991) for clustering.
    """
    log_q = logits.log_softmax(dim=1)
    log_mean = log_q.logsumexp(dim=0) - math.log(len(logits))  # by logarithms, for the gradient of 0 log 0 is none
    return entropy(log_mean) - entropy(log_q).mean()


def entropy(log_q):
    """−Σ q log q over the last dimension, of logarithms of probabilities, in nats."""
    return -(log_q.exp() * log_q).sum(dim=-1)
