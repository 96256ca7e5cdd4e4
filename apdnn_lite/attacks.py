"""What a thief can try who has copied the network.

Each attack takes exactly what its adversary has: the network, raw images without labels, and what
the text says he knows. It returns :class:`~apdnn_lite.transforms.Candidates`, the transforms he
would put before the network. How well they do is for ``access`` to say, which has labels.

Threats: Chen and Wu (2018), direct piracy, the input-only attack and the pair attack; the brightness shift and the
thief's own choice are ours.
"""

import numpy as np
import torch

from .evaluate import predict
from .transforms import Candidates, Fixed, Generator, Identity, Learned, Shift


def direct(net, images):
    """Direct piracy: raw images as they are. The thief has the network and raw images (N, C, H, W)."""
    return candidates(net, images, [Identity()])


def brightness(net, images, shifts=np.linspace(-0.2, 0.2, 17), clip=False):
    """Add one number to every pixel. The thief has the network and raw images (N, C, H, W).

    shifts: the numbers to try, in pixels of [0, 1].
    clip: whether shifted images are clipped to [0, 1].
    """
    return candidates(net, images, [Shift(value, clip) for value in shifts])


def input_only(net, images, sigma, p, draws=100, seed=0, clip=False):
    """The input-only attack: guess keys. The thief has the network and raw images (N, C, H, W), and knows σ and p.

    Draws ``draws`` random keys as the owner of a :class:`~apdnn_lite.transforms.Fixed` transform
    does. The thief's randomness is his own: equal seeds do not give him the owner's key.
    clip: whether he clips processed images, as the owner may.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    shape = tuple(images.shape[1:])
    seeds = np.random.SeedSequence(seed).spawn(draws)
    return candidates(net, images, [Fixed(shape, sigma, p, seed=each, clip=clip) for each in seeds])


def pair(net, images, raw, processed, width=16, activation="tanh", form="convolutional", tries=10, steps=500, lr=0.01,
         batch_size=64, seed=0, clip=False):
    """The pair attack: imitate the owner's generator. The thief has the network, raw images (N, C, H, W) to judge his
    tries by, and pairs: ``raw`` images (M, C, H, W) and the same ``processed`` by the owner. He has no label.

    Each try trains a :class:`~apdnn_lite.transforms.Generator` of his own, from first weights of its
    own, to turn ``raw`` into ``processed``: the mean squared difference, by Adam with a one-cycle
    schedule that peaks at ``lr``, ``steps`` batches of ``batch_size`` pairs (our choices).
    width, activation, form, clip: of the thief's generator, which need not be those of the owner's.
    Raises ValueError if the pairs do not match or there is no try.
    """
    check_pairs(raw, processed)
    if tries < 1 or steps < 1:
        raise ValueError(f"tries and steps must be at least 1, got {tries} and {steps}")
    thieves = []
    for each in np.random.SeedSequence(seed).spawn(tries):
        side = images.shape[-1] if form == "dense" else None
        thief = Generator(images.shape[1], width, activation, form, side, each, clip).to(raw.device)
        thieves.append(imitate(thief, raw, processed, steps, lr, batch_size, each))
    return candidates(net, images, thieves)


def pair_universal(net, images, raw, processed, clip=False):
    """The pair attack on a universal key: subtract. The thief has what :func:`pair`'s has.

    Every pair shows x_p − x_r, the whole key; nothing is trained. Where the owner clips, a pixel's
    difference is at most the key's and of its sign: over several pairs the largest one is taken.
    """
    check_pairs(raw, processed)
    difference = processed - raw
    farthest = difference.abs().argmax(dim=0, keepdim=True)
    thief = Learned(raw.shape[1:], clip=clip).requires_grad_(False).to(raw.device)
    thief.delta.copy_(difference.gather(0, farthest)[0])
    return candidates(net, images, [thief])


def check_pairs(raw, processed):
    if raw.shape != processed.shape or len(raw) < 1:
        raise ValueError("expected pairs: as many processed images as raw ones, of one shape (M, C, H, W) with M ≥ 1; "
                         f"got {tuple(raw.shape)} and {tuple(processed.shape)}")


def imitate(thief, raw, processed, steps, lr, batch_size, seed):
    """Train the thief's transform until it turns ``raw`` into ``processed``; returns it in evaluation mode."""
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


def candidates(net, images, transforms):
    """The transforms, each with the thief's own score on his unlabelled images."""
    return Candidates(transforms, [decisiveness(predict(net, images, transform)) for transform in transforms])


def decisiveness(logits):
    """How much the network's answers tell of the image, in nats; needs no label.

    The mutual information of image and answer, H(mean of q) − mean of H(q), q the softmax of the
    logits (N, num_classes): high when each answer is sure and all classes occur. A network that
    does not recognise its input tends to doubt, or to give everything one answer, and scores low.
    The criterion is that of Bridle, Heading and MacKay (1991) for clustering.
    """
    q = logits.softmax(dim=1)
    return (entropy(q.mean(dim=0)) - entropy(q).mean()).item()


def entropy(q):
    """−Σ q log q over the last dimension, with 0 log 0 = 0."""
    return torch.special.entr(q).sum(dim=-1)
