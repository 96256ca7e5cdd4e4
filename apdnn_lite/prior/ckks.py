"""Inference on encrypted images, with the weights in the clear or encrypted, too.

The scheme is CKKS (Cheon et al., 2017), as TenSEAL has it (Benaissa et al., 2021); the
squares instead of ReLUs are those of CryptoNets (Gilad-Bachrach et al., 2016). Keys and
noise come from the operating system, not from a seed. Messages are bytes.
"""

import torch
from torch import nn

from .._checks import check_images, check_input, describe, whole_number
from .locks import INSTALL

# Albrecht et al. (2018), HomomorphicEncryption.org: the most bits of a coefficient
# modulus with 128 bits of security, by the degree N of the ring; ternary secrets.
SECURE_BITS = {4096: 109, 8192: 218, 16384: 438, 32768: 881}
KERNEL, STRIDE, WINDOWS = 7, 3, 64  # of the convolution: 8×8 windows of 28×28 pixels


class SquareCNN(nn.Module):
    """Convolution, squares, linear layer: sums and products, and nothing else.

    Input (N, 1, 28, 28) in pixels of [0, 1]; output logits (N, 10).
    """

    def __init__(self, channels=4):
        super().__init__()
        channels = whole_number("channels", channels)
        self.conv = nn.Conv2d(1, channels, KERNEL, stride=STRIDE)
        self.fc = nn.Linear(WINDOWS * channels, 10)

    def forward(self, x):
        check_input(x, (1, 28, 28), "network")
        return self.fc(self.conv(x).square().flatten(1))


def library():
    """TenSEAL; raises ImportError that says how to install it."""
    try:
        import tenseal
    except ImportError as error:
        raise ImportError(INSTALL.format("tenseal")) from error
    return tenseal


def make_keys(degree=8192, bits=(49, 40, 40, 40, 49), scale=40):
    """New CKKS keys: a TenSEAL context that holds the secret key, too.

    degree: N; a ciphertext holds N/2 numbers. bits: sizes of the primes whose product
    is the coefficient modulus. Each between the first and the last allows one more
    product in a row. scale: numbers are rounded to multiples of about 2^−scale.
    Raises ValueError if these settings have less than 128 bits of security.
    """
    allowed, degrees = SECURE_BITS.get(degree, 0), ", ".join(map(str, SECURE_BITS))
    if sum(bits) > allowed:
        raise ValueError(f"128 bits of security allow {allowed} bits at degree {degree}"
                         f", got {sum(bits)}: take less, or a degree of {degrees}")
    scheme = library().SCHEME_TYPE.CKKS
    keys = library().context(scheme, degree, -1, list(bits), n_threads=1)
    keys.global_scale = 2.0**scale
    keys.generate_galois_keys()  # they move numbers inside a ciphertext, for its sum
    return keys


def public_part(keys):
    """A copy without the secret key, for whoever computes."""
    public = keys.copy()
    public.make_context_public()
    return public


def encrypt_image(keys, image):
    """One image (1, 28, 28) in [0, 1] as an encrypted message, for :func:`answer`."""
    check_images(image[None], "image")
    check_input(image[None], (1, 28, 28), "network")
    pixels, _ = library().im2col_encoding(
        keys, image[0].tolist(), KERNEL, KERNEL, STRIDE)  # the windows, side by side
    return pixels.serialize()


def answer(net, keys, message):
    """The encrypted logits of an encrypted image: ten messages.

    net: a :class:`SquareCNN`, in the clear; another one is a ValueError, and so are
    keys that do not allow three products in a row. Their public part is enough.
    """
    if not isinstance(net, SquareCNN):
        raise ValueError("only sums and products work on ciphertexts, no ReLU and no "
                         f"maximum: expected a SquareCNN, got {describe(net)}")
    pixels, logits = receive(keys, message), []
    try:
        kernels, biases = net.conv.weight[:, 0].tolist(), net.conv.bias.tolist()
        channels = [(pixels.conv2d_im2col(kernel, WINDOWS) + bias).square()
                    for kernel, bias in zip(kernels, biases, strict=True)]
        rows = net.fc.weight.view(10, len(channels), WINDOWS).tolist()
        for row, bias in zip(rows, net.fc.bias.tolist(), strict=True):
            products = [x * w for x, w in zip(channels, row, strict=True)]
            logits.append(sum(products[1:], start=products[0]).sum() + bias)
    except ValueError as error:
        raise ValueError(f"{error}: three products in a row need keys with three primes"
                         " between the first and the last") from None
    return [logit.serialize() for logit in logits]


def decrypt(keys, messages):
    """The first number of each message, (len(messages),). Needs the secret key."""
    if not keys.is_private():
        raise ValueError("these keys are the public part: only the secret key decrypts")
    return torch.tensor([receive(keys, each).decrypt()[0] for each in messages])


def receive(keys, message):
    """A message as a ciphertext; raises ValueError if it is none for these keys."""
    try:
        vector = library().ckks_vector_from(keys, message)
        if len(vector.ciphertext()) == 1:
            return vector
        reason = f"expected 1 ciphertext, it holds {len(vector.ciphertext())}"
    except (TypeError, ValueError, RuntimeError) as error:
        reason = error
    raise ValueError(f"this message does not fit these keys: {reason}")


def encrypt_rows(keys, rows):
    """Each row of a tensor (M, D) as a message: an image, or a layer's weights.

    Zeros fill it up to a power of two, so that a sum takes the fewest steps.
    """
    return [library().ckks_vector(keys, row).serialize() for row in padded(rows)]


def padded(rows):
    """The rows of a tensor (M, D) as lists, zeros up to the next power of two."""
    more = 2 ** (rows.shape[1] - 1).bit_length() - rows.shape[1]
    return nn.functional.pad(rows.detach(), (0, more)).tolist()


def dense(keys, message, rows):
    """A linear layer without bias on an encrypted vector: one message for each output.

    rows: the weights (M, D) in the clear, or encrypted as :func:`encrypt_rows` does.
    """
    vector = receive(keys, message)
    clear = isinstance(rows, torch.Tensor)
    rows = padded(rows) if clear else [receive(keys, row) for row in rows]
    sizes = {len(row) if clear else row.size() for row in rows}
    if sizes != {vector.size()}:
        raise ValueError(f"expected rows as long as the vector, {vector.size()} numbers"
                         f" with the zeros after them, got {sorted(sizes)}")
    return [vector.dot(row).serialize() for row in rows]
