"""A password check and encrypted weights: locks that a stolen network walks around.

The weights are encrypted in their file by AES-256-GCM (NIST SP 800-38D), with a key
that scrypt (RFC 7914) makes of a password. Chen and Wu (2018) name both ways to protect
a network, and reject them; for inference on encrypted images see ``ckks``. Nothing here
follows a seed: salts and nonces come from the operating system, because AES-GCM is
broken as soon as a nonce comes back.
"""

import gc
import hashlib
import hmac
import os

from safetensors.torch import load, save
from torch import nn

from .._checks import describe, whole_number

MAGIC, SALT, NONCE = b"locked1", 16, 12  # how a file starts; lengths in bytes
HEADER = len(MAGIC) + 1 + SALT + NONCE
INSTALL = 'this needs the library {}: pip install "apdnn_lite[crypto]"'


def aes_gcm():
    """The cipher and its error; raises ImportError that says how to install them."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ImportError(INSTALL.format("cryptography")) from error
    return AESGCM, InvalidTag


def stretch(password, salt, n=2**17):
    """A key of 32 bytes from a password, slow on purpose: scrypt with r = 8, p = 1.

    n: the cost, a power of two from 2¹⁰ to 2²⁰; it takes 1024·n bytes of memory.
    """
    if not isinstance(password, str) or not password:
        raise ValueError("password must be a text, not empty; got "
                         f"{describe(password)}")
    if whole_number("n", n) not in [2**power for power in range(10, 21)]:
        raise ValueError(f"n must be a power of two from 2**10 to 2**20, got {n}")
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=8, p=1, dklen=32,
                          maxmem=2048 * n)


class PasswordCheck(nn.Module):
    """A network that asks first: ``lock(images, password)``. It keeps a salted hash.

    Raises ValueError for a wrong password.
    """

    def __init__(self, net, password, n=2**14):
        super().__init__()
        self.net, self.n, self.salt = net, n, os.urandom(SALT)
        self.hash = stretch(password, self.salt, n)

    def forward(self, images, password):
        if not hmac.compare_digest(stretch(password, self.salt, self.n), self.hash):
            raise ValueError("wrong password: the network answers to the right one")
        return self.net(images)


def encrypt_weights(net, password, n=2**17):
    """A network's state as encrypted bytes; ``net`` stays as it is. n: of scrypt."""
    state = {name: tensor.detach().cpu().clone().contiguous()
             for name, tensor in net.state_dict().items()}
    salt, nonce = os.urandom(SALT), os.urandom(NONCE)
    key, header = stretch(password, salt, n), MAGIC + bytes([n.bit_length() - 1])
    header += salt + nonce  # in the clear, but the tag covers it, too
    cipher, _ = aes_gcm()
    return header + cipher(key).encrypt(nonce, save(state), header)


def decrypt_weights(sealed, password):
    """The state that :func:`encrypt_weights` sealed, a dict of tensors in the clear.

    Raises ValueError, and gives nothing, if the password or one bit of the file is
    wrong: the two cannot be told apart.
    """
    header, rest = sealed[:HEADER], sealed[HEADER:]
    if not (header.startswith(MAGIC) and rest and 10 <= header[len(MAGIC)] <= 20):
        raise ValueError("these bytes are no whole file of encrypt_weights: more than "
                         f"{HEADER} were expected, from {MAGIC!r}, got {len(sealed)}")
    key = stretch(password, header[-NONCE - SALT:-NONCE], 2 ** header[len(MAGIC)])
    cipher, invalid_tag = aes_gcm()
    try:
        content = cipher(key).decrypt(header[-NONCE:], rest, header)
    except invalid_tag:
        raise ValueError("the tag does not fit: the password is wrong, or the file was "
                         "changed. Ask the owner for the right one.") from None
    return load(content)


def networks_in_memory():
    """The networks of this process, as Python's garbage collector lists its objects.

    Modules with parameters that are no part of another. It needs no password.
    """
    found = [each for each in gc.get_objects() if issubclass(type(each), nn.Module)]
    parts = {id(child) for each in found for child in each.children()}
    return [net for net in found if id(net) not in parts and list(net.parameters())]
