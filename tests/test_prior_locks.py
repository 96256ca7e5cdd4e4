"""A password check, encrypted weights, and inference on encrypted images."""

import copy
import hashlib
import math
import statistics
import sys

import numpy as np
import pytest
import torch
from toys import TinyCNN, state_of, toy_split

import apdnn_lite as ap
from apdnn_lite.experiments.prior import prior_records
from apdnn_lite.prior import ckks, locks

FAST = 2**10  # scrypt's cost in the tests
NETWORKS = {"TinyCNN": ap.prior.TinyCNN, "SimpleCNN": ap.SimpleCNN, "ResNet20": ap.ResNet20}


# ---- a password check

def test_the_check_answers_to_its_password_and_to_nothing_else():
    net, images = TinyCNN().eval(), toy_split(5).images
    lock = locks.PasswordCheck(net, "open", FAST).eval()
    assert torch.equal(lock(images, "open"), net(images))
    for wrong in ("Open", "open ", "ope", "opén"):
        with pytest.raises(ValueError, match="wrong password"):
            lock(images, wrong)
    with pytest.raises(TypeError):
        lock(images)


def test_the_check_keeps_no_password_and_its_own_salt():
    one, other = (locks.PasswordCheck(TinyCNN(), "open sesame", FAST) for _ in range(2))
    assert "open sesame" not in str(vars(one))
    assert one.salt != other.salt and one.hash != other.hash and len(one.hash) == 32


def test_the_trap_of_the_check_the_network_behind_it_answers_without():
    net, images = TinyCNN().eval(), toy_split(5).images
    lock = locks.PasswordCheck(net, "open", FAST)
    assert lock.net is net and torch.equal(lock.net(images), net(images))


@pytest.mark.parametrize("power", [10, 12])
def test_a_key_is_scrypt_by_the_standard_librarys_own_parameters(power):
    salt = bytes(range(16))
    expected = hashlib.scrypt(b"p\xc3\xa4ss", salt=salt, n=2**power, r=8, p=1, dklen=32)
    assert locks.stretch("päss", salt, 2**power) == expected


def test_scrypt_is_that_of_its_specification():
    """RFC 7914, section 12: its third and second vectors have r = 8 and p = 1 or 16."""
    found = locks.stretch("pleaseletmein", b"SodiumChloride", 2**14)
    assert found.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


@pytest.mark.parametrize("password", ["", None, 5, b"open"])
def test_what_is_no_password_is_refused(password):
    with pytest.raises(ValueError, match="password must be a text, not empty"):
        locks.PasswordCheck(TinyCNN(), password)


@pytest.mark.parametrize("n", [2**9, 2**21, 3000, 1024.0, True, None])
def test_a_cost_that_is_none_is_refused(n):
    with pytest.raises(ValueError, match="n must be"):
        locks.stretch("open", bytes(16), n)


# ---- encrypted weights

@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_the_right_password_gives_back_every_weight(make):
    pytest.importorskip("cryptography")
    net = make()
    before, random_state = state_of(net), torch.random.get_rng_state()
    found = locks.decrypt_weights(locks.encrypt_weights(net, "open", FAST), "open")
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], before[name]) for name in before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random_state) and net.training
    make().load_state_dict(found)


@pytest.fixture(scope="module")
def sealed():
    pytest.importorskip("cryptography")
    torch.manual_seed(0)
    return locks.encrypt_weights(TinyCNN(), "open", FAST)


def test_the_file_is_aes_gcm_as_the_library_reads_it_by_itself(sealed):
    """Recomputed from the bytes: start, power of n, salt, nonce, then ciphertext and tag."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from safetensors.torch import load
    assert sealed[:7] == b"locked1" and sealed[7] == 10
    salt, nonce, rest = sealed[8:24], sealed[24:36], sealed[36:]
    key = hashlib.scrypt(b"open", salt=salt, n=2**10, r=8, p=1, dklen=32)
    content = load(AESGCM(key).decrypt(nonce, rest, sealed[:36]))
    torch.manual_seed(0)
    assert all(torch.equal(content[name], tensor) for name, tensor in state_of(TinyCNN()).items())
    plain = hashlib.sha256(AESGCM(key).decrypt(nonce, rest, sealed[:36]))
    assert len(rest) == len(AESGCM(key).decrypt(nonce, rest, sealed[:36])) + 16 and plain


def test_one_flipped_bit_anywhere_is_refused(sealed):
    places = [*range(7), *range(8, 40), *range(40, len(sealed), 97), len(sealed) - 1]
    for place in places:
        changed = bytearray(sealed)
        changed[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match="the tag does not fit|are no whole file"):
            locks.decrypt_weights(bytes(changed), "open")


def test_the_cost_in_the_header_is_covered_too(sealed):
    changed = bytearray(sealed)
    changed[7] = 11
    with pytest.raises(ValueError, match="the tag does not fit"):
        locks.decrypt_weights(bytes(changed), "open")
    changed[7] = 60  # would take 2^60 KiB of memory
    with pytest.raises(ValueError, match="are no whole file of encrypt_weights"):
        locks.decrypt_weights(bytes(changed), "open")


def test_a_wrong_password_and_a_short_file_are_refused(sealed):
    for number in range(10):
        with pytest.raises(ValueError, match="the password is wrong, or the file was changed"):
            locks.decrypt_weights(sealed, f"wrong {number}")
    for length in (0, 5, 36):
        with pytest.raises(ValueError, match="are no whole file of encrypt_weights"):
            locks.decrypt_weights(sealed[:length], "open")
    for length in (40, 60, len(sealed) - 1):
        with pytest.raises(ValueError, match="the tag does not fit"):
            locks.decrypt_weights(sealed[:length], "open")


def test_the_trap_of_a_nonce_that_comes_back_no_two_files_share_theirs(sealed):
    torch.manual_seed(0)
    again = locks.encrypt_weights(TinyCNN(), "open", FAST)
    assert again[:8] == sealed[:8] and len(again) == len(sealed)
    assert again[8:24] != sealed[8:24] and again[24:36] != sealed[24:36]
    same = np.mean(np.frombuffer(again[36:], np.uint8) == np.frombuffer(sealed[36:], np.uint8))
    count = len(sealed) - 36
    assert abs(same - 1 / 256) < 5 * math.sqrt(1 / 256 / count)


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch):
    for name in ("tenseal", "cryptography.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    for action in (lambda: locks.encrypt_weights(TinyCNN(), "open", FAST), ckks.make_keys):
        with pytest.raises(ImportError, match=r'pip install "apdnn_lite\[crypto\]"'):
            action()
    assert locks.PasswordCheck(TinyCNN(), "open", FAST).n == FAST, "the check needs no library"


def test_the_trap_of_decryption_the_network_lies_in_memory():
    """Whole networks are found, without a name; parts of them and empty modules are not."""
    torch.manual_seed(1)
    hidden = [TinyCNN()]
    expected = state_of(hidden[0])
    found = [net for net in locks.networks_in_memory() if type(net) is TinyCNN
             and torch.equal(net.conv.weight, expected["conv.weight"])]
    assert len(found) == 1 and found[0] is hidden[0]
    roots = {id(net) for net in locks.networks_in_memory()}
    assert id(hidden[0].conv) not in roots
    lock, empty = locks.PasswordCheck(hidden[0], "open", FAST), torch.nn.ReLU()
    roots = {id(net) for net in locks.networks_in_memory()}
    assert id(lock) in roots and not {id(hidden[0]), id(empty)} & roots


# ---- encrypted images

@pytest.fixture(scope="module")
def keys():
    pytest.importorskip("tenseal")
    return ckks.make_keys()


@pytest.fixture(scope="module")
def square():
    torch.manual_seed(0)
    return ckks.SquareCNN(channels=2)


def by_hand(net, image):
    """The logits by NumPy: windows, products, squares, products."""
    pixels = image[0].double().numpy()
    windows = np.array([[pixels[3 * i:3 * i + 7, 3 * j:3 * j + 7] for j in range(8)]
                        for i in range(8)])
    weights = net.conv.weight[:, 0].detach().double().numpy()
    maps = np.einsum("ijkl,ckl->cij", windows, weights)
    maps = (maps + net.conv.bias.detach().double().numpy()[:, None, None]) ** 2
    return (net.fc.weight.detach().double().numpy() @ maps.reshape(-1)
            + net.fc.bias.detach().double().numpy())


def test_the_network_of_squares_by_its_formula(square):
    images = toy_split(3, side=28).images
    expected = np.stack([by_hand(square, image) for image in images])
    np.testing.assert_allclose(square(images).detach().numpy(), expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"this network is for images of shape \(N, 1, 28, 28\)"):
        square(images[..., :20])
    with pytest.raises(ValueError, match="channels must be a whole number"):
        ckks.SquareCNN(0)


def test_the_encrypted_answer_is_that_of_the_formula(keys, square):
    before, images = state_of(square), toy_split(1, side=28, seed=4).images
    public = ckks.public_part(keys)
    for image in images:
        answers = ckks.answer(square, public, ckks.encrypt_image(public, image))
        assert len(answers) == 10 and all(isinstance(each, bytes) for each in answers)
        np.testing.assert_allclose(ckks.decrypt(keys, answers), by_hand(square, image), atol=1e-3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in square.state_dict().items())
    assert keys.is_private() and not public.is_private()


@pytest.mark.parametrize("size", [5, 784])
def test_a_layer_with_weights_in_the_clear_or_encrypted(keys, size):
    generator = torch.Generator().manual_seed(size)
    vector, weights = torch.rand(1, size, generator=generator), torch.randn(
        2, size, generator=generator)
    message, = ckks.encrypt_rows(keys, vector)
    hidden, public = ckks.encrypt_rows(keys, weights), ckks.public_part(keys)
    expected = weights.double().numpy() @ vector[0].double().numpy()
    for rows in (weights, hidden):
        np.testing.assert_allclose(
            ckks.decrypt(keys, ckks.dense(public, message, rows)), expected, atol=1e-3)


def test_rows_are_filled_up_to_a_power_of_two():
    for size, expected in ((1, 1), (2, 2), (3, 4), (64, 64), (65, 128), (784, 1024)):
        row, = ckks.padded(torch.ones(1, size))
        assert len(row) == expected and sum(row) == size


@pytest.mark.parametrize("scale", [26, 40])
def test_the_trap_of_the_scale_answers_are_too_large_by_what_the_primes_lack(square, keys, scale):
    """TenSEAL takes each prime q for 2^scale, and each product divides by q."""
    net, image = copy.deepcopy(square), toy_split(1, side=28, seed=2).images[0]
    with torch.no_grad():
        for layer in (net.conv, net.fc):
            layer.weight.abs_()
            layer.bias.zero_()
    coarse = {"bits": (31, 26, 26, 26, 31), "scale": 26}
    used, expected = ckks.make_keys(**coarse) if scale == 26 else keys, by_hand(net, image)
    found = ckks.decrypt(used, ckks.answer(net, used, ckks.encrypt_image(used, image))).numpy()
    share = excess(8192, scale)
    np.testing.assert_allclose(found / expected - 1, share, rtol=0.5 if scale == 26 else 0.2)
    assert 1e-3 < share if scale == 26 else share < 1e-5


def excess(degree, scale):
    """By which share logits are too large. The convolution's error is squared: it counts twice."""
    first, second, third = (1 - prime / 2**scale for prime in primes_below(scale, degree))
    return 2 * first + second + third


def primes_below(scale, degree, count=3):
    """The largest primes below 2^scale that are 1 modulo 2N, as SEAL picks them."""
    found, candidate = [], 2**scale - 2 * degree + 1
    while len(found) < count:
        if all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7, 11)):
            found.append(candidate)
        candidate -= 2 * degree
    return found


def test_the_table_of_the_standard():
    """128 bits, classical, ternary secrets; TenSEAL's own library refuses what is above it."""
    assert ckks.SECURE_BITS == {4096: 109, 8192: 218, 16384: 438, 32768: 881}
    tenseal = pytest.importorskip("tenseal")
    for degree, bits in ((4096, [36, 36, 37]), (8192, [49, 40, 40, 40, 49])):
        assert sum(bits) == ckks.SECURE_BITS[degree]
        tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, -1, bits)
        with pytest.raises(ValueError):
            tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, -1, [*bits[:-1], bits[-1] + 1])
        with pytest.raises(ValueError, match=f"allow {sum(bits)} bits at degree {degree}, got"):
            ckks.make_keys(degree, [*bits[:-1], bits[-1] + 1])
    with pytest.raises(ValueError, match="a degree of 4096, 8192, 16384, 32768"):
        ckks.make_keys(degree=1000)


def test_only_the_secret_key_reads_an_answer(keys, square):
    message = ckks.encrypt_image(keys, toy_split(1, side=28).images[0])
    public = ckks.public_part(keys)
    with pytest.raises(ValueError, match="these keys are the public part"):
        ckks.decrypt(public, [message])
    other = ckks.make_keys()
    vector, = ckks.encrypt_rows(public, torch.ones(1, 64))
    found = ckks.decrypt(other, ckks.dense(public, vector, torch.ones(3, 64)))
    assert found.abs().median() > 100, "another secret key reads noise"
    assert ckks.encrypt_image(keys, toy_split(1, side=28).images[0]) != message, "fresh noise"


def test_what_cannot_be_computed_is_refused(keys, square):
    image = toy_split(1, side=28).images[0]
    with pytest.raises(ValueError, match="no ReLU .* expected a SquareCNN, got TinyCNN"):
        ckks.answer(ap.prior.TinyCNN(), keys, ckks.encrypt_image(keys, image))
    few = ckks.make_keys(bits=(49, 40, 49))
    with pytest.raises(ValueError, match="three primes between the first and the last"):
        ckks.answer(square, few, ckks.encrypt_image(few, image))
    for message in (b"", b"no ciphertext"):
        with pytest.raises(ValueError, match="this message does not fit these keys"):
            ckks.answer(square, keys, message)
    vector, = ckks.encrypt_rows(keys, torch.ones(1, 5))
    for rows in (torch.ones(2, 9), ckks.encrypt_rows(keys, torch.ones(2, 4)), []):
        with pytest.raises(ValueError, match="expected rows as long as the vector, 8 numbers"):
            ckks.dense(keys, vector, rows)
    for wrong in (255 * image, image[:, :20]):
        with pytest.raises(ValueError, match="image must|this network is for images"):
            ckks.encrypt_image(keys, wrong)


# ---- the records

@pytest.fixture(scope="module")
def records():
    return [record["came_out"] for record in prior_records("locks")]


def test_the_records_are_of_three_owners_and_agree_with_themselves(records):
    assert len(records) == 3 and len({each["before"]["correct"] for each in records}) > 1
    for found in records:
        for name in ("before", "after", "copy", "authorized"):
            score = found[name]
            assert score["accuracy"] == score["correct"] / score["images"]
            assert score["correct"] == found["before"]["correct"], "a lock changes no answer"
        assert found["detection"] == {"weights_changed": 0, "detected": False}
        assert len({each["password"] for each in found["innocents"]}) == 10
        assert all(each["check_refused"] and each["file_refused"] for each in found["innocents"])
        for attack in found["attacks"].values():
            assert attack["weights_equal"] == 1 and attack["accuracy"] == found[
                "before"]["accuracy"]
        assert found["flips"]["refused"] == found["flips"]["tried"]
        assert found["file"]["sealed_bytes"] == found["file"]["plain_bytes"] + locks.HEADER + 16
        assert found["file"]["plain_entropy"] < 7.5 < 7.99 < found["file"]["sealed_entropy"] <= 8


def test_the_recorded_settings_are_secure_and_the_books_agrees_to_a_hundredth(records):
    for found in records:
        coarse, book, fine = found["ckks"]
        for each in (coarse, book, fine):
            assert each["total_bits"] == sum(each["bits"]) <= ckks.SECURE_BITS[each["degree"]]
            assert each["same_answer"] <= each["images"] == 10
            for name in ("encrypt", "infer", "decrypt", "plain"):
                assert 0 < each[name]["least"] <= each[name]["median"] <= each[name]["most"]
        assert book["off_largest"] < 0.01 < coarse["off_largest"] and book["same_answer"] == 10
        assert book["infer"]["median"] < fine["infer"]["median"]
        # The surprise: a higher degree has fewer primes to choose from, and is less precise.
        assert book["off_largest"] < fine["off_largest"]
        for each in (book, fine):
            expected = excess(each["degree"], each["scale"]) * each["logits_largest"]
            assert 0.5 < each["off_largest"] / expected < 1.5
        assert book["infer"]["median"] > 100 * book["plain"]["median"]


def test_recorded_layers_cost_in_proportion_to_their_width(records):
    for found in records:
        rows = found["widths"]
        assert [row["width"] for row in rows] == [1, 2, 4, 8, 16, 32, 64]
        for row in rows:
            assert row["plain_bytes"] == 4 * 784 * row["width"]
            assert row["weights_bytes"] / row["width"] == pytest.approx(412_000, rel=0.02)
            assert max(row["clear"]["off"], row["hidden"]["off"]) < 0.01
        rates = [row[name]["seconds"] / row["width"] for row in rows[2:]
                 for name in ("clear", "hidden")]
        assert max(rates) < 2.5 * statistics.median(rates)
