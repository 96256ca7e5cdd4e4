"""The recorded runs of the chapter "Passwords and encryption".

Times are seconds of one processor core (``time.process_time``), so that what else a machine does
counts little; they are those of the processor that the record names.
"""

import math
import statistics
import time

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from ...evaluate import predict
from ...prior import TinyCNN, ckks, locks
from ...training import fit
from .store import as_stored, share

# Our choices. The three CKKS settings: coarse, the book's, and the next degree.
SETTINGS = {
    "password": "correct horse battery staple", "scrypt_n": 2**14, "scrypt_n_file": 2**17,
    "repeats": 20, "wrong": 10, "flips": 50,
    "square": {"channels": [1, 4, 16, 64], "epochs": 8, "lr": 5e-3, "batch_size": 64},
    "ckks": [{"degree": 8192, "bits": [31, 26, 26, 26, 31], "scale": 26},
             {"degree": 8192, "bits": [49, 40, 40, 40, 49], "scale": 40},
             {"degree": 16384, "bits": [60, 40, 40, 40, 60], "scale": 40}],
    "images": 10, "images_wider": 3, "widths": [1, 2, 4, 8, 16, 32, 64],
}


def measure(seed, owner, innocents, data):
    """What the record of one owner's seed says; no network, because a lock changes no weight."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # processor time adds up over threads
    try:
        with torch.no_grad():
            found = at_rest(seed, owner, innocents, data)
        return found | encrypted(seed, data) | {"processor_time": True}, None
    finally:
        torch.set_num_threads(threads)


def timed(action, repeats):
    """Seconds of processor time that an action takes, and what it returns the last time."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        result = action()
        found.append(time.process_time() - start)
    return {"median": statistics.median(found), "least": min(found), "most": max(found),
            "repeats": repeats}, result


# ---- a password check, and the file

def at_rest(seed, owner, innocents, data):
    """The check and the file: what they cost, what they refuse, what is left of them."""
    password, n = SETTINGS["password"], SETTINGS["scrypt_n"]
    lock = locks.PasswordCheck(owner, password, n)
    plain, sealed = save(owner.state_dict()), locks.encrypt_weights(owner, password, n)
    running = loaded(locks.decrypt_weights(sealed, password))
    known = {id(net) for net in (owner, lock, *innocents)}
    thief, = [net for net in locks.networks_in_memory()
              if type(net) is TinyCNN and id(net) not in known]
    copies = {"behind the check": lock.net, "read from memory": thief}
    return {
        "before": share(owner, data.test), "after": share(running, data.test),
        "copy": share(lock.net, data.test),
        "authorized": share(Answering(lock, password), data.test),
        "detection": {"weights_changed": 1 - equal(owner, running), "detected": False},
        "innocents": [refusal(lock, sealed, f"wrong {number}", data.test.images[:1])
                      for number in range(SETTINGS["wrong"])],
        "attacks": {name: {"accuracy": share(net, data.test)["accuracy"],
                           "weights_equal": equal(owner, net), "detected": False}
                    for name, net in copies.items()},
        "flips": {"tried": SETTINGS["flips"], "refused": flips(seed, sealed)},
        "file": {"plain_bytes": len(plain), "sealed_bytes": len(sealed),
                 "plain_entropy": entropy(plain), "sealed_entropy": entropy(sealed)},
        "times": times(owner, plain, data.test.images[:1]),
    }


class Answering(nn.Module):
    """What an authorized user has: the lock, and its password."""

    def __init__(self, lock, password):
        super().__init__()
        self.lock, self.password = lock, password

    def forward(self, images):
        return self.lock(images, self.password)


def loaded(state):
    """A network with this state, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        net = TinyCNN()
    net.load_state_dict(state)
    return net.eval()


def equal(one, other):
    """The share of weights that two networks have in common."""
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    return sum((a == b).sum().item() for a, b in pairs) / sum(a.numel() for a, _ in pairs)


def refused(action):
    """Whether a function without arguments raises ValueError."""
    try:
        action()
    except ValueError:
        return True
    return False


def refusal(lock, sealed, password, image):
    """Whether the check and the file refuse a wrong password: the statistic of this family."""
    check = refused(lambda: lock(image, password))
    file = refused(lambda: locks.decrypt_weights(sealed, password))
    return {"password": password, "check_refused": check, "file_refused": file,
            "detected": not (check and file)}


def flips(seed, sealed):
    """How many of the files with one flipped bit are refused."""
    rng, count = np.random.default_rng(seed), 0
    for bit in rng.choice(8 * len(sealed), SETTINGS["flips"], replace=False).tolist():
        changed = bytearray(sealed)
        # The power of scrypt's n is left alone: it would change how long the trial takes.
        place = bit // 8 if bit // 8 != len(locks.MAGIC) else 0
        changed[place] ^= 1 << bit % 8
        file = bytes(changed)
        count += refused(lambda: locks.decrypt_weights(file, SETTINGS["password"]))  # noqa: B023
    return count


def entropy(content):
    """Bits per byte, from how often each byte value occurs."""
    shares = np.bincount(np.frombuffer(content, np.uint8), minlength=256) / len(content)
    return float(-sum(p * math.log2(p) for p in shares if p > 0))


def times(owner, plain, image):
    """What an answer of the plain network, AES and scrypt take."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    repeats, cipher, nonce = SETTINGS["repeats"], AESGCM(bytes(32)), bytes(12)
    actions = {
        "answer": (lambda: owner(image), repeats),
        "aes_encrypt": (lambda: cipher.encrypt(nonce, plain, None), repeats),
        "aes_decrypt": (lambda: cipher.decrypt(nonce, hidden, None), repeats),
        "scrypt": (lambda: locks.stretch("p", bytes(16), SETTINGS["scrypt_n"]), 5),
        "scrypt_file": (lambda: locks.stretch("p", bytes(16), SETTINGS["scrypt_n_file"]), 5)}
    hidden = cipher.encrypt(nonce, plain, None)
    return {name: timed(*asked)[0] for name, asked in actions.items()}


# ---- inference on encrypted images

def encrypted(seed, data):
    """CKKS: a network of squares at three settings, wider ones, and layers by width."""
    nets = {channels: trained(channels, seed, data)
            for channels in SETTINGS["square"]["channels"]}
    keys, found, book = None, [], SETTINGS["ckks"][1]
    for setting in SETTINGS["ckks"]:
        made, new = timed(lambda: ckks.make_keys(**setting), 1)  # noqa: B023
        found.append(setting | {"keys": made["median"], "total_bits": sum(setting["bits"])}
                     | sizes(new) | agreement(nets[4], new, data.test, SETTINGS["images"]))
        keys = new if setting == book else keys
    wider = [{"channels": channels, "weights": sum(each.numel() for each in net.parameters()),
              "test": share(net, data.test)}
             | agreement(net, keys, data.test, SETTINGS["images_wider"])
             for channels, net in nets.items()]
    return {"ckks": found, "wider": wider, "widths": widths(seed, keys, data.test.images)}


def trained(channels, seed, data):
    """A network of squares, trained as the chapter does it."""
    torch.manual_seed(seed)
    net, how = ckks.SquareCNN(channels), SETTINGS["square"]
    fit(net, data.train, data.validation, seed=seed, progress=False, device="cpu",
        precision="float32", **{name: how[name] for name in ("epochs", "lr", "batch_size")})
    return as_stored(net).requires_grad_(False)


def sizes(keys):
    """Bytes of the public keys, with and without those that move numbers for a sum."""
    return {"public_bytes": len(ckks.public_part(keys).serialize()),
            "public_bytes_without_rotations": len(keys.serialize(
                save_secret_key=False, save_galois_keys=False))}


def agreement(net, keys, test, images):
    """One image after another under encryption: seconds, bytes, and how far the logits are off."""
    public, spent, off, same = ckks.public_part(keys), [], [], 0
    expected = predict(net, test.images[:images])
    for image, logits in zip(test.images[:images], expected, strict=True):
        encrypt, message = timed(lambda: ckks.encrypt_image(public, image), 1)  # noqa: B023
        infer, answers = timed(lambda: ckks.answer(net, public, message), 1)  # noqa: B023
        decrypt, got = timed(lambda: ckks.decrypt(keys, answers), 1)  # noqa: B023
        spent.append([each["median"] for each in (encrypt, infer, decrypt)])
        off.append((got - logits).abs().max().item())
        same += int(got.argmax() == logits.argmax())
    names, columns = ("encrypt", "infer", "decrypt"), list(zip(*spent, strict=True))
    return {name: {"median": statistics.median(column), "least": min(column),
                   "most": max(column), "repeats": images}
            for name, column in zip(names, columns, strict=True)} | {
        "plain": timed(lambda: net(test.images[:1]), SETTINGS["repeats"])[0],
        "images": images, "same_answer": same, "off_largest": max(off),
        "off_median": statistics.median(off), "logits_largest": expected.abs().max().item(),
        "message_bytes": len(message), "answer_bytes": sum(map(len, answers))}


def widths(seed, keys, images):
    """A linear layer on one image, by its outputs: weights in the clear, and encrypted."""
    generator, public, rows = torch.Generator().manual_seed(seed), ckks.public_part(keys), []
    pixels = images[0].view(1, -1)
    message, = ckks.encrypt_rows(public, pixels)
    for width in SETTINGS["widths"]:
        weights = torch.randn(width, pixels.shape[1], generator=generator) / 28
        hiding, hidden = timed(lambda: ckks.encrypt_rows(public, weights), 1)  # noqa: B023
        row = {"width": width, "encrypt_weights": hiding["median"],
               "weights_bytes": sum(map(len, hidden)),
               "plain_bytes": 4 * weights.numel(),
               "plain": timed(lambda: pixels @ weights.T, 200)[0]["median"]}  # noqa: B023
        for name, layer in {"clear": weights, "hidden": hidden}.items():
            spent, answers = timed(lambda: ckks.dense(public, message, layer), 1)  # noqa: B023
            off = ckks.decrypt(keys, answers) - (pixels @ weights.T)[0]
            row[name] = {"seconds": spent["median"], "off": off.abs().max().item(),
                         "answer_bytes": sum(map(len, answers))}
        rows.append(row)
    return rows
