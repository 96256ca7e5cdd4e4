"""Image sets: the mini set that ships, full sets from fake files, a reader's own images, and every error."""

import collections
import gzip
import hashlib
import io
import os
import struct
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toys import toy_set, toy_split

import apdnn_lite as ap
from apdnn_lite import data

DataError = ap.DataError
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def mini():
    return ap.load("fashion_mnist")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without any full set: $APDNN_DATA unset, the cache empty, no Debian package."""
    monkeypatch.delenv("APDNN_DATA", raising=False)
    monkeypatch.setattr(data, "cache_folder", lambda: tmp_path / "cache")
    listed = data.places
    monkeypatch.setattr(data, "places", lambda name: [*listed(name)[:-1], tmp_path / "debian" / name.replace("_", "-")])
    return tmp_path


# ---- the subset that comes with the package

def test_mini_has_the_sizes_it_says(mini):
    assert [len(getattr(mini, part)) for part in PARTS] == [10_000, 2_000, 2_000]
    assert mini.train.images.shape == (10_000, 1, 28, 28)
    assert mini.name == "fashion_mnist" and mini.size == "mini" and len(mini.classes) == 10


@pytest.mark.parametrize("part, each", [("train", 1000), ("validation", 200), ("test", 200)])
def test_mini_has_as_many_images_of_each_class(mini, part, each):
    assert collections.Counter(getattr(mini, part).labels.tolist()) == dict.fromkeys(range(10), each)


@pytest.mark.parametrize("part", PARTS)
def test_mini_is_float32_in_0_1_with_eight_bits(mini, part):
    split = getattr(mini, part)
    assert split.images.dtype == torch.float32 and split.labels.dtype == torch.int64
    assert split.images.min() == 0 and split.images.max() == 1
    levels = split.images[:200] * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_mini_is_cut_from_the_splits_of_the_full_set_by_index(mini):
    order = np.random.RandomState(data.SPLIT_SEED).permutation(60_000)
    full = {"validation": set(order[:5000].tolist()), "train": set(order[5000:].tolist()), "test": set(range(10_000))}
    found = {part: getattr(mini, part).indices.tolist() for part in PARTS}
    for part in PARTS:
        assert len(set(found[part])) == len(found[part]), "an image occurs twice"
        assert set(found[part]) <= full[part]
    assert not set(found["train"]) & set(found["validation"])


def test_no_image_of_mini_is_in_two_of_its_splits(mini):
    images = {part: {image.numpy().tobytes() for image in getattr(mini, part).images} for part in PARTS}
    assert not images["train"] & images["validation"]
    assert not images["train"] & images["test"] and not images["validation"] & images["test"]


def test_the_seed_of_the_split_is_pinned():
    """Records and weights rest on it."""
    assert (data.SPLIT_SEED, data.VALIDATION_IMAGES) == (2018, 5000)
    assert np.random.RandomState(2018).permutation(60_000)[:4].tolist() == [14630, 38459, 47218, 54775]


def test_mini_comes_with_its_licence_and_is_small():
    assert data.MINI_FILE.stat().st_size < 8_000_000
    texts = [path.read_text(encoding="utf-8") for path in data.ASSETS.iterdir() if "licen" in path.name.lower()]
    assert any("Zalando" in text and "MIT" in text for text in texts)


def test_mini_reads_no_pickle():
    with np.load(data.MINI_FILE, allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype.kind for name in arrays}.keys() == {
            f"{part}_{what}" for part in PARTS for what in ("images", "labels", "indices")}
        assert arrays["test_images"].dtype == np.uint8


def test_a_truncated_mini_set_is_refused(tmp_path):
    file = tmp_path / "mini.npz"
    file.write_bytes(data.MINI_FILE.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{file} is truncated or altered: expected SHA-256 {data.MINI_SHA256}, found"):
        data.read_mini(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="gone.npz cannot be read .No such file"):
        data.read_mini(tmp_path / "gone.npz")


def test_the_checksum_covers_pixels_and_labels_of_all_splits():
    small = toy_set(side=8)
    content = b"".join(getattr(getattr(small, part), what).numpy().tobytes()
                       for part in PARTS for what in ("images", "labels"))
    assert small.sha256 == hashlib.sha256(content).hexdigest()
    altered = toy_set(side=8)
    altered.test.images[0, 0, 0, 0] += 1 / 255
    assert altered.sha256 != small.sha256


# ---- splits and sets

def test_a_split_gives_smaller_splits():
    split = toy_split(30)
    for index in (slice(3, 7), split.labels == 3, [4, 8], torch.tensor([1, 2])):
        part = split[index]
        assert torch.equal(part.images, split.images[index]) and torch.equal(part.labels, split.labels[index])
        assert torch.equal(part.indices, split.indices[index]) and len(part) == len(split.labels[index])


def test_texts_and_moving():
    small = toy_set(side=8)
    assert repr(small.train) == "Split(40 images of 1×8×8)"
    assert "40 training, 20 validation, 20 test images of 1×8×8, 10 classes" in repr(small)
    moved = small.to("cpu")
    assert torch.equal(moved.test.images, small.test.images) and moved.classes == small.classes
    assert small.train.to("meta").labels.device.type == "meta"


# ---- bad input

def test_an_unknown_name_or_size_is_refused():
    with pytest.raises(DataError, match="unknown data set 'svhn': expected one of 'mnist', 'fashion_mnist', 'cifar10'"):
        ap.load("svhn")
    with pytest.raises(DataError, match="unknown size 'tiny': expected 'mini' or 'full'"):
        ap.load("mnist", "tiny")


IMAGES, LABELS = torch.rand(6, 1, 4, 4), torch.arange(6)


@pytest.mark.parametrize("images, labels, message", [
    (IMAGES[:, 0], LABELS, r"images must be a tensor of shape \(N, C, H, W\), found \(6, 4, 4\)"),
    (IMAGES.numpy(), LABELS, "images must be a tensor"),
    ([1, 2], LABELS, "images must be a tensor of shape .* found list"),
    (IMAGES.double(), LABELS, "must be float32 .* found torch.float64"),
    ((IMAGES * 255).byte(), LABELS, "found torch.uint8. Divide 8-bit pixels by 255"),
    (torch.rand(6, 2, 4, 4), LABELS, r"1 or 3 channels, \(N, C, H, W\), found \(6, 2, 4, 4\)\.$"),
    (torch.rand(6, 1, 4, 5), LABELS, r"images must be square .* found \(6, 1, 4, 5\)\.$"),
    (torch.rand(6, 4, 4, 3), LABELS, r"found \(6, 4, 4, 3\). They look channels-last: permute them to \(N, C, H, W\)"),
    (torch.rand(6, 4, 4, 1), LABELS, "They look channels-last"),
    (IMAGES[:0], LABELS[:0], "there are no images"),
    (IMAGES * 2 - 1.5, LABELS, "pixels must lie in .0, 1., found values from -.* pass pixels, not normalized values"),
    (IMAGES + 1, LABELS, "pixels must lie in .0, 1., found values from 1"),
    (IMAGES.where(IMAGES < IMAGES.max(), torch.nan), LABELS, "pixels must lie in .0, 1., found values from nan"),
    (IMAGES.where(IMAGES < IMAGES.max(), torch.inf), LABELS, "pixels must lie in .0, 1., found .* to inf"),
    (IMAGES, LABELS[:5], r"labels must be int64 of shape \(6,\), found torch.int64 of shape \(5,\)"),
    (IMAGES, LABELS.float(), r"labels must be int64 of shape \(6,\), found torch.float32"),
    (IMAGES, LABELS[:, None], r"found torch.int64 of shape \(6, 1\)"),
    (IMAGES, LABELS + 1, r"labels must lie in 0 … 5 \(6 classes\), found 1 … 6"),
    (IMAGES, LABELS - 1, "labels must lie in 0 … 5 .* found -1 … 4"),
])
@pytest.mark.parametrize("part", PARTS)
def test_a_bad_split_is_refused_with_what_was_expected_and_found(images, labels, message, part):
    good = ap.Split(IMAGES, LABELS, LABELS)
    bad = ap.Split(images, labels, LABELS)
    with pytest.raises(DataError, match=f"^(?s:mine, {part} split: .*){message}"):
        ap.Dataset("mine", "own", tuple("abcdef"), **{**dict.fromkeys(PARTS, good), part: bad})


# ---- full sets, from files as their authors publish them

def idx(array):
    """An array as a file in the IDX format: two zeros, 8 for bytes, the number of dimensions, each, the bytes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def fake(nowhere, monkeypatch):
    """A set of 50 + 20 images as the four published files, whose checksums the package now expects."""
    generator = np.random.default_rng(0)
    arrays = [part for count in (50, 20) for part in (
        generator.integers(256, size=(count, 6, 6), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10)]
    files = dict(zip(data.IDX_FILES, map(idx, arrays)))
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setitem(data.IDX_SHA256, name, tuple(hashlib.sha256(file).hexdigest() for file in files.values()))
    monkeypatch.setattr(data, "VALIDATION_IMAGES", 10)
    return types.SimpleNamespace(root=nowhere, arrays=arrays, files=files)


def put(files, folder, packed=False):
    """Write the files into ``folder``, as .gz if ``packed``."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_a_full_set_is_read_and_cut(fake, monkeypatch, packed, name, folder):
    put(fake.files, fake.root / "mine" / folder / "raw", packed)
    monkeypatch.setenv("APDNN_DATA", str(fake.root / "mine"))
    full = ap.load(name, "full")
    assert [len(getattr(full, part)) for part in PARTS] == [40, 10, 20] and full.size == "full"
    train_images, train_labels, test_images, test_labels = fake.arrays
    for part, images, labels in (("train", train_images, train_labels), ("validation", train_images, train_labels),
                                 ("test", test_images, test_labels)):
        split = getattr(full, part)
        np.testing.assert_array_equal((split.images * 255).round().numpy()[:, 0], images[split.indices])
        np.testing.assert_array_equal(split.labels, labels[split.indices])
    # Together train and validation are the official training set, each image once.
    assert sorted(full.train.indices.tolist() + full.validation.indices.tolist()) == list(range(50))
    assert full.test.indices.tolist() == list(range(20))


def test_the_validation_split_is_the_same_each_time_and_follows_the_seed(fake, monkeypatch):
    put(fake.files, fake.root / "cache" / "MNIST" / "raw")
    held_out = np.random.RandomState(data.SPLIT_SEED).permutation(50)[:10].tolist()
    for _ in range(2):
        assert ap.load("mnist", "full").validation.indices.tolist() == held_out
    monkeypatch.setattr(data, "SPLIT_SEED", 1)
    assert ap.load("mnist", "full").validation.indices.tolist() != held_out


def test_a_mini_set_of_a_full_one_takes_the_first_images_of_each_class(fake, monkeypatch):
    monkeypatch.setattr(data, "MINI_PER_CLASS", {"train": 2, "validation": 1, "test": 1})
    put(fake.files, fake.root / "cache" / "MNIST" / "raw")
    full, small = ap.load("mnist", "full"), ap.load("mnist", "mini")
    assert small.size == "mini"
    for part, each in (("train", 2), ("validation", 1), ("test", 1)):
        seen, expected = collections.Counter(), []
        for index, label in zip(getattr(full, part).indices.tolist(), getattr(full, part).labels.tolist()):
            seen[label] += 1
            if seen[label] <= each:
                expected.append(index)
        assert getattr(small, part).indices.tolist() == expected
        of_full = dict(zip(getattr(full, part).indices.tolist(), getattr(full, part).images))
        assert all(torch.equal(of_full[index], image)
                   for index, image in zip(expected, getattr(small, part).images, strict=True))


def test_the_places_and_their_order(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv("APDNN_DATA", "/mine")
    assert data.places("fashion_mnist") == [Path("/mine/FashionMNIST/raw"), tmp_path / "FashionMNIST" / "raw",
                                            Path("/usr/share/datasets/fashion-mnist")]
    assert data.places("cifar10")[:2] == [Path("/mine/cifar-10-batches-py"), tmp_path / "cifar-10-batches-py"]
    for unset in ("", None):
        monkeypatch.setenv("APDNN_DATA", unset) if unset is not None else monkeypatch.delenv("APDNN_DATA")
        assert data.places("mnist") == [tmp_path / "MNIST" / "raw", Path("/usr/share/datasets/mnist")]


def test_the_first_place_that_has_the_set_is_taken(fake, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(fake.root / "mine"))
    read, read_idx = [], data.read_idx
    monkeypatch.setattr(data, "read_idx", lambda path, sha256: read.append(path.parent) or read_idx(path, sha256))
    # From the last place to the first: each one added is preferred to those after it.
    for place in reversed(data.places("mnist")):
        put(fake.files, place, packed=True)
        read.clear()
        ap.load("mnist", "full")
        assert set(read) == {place} and len(read) == 4
    assert len(data.places("mnist")) == 3


def test_a_partly_present_set_is_refused_and_says_what_is_missing(fake):
    folder = fake.root / "cache" / "MNIST" / "raw"
    put(fake.files, folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="raw holds only a part of mnist: missing t10k-labels-idx1-ubyte .unpacked or"):
        ap.load("mnist", "full")


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("damage", [
    lambda content: content[:-5], lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:],
    lambda content: b""], ids=["truncated", "altered", "empty"])
def test_a_damaged_file_is_refused_and_named(fake, packed, damage):
    folder = fake.root / "cache" / "MNIST" / "raw"
    put(fake.files, folder, packed)
    file = folder / ("train-images-idx3-ubyte" + (".gz" if packed else ""))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=f"{file} is truncated or "):
        ap.load("mnist", "full")


def test_a_wrong_checksum_says_expected_and_found(fake):
    folder = fake.root / "cache" / "MNIST" / "raw"
    put(fake.files, folder)
    (folder / "train-labels-idx1-ubyte").write_bytes(b"other")
    expected, found = data.IDX_SHA256["mnist"][1], hashlib.sha256(b"other").hexdigest()
    with pytest.raises(DataError, match=f"expected SHA-256 {expected}, found {found} .5 bytes.. Remove the file"):
        ap.load("mnist", "full")


def pretend_torchvision(monkeypatch, **datasets):
    monkeypatch.setattr(data, "import_torchvision", lambda: types.SimpleNamespace(
        datasets=types.SimpleNamespace(**datasets)))


def test_what_is_nowhere_is_downloaded_into_the_cache_and_verified(fake, monkeypatch):
    calls = []

    def download(content):
        def dataset(root, download):
            calls.append((root, download))
            put(content, Path(root) / "FashionMNIST" / "raw")
        pretend_torchvision(monkeypatch, FashionMNIST=dataset)

    download(fake.files)
    assert len(ap.load("fashion_mnist", "full").train) == 40
    assert calls == [(fake.root / "cache", True)]
    ap.load("fashion_mnist", "full")
    assert len(calls) == 1, "downloaded again"

    monkeypatch.setattr(data, "cache_folder", lambda: fake.root / "another cache")
    download({**fake.files, "train-labels-idx1-ubyte": b"of somebody else"})
    with pytest.raises(DataError, match="train-labels-idx1-ubyte is truncated or altered"):
        ap.load("fashion_mnist", "full")


@pytest.mark.parametrize("name, torchvision_name", data.TORCHVISION_NAME.items())
@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("Error downloading")], ids=["OSError", "RuntimeError"])
def test_with_no_network_the_error_names_the_places_and_the_ways(nowhere, monkeypatch, name, torchvision_name, error):
    def unreachable(*args, **options):
        raise error
    pretend_torchvision(monkeypatch, **{torchvision_name: unreachable})
    monkeypatch.setenv("APDNN_DATA", str(nowhere / "mine"))
    with pytest.raises(DataError) as raised:
        ap.load(name, "full")
    message = str(raised.value)
    assert str(error) in message and len(data.places(name)) == 3
    for expected in (*map(str, data.places(name)), "connect to the internet", "APDNN_DATA", str(data.relative_folder(name)),
                     "load('fashion_mnist', size='mini') needs no network"):
        assert expected in message
    assert ("dataset-fashion-mnist" in message) == (name == "fashion_mnist")


def test_torchvision_itself_without_a_network(nowhere, capsys):
    with pytest.raises(DataError, match="mnist .size 'full'. was not found and could not be downloaded"):
        ap.load("mnist", "full")


def test_cifar10_comes_through_torchvision(nowhere, monkeypatch):
    generator = np.random.default_rng(0)
    pixels = {train: generator.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
              for train, count in ((True, 50), (False, 20))}
    roots = []

    def dataset(root, train):
        roots.append(root)
        return types.SimpleNamespace(data=pixels[train], targets=[number % 10 for number in range(len(pixels[train]))])

    pretend_torchvision(monkeypatch, CIFAR10=dataset)
    monkeypatch.setattr(data, "VALIDATION_IMAGES", 10)
    (nowhere / "cache" / "cifar-10-batches-py").mkdir(parents=True)
    full = ap.load("cifar10", "full")
    assert set(roots) == {nowhere / "cache"}
    assert full.test.images.shape == (20, 3, 32, 32) and full.classes[0] == "airplane"
    np.testing.assert_allclose(full.test.images[7, 2, 5, 9], pixels[False][7, 5, 9, 2] / 255, rtol=1e-6)
    assert full.test.labels.tolist() == [number % 10 for number in range(20)]


def test_a_damaged_cifar10_is_refused(nowhere):
    folder = nowhere / "cache" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cifar-10-batches-py is incomplete or altered"):
        ap.load("cifar10", "full")


def jpeg_archive(path, monkeypatch):
    """An archive like that of the JPEG copy, with 3 training and 2 test pictures of each class, each of one grey."""
    shades = {}
    with tarfile.open(path, "w:gz") as archive:
        for part, count in (("test", 2), ("train", 3)):  # not in the order of the splits
            for number in reversed(range(count)):
                for kind in data.OBJECTS:
                    picture, shade = io.BytesIO(), (7 * len(shades)) % 256
                    Image.new("RGB", (32, 32), (shade,) * 3).save(picture, "JPEG")
                    entry = tarfile.TarInfo(f"{part}/{kind}/{number:04d}.jpg")
                    entry.size = picture.tell()
                    picture.seek(0)
                    archive.addfile(entry, picture)
                    shades[part, kind, number] = shade
    monkeypatch.setattr(data, "JPEG_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(data, "VALIDATION_IMAGES", 10)
    return shades


def test_the_jpeg_copy_of_cifar10_is_read_in_the_order_of_the_names(nowhere, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(nowhere))
    shades = jpeg_archive(nowhere / "cifar10-jpeg.tar.gz", monkeypatch)
    full = ap.load("cifar10_jpeg", "full")
    assert full.name == "cifar10_jpeg" and [len(split) for split in (full.train, full.validation, full.test)] == [20, 10, 20]
    for split, part, count in ((full.train, "train", 3), (full.validation, "train", 3), (full.test, "test", 2)):
        for image, label, index in zip(split.images, split.labels, split.indices):
            kind, number = data.OBJECTS[int(index) // count], int(index) % count
            assert label == data.OBJECTS.index(kind)
            np.testing.assert_allclose(255 * image, shades[part, kind, number], atol=1)


def test_without_the_jpeg_copy_the_error_says_that_it_cannot_be_downloaded(nowhere, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(nowhere / "mine"))
    with pytest.raises(DataError, match="cannot be downloaded") as raised:
        ap.load("cifar10_jpeg", "full")
    for place in data.places("cifar10_jpeg"):
        assert str(place) in str(raised.value)
    assert "'cifar10', the original" in str(raised.value)


def test_an_altered_jpeg_copy_is_refused(nowhere, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(nowhere))
    path = nowhere / "cifar10-jpeg.tar.gz"
    jpeg_archive(path, monkeypatch)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cifar10-jpeg.tar.gz is truncated or altered"):
        ap.load("cifar10_jpeg", "full")


# ---- a reader's own images

@settings(max_examples=50)
@given(st.integers(10, 60), st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(0, 2**32 - 1))
def test_from_arrays_gives_each_image_to_one_split(count, validation, test, seed):
    images = np.arange(count, dtype=np.float32)[:, None, None, None] / count * np.ones((1, 1, 2, 2), np.float32)
    own = ap.from_arrays(images, np.arange(count), validation=validation, test=test, seed=seed)
    indices = torch.cat([getattr(own, part).indices for part in PARTS])
    assert sorted(indices.tolist()) == list(range(count))
    for part in PARTS:
        split = getattr(own, part)
        assert torch.equal(split.labels, split.indices)
        np.testing.assert_array_equal(split.images, images[split.indices.numpy()])
    assert abs(len(own.test) - count * test) <= 1 and abs(len(own.validation) - count * validation) <= 1


def test_from_arrays_is_drawn_by_the_seed():
    images, labels = np.random.default_rng(0).random((50, 1, 4, 4)), np.arange(50) % 3
    first, again, other = (ap.from_arrays(images, labels, seed=seed).test.indices for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_from_arrays_takes_bytes_or_floats_grey_or_colour(dtype, channels):
    levels = np.random.default_rng(0).integers(256, size=(10, channels, 5, 5), dtype=np.uint8)
    own = ap.from_arrays(levels if dtype == np.uint8 else levels.astype(dtype) / 255, [0, 1] * 5, ["cat", "dog"], "pets")
    np.testing.assert_allclose(own.train.images, levels[own.train.indices] / np.float32(255), rtol=1e-6)
    assert own.classes == ("cat", "dog") and own.name == "pets" and own.train.images.dtype == torch.float32


def test_from_arrays_counts_the_classes_by_itself():
    assert ap.from_arrays(torch.rand(20, 1, 4, 4), [0, 1, 2, 3] * 5).classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("images, labels, options, message", [
    (torch.rand(9, 4, 4), [0] * 9, {}, r"must be of shape \(N, C, H, W\), found \(9, 4, 4\). Grey .* need images\[:, None\]"),
    (torch.rand(9, 1, 4, 4), [0] * 8, {}, r"expected one label for each of 9 images, found labels of shape \(8,\)"),
    (torch.rand(9, 1, 4, 4), [0.0] * 9, {}, "labels must be integers, found torch.float32"),
    (torch.rand(9, 4, 4, 3), [0] * 9, {}, "channels-last"),
    (torch.rand(9, 1, 4, 4) * 255, [0] * 9, {}, "pixels must lie in"),
    (torch.rand(9, 1, 4, 4), [-1] + [0] * 8, {}, "labels must lie in"),
    (torch.rand(9, 1, 4, 4), [5] * 9, {"classes": ["one", "two"]}, r"labels must lie in 0 … 1 \(2 classes\), found 5 … 5"),
    (torch.rand(9, 1, 4, 4), [0] * 9, {"validation": 0}, "above 0 and together below 1; found 0 and 0.2"),
    (torch.rand(9, 1, 4, 4), [0] * 9, {"validation": 0.5, "test": 0.5}, "found 0.5 and 0.5"),
    (torch.rand(9, 1, 4, 4), [0] * 9, {"test": 0.01}, "test split: there are no images"),
    (torch.rand(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64), {}, "there are no images"),
])
def test_from_arrays_refuses(images, labels, options, message):
    with pytest.raises(DataError, match=f"own images.*{message}"):
        ap.from_arrays(images, labels, **options)


@pytest.fixture
def pictures(tmp_path):
    """root/cat and root/dog with six pictures of 6×6 pixels each, in levels that tell them apart."""
    for label, animal in enumerate(("cat", "dog")):
        (tmp_path / "pets" / animal).mkdir(parents=True)
        for number in range(6):
            array = np.zeros((6, 6, 3), np.uint8) + np.uint8([20 * number, 100 * label, 7])
            Image.fromarray(array).save(tmp_path / "pets" / animal / f"{number}.png")
    return tmp_path / "pets"


def test_from_folder_takes_a_tree_of_pictures(pictures):
    own = ap.from_folder(pictures, validation=0.25, test=0.25)
    assert own.name == "pets" and own.classes == ("cat", "dog")
    assert [len(getattr(own, part)) for part in PARTS] == [6, 3, 3]
    for part in PARTS:
        for image, label, index in zip(*vars(getattr(own, part)).values()):
            assert label == index // 6  # ordered by class, then by name
            expected = torch.tensor([20.0 * (index % 6), 100.0 * label, 7]) / 255
            torch.testing.assert_close(image, expected[:, None, None].expand(3, 6, 6))


def test_from_folder_grey_and_resized(pictures):
    own = ap.from_folder(pictures, image_size=9, grey=True, name="mine")
    assert own.train.images.shape[1:] == (1, 9, 9) and own.name == "mine"
    # ITU-R 601: the grey of red, green and blue, rounded by PIL.
    red, green = 20 * (own.train.indices % 6), 100 * own.train.labels
    grey = (0.299 * red + 0.587 * green + 0.114 * 7) / 255
    torch.testing.assert_close(own.train.images[:, 0, 4, 4], grey.float(), rtol=0, atol=1.1 / 255)


def test_from_folder_takes_grey_pictures_as_colour(pictures):
    for path in pictures.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert ap.from_folder(pictures).train.images.shape[1:] == (3, 6, 6)


@pytest.mark.parametrize("size", [(5, 5), (6, 5)])
def test_pictures_of_differing_sizes_need_image_size(pictures, size):
    Image.new("RGB", size).save(pictures / "dog" / "3.png")
    with pytest.raises(DataError, match=f"3.png is {size[0]}×{size[1]} pixels: expected 6×6.* Pass image_size"):
        ap.from_folder(pictures)
    assert ap.from_folder(pictures, image_size=6).train.images.shape[1:] == (3, 6, 6)


def test_one_picture_that_is_not_square_is_refused(pictures):
    for path in pictures.rglob("*.png"):
        Image.new("RGB", (6, 4)).save(path)
    with pytest.raises(DataError, match="is 6×4 pixels: expected 6×6, square"):
        ap.from_folder(pictures)


def truncated_png():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(6, 6, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()[:80]


@pytest.mark.parametrize("content", [b"", b"no picture", truncated_png()], ids=["empty", "text", "truncated"])
def test_a_broken_picture_is_named(pictures, content):
    (pictures / "cat" / "2.png").write_bytes(content)
    with pytest.raises(DataError, match="2.png cannot be read as a picture"):
        ap.from_folder(pictures)


def test_no_tree_of_pictures(tmp_path, pictures):
    (tmp_path / "empty" / "class").mkdir(parents=True)
    for root in (tmp_path / "gone", pictures / "cat", pictures / "cat" / "1.png", tmp_path / "empty"):
        with pytest.raises(DataError, match="expected one folder of pictures for each class, as in root/cat/001.png"):
            ap.from_folder(root)


# ---- the real full set, where there is one

@pytest.fixture(scope="module")
def full():
    folder = Path(os.environ.get("APDNN_DATA") or ".") / "FashionMNIST" / "raw"
    if not os.environ.get("APDNN_DATA") or data.read_full("fashion_mnist", folder) is None:
        pytest.skip("no full Fashion-MNIST in $APDNN_DATA")
    return data.load_full("fashion_mnist")


def test_the_splits_of_the_full_set(full):
    assert [len(getattr(full, part)) for part in PARTS] == [55_000, 5_000, 10_000]
    assert not set(full.train.indices.tolist()) & set(full.validation.indices.tolist())


@pytest.mark.parametrize("part", PARTS)
def test_mini_is_a_part_of_the_full_set_by_index_and_by_pixel(mini, full, part):
    small, large = getattr(mini, part), getattr(full, part)
    place = {index: row for row, index in enumerate(large.indices.tolist())}
    rows = torch.tensor([place[index] for index in small.indices.tolist()])
    assert torch.equal(small.images, large.images[rows]) and torch.equal(small.labels, large.labels[rows])


def test_the_shipped_file_is_what_the_tool_cuts(mini, full):
    cut = data.cut_mini(full)
    assert cut.sha256 == mini.sha256
    for part in PARTS:
        assert torch.equal(getattr(cut, part).indices, getattr(mini, part).indices)
