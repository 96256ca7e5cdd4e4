"""What a thief can try who has copied the network.

Each attack takes exactly what its adversary has: the network, raw images without labels, and what
the text says he knows. It returns :class:`~apdnn_lite.transforms.Candidates`, the transforms he
would put before the network. How well they do is for ``access`` to say, which has labels.

Threats: Chen and Wu (2018), direct piracy and the input-only attack; the brightness shift and the
thief's own choice are ours.
"""

import numpy as np
import torch

from .evaluate import predict
from .transforms import Candidates, Fixed, Identity, Shift


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
