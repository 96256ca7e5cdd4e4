"""Image sets: the mini set, full sets from fake files, a reader's own images, and every error."""

import collections
import dataclasses
import gzip
import hashlib
import http.client
import io
import os
import pickle
import pickletools
import shutil
import struct
import tarfile
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toys import toy_set, toy_split

import apdnn_lite as ap
from apdnn_lite import _arrays, _files, _sources, data, tables
from apdnn_lite.experiments import Archive, cli, recipes

DataError = ap.DataError
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def mini():
    return ap.load("fashion_mnist")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without any full set: $APDNN_DATA unset, the cache empty, no Debian package."""
    monkeypatch.delenv("APDNN_DATA", raising=False)
    monkeypatch.setattr(_sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(_sources, "SYSTEM", tmp_path / "debian")
    return tmp_path


# ---- the subset that comes with the package

def test_mini_has_the_sizes_it_says(mini):
    assert [len(getattr(mini, part)) for part in PARTS] == [10_000, 2_000, 2_000]
    assert mini.train.images.shape == (10_000, 1, 28, 28)
    assert mini.name == "fashion_mnist" and mini.size == "mini" and len(mini.classes) == 10


@pytest.mark.parametrize("part, each", [("train", 1000), ("validation", 200), ("test", 200)])
def test_mini_has_as_many_images_of_each_class(mini, part, each):
    assert collections.Counter(getattr(mini, part).labels.tolist()) == dict.fromkeys(
        range(10), each
    )


@pytest.mark.parametrize("part", PARTS)
def test_mini_is_float32_in_0_1_with_eight_bits(mini, part):
    split = getattr(mini, part)
    assert split.images.dtype == torch.float32 and split.labels.dtype == torch.int64
    assert split.images.min() == 0 and split.images.max() == 1
    levels = split.images[:200] * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_mini_is_cut_from_the_splits_of_the_full_set_by_index(mini):
    order = np.random.RandomState(_sources.SPLIT_SEED).permutation(60_000)
    full = {
        "validation": set(order[:5000].tolist()),
        "train": set(order[5000:].tolist()),
        "test": set(range(10_000)),
    }
    found = {part: getattr(mini, part).indices.tolist() for part in PARTS}
    for part in PARTS:
        assert len(set(found[part])) == len(found[part]), "an image occurs twice"
        assert set(found[part]) <= full[part]
    assert not set(found["train"]) & set(found["validation"])


def test_no_image_of_mini_is_in_two_of_its_splits(mini):
    images = {
        part: {image.numpy().tobytes() for image in getattr(mini, part).images} for part in PARTS
    }
    assert not images["train"] & images["validation"]
    assert not images["train"] & images["test"] and not images["validation"] & images["test"]


def test_the_seed_of_the_split_is_pinned():
    """Records and weights rest on it."""
    assert (_sources.SPLIT_SEED, _sources.VALIDATION_IMAGES) == (2018, 5000)
    assert np.random.RandomState(2018).permutation(60_000)[:4].tolist() == [
        14630,
        38459,
        47218,
        54775,
    ]


def test_mini_comes_with_its_license_and_is_small():
    assert data.MINI_FILE.stat().st_size < 8_000_000
    texts = [
        path.read_text(encoding="utf-8")
        for path in _files.ASSETS.iterdir()
        if "licen" in path.name.lower()
    ]
    assert any("Zalando" in text and "MIT" in text for text in texts)


def test_mini_reads_no_pickle():
    with np.load(data.MINI_FILE, allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype.kind for name in arrays}.keys() == {
            f"{part}_{what}" for part in PARTS for what in ("images", "labels", "indices")}
        assert arrays["test_images"].dtype == np.uint8


def test_a_truncated_mini_set_is_refused(tmp_path):
    file = tmp_path / "mini.npz"
    file.write_bytes(data.MINI_FILE.read_bytes()[:-100])
    with pytest.raises(
        DataError,
        match=f"{file} is truncated or altered: expected SHA-256 {_sources.MINI_SHA256}, found",
    ):
        _sources.read_mini(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="gone.npz cannot be read .No such file"):
        _sources.read_mini(tmp_path / "gone.npz")


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
        assert torch.equal(part.images, split.images[index]) and torch.equal(
            part.labels, split.labels[index]
        )
        assert torch.equal(part.indices, split.indices[index]) and len(part) == len(
            split.labels[index]
        )


def test_texts_and_moving():
    small = toy_set(side=8)
    assert repr(small.train) == "Split(40 images of 1×8×8)"
    assert "40 training, 20 validation, 20 test images of 1×8×8, 10 classes" in repr(small)
    moved = small.to("cpu")
    assert torch.equal(moved.test.images, small.test.images) and moved.classes == small.classes
    assert small.train.to("meta").labels.device.type == "meta"


# ---- bad input

def test_an_unknown_name_or_size_is_refused():
    with pytest.raises(
        DataError,
        match="unknown data set 'svhn': expected one of 'mnist', 'fashion_mnist', 'cifar10'",
    ):
        ap.load("svhn")
    with pytest.raises(DataError, match="unknown size 'tiny': expected 'mini' or 'full'"):
        ap.load("mnist", "tiny")


IMAGES, LABELS = torch.rand(6, 1, 4, 4), torch.arange(6)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (
            IMAGES[:, 0],
            LABELS,
            r"images must be a tensor of shape \(N, C, H, W\), found Tensor of shape \(6, 4, 4\)",
        ),
        (IMAGES.numpy(), LABELS, "images must be a tensor"),
        ([1, 2], LABELS, "images must be a tensor of shape .* found list"),
        (IMAGES.double(), LABELS, "must be float32 .* found torch.float64"),
        ((IMAGES * 255).byte(), LABELS, "found torch.uint8. Divide 8-bit pixels by 255"),
        (
            torch.rand(6, 2, 4, 4),
            LABELS,
            r"1 or 3 channels, \(N, C, H, W\), found \(6, 2, 4, 4\)\.$",
        ),
        (torch.rand(6, 1, 4, 5), LABELS, r"images must be square .* found \(6, 1, 4, 5\)\.$"),
        (
            torch.rand(6, 4, 4, 3),
            LABELS,
            r"found \(6, 4, 4, 3\). They look channels-last: permute them to \(N, C, H, W\)",
        ),
        (torch.rand(6, 4, 4, 1), LABELS, "They look channels-last"),
        (IMAGES[:0], LABELS[:0], "there are no images"),
        (
            IMAGES * 2 - 1.5,
            LABELS,
            "pixels must lie in .0, 1., found values from -.* pass pixels, not normalized values",
        ),
        (IMAGES + 1, LABELS, "pixels must lie in .0, 1., found values from 1"),
        (
            IMAGES.where(IMAGES < IMAGES.max(), torch.nan),
            LABELS,
            "pixels must .* found 1 that are NaN or infinite, the first of them in image [0-5]",
        ),
        (
            IMAGES.where(IMAGES < IMAGES.max(), torch.inf),
            LABELS,
            "pixels must .* found 1 that are NaN or infinite, the first of them in image [0-5]",
        ),
        (
            IMAGES,
            LABELS[:5],
            (
                r"labels must be int64 of shape \(6,\), found Tensor of shape \(5,\) and type"
                r" torch.int64"
            ),
        ),
        (IMAGES, LABELS.float(), r"labels must be int64 of shape \(6,\), found .*torch.float32"),
        (IMAGES, LABELS[:, None], r"found Tensor of shape \(6, 1\)"),
        (IMAGES, LABELS + 1, r"labels must lie in 0 … 5 \(6 classes\), found 1 … 6"),
        (IMAGES, LABELS - 1, "labels must lie in 0 … 5 .* found -1 … 4"),
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_a_bad_split_is_refused_with_what_was_expected_and_found(images, labels, message, part):
    good = ap.Split(IMAGES, LABELS, LABELS)
    bad = ap.Split(images, labels, LABELS)
    with pytest.raises(DataError, match=f"^(?s:mine, {part} split: .*){message}"):
        ap.Dataset("mine", "own", tuple("abcdef"), **{**dict.fromkeys(PARTS, good), part: bad})


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("side, channels", [(7, 1), (9, 1), (8, 3)])
def test_splits_of_differing_sizes_are_no_set(part, side, channels):
    parts = dict.fromkeys(PARTS, toy_split(20)) | {part: toy_split(20, channels, side)}
    with pytest.raises(
        DataError,
        match=(
            f"^mine, {part} split: images must have one size in all splits, found Split.20 images"
            f" of 1×8×8. and Split.20 images of {channels}×{side}×{side}.[.]$"
        ),
    ):
        ap.Dataset("mine", "own", tuple("abcdefghij"), **parts)


# ---- full sets, from files as their authors publish them

def idx(array):
    """An array as a file in the IDX format.

    Two zeros, 8 for bytes, the number of dimensions, each of them, the bytes.
    """
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def expect(monkeypatch, name, files, kind=hashlib.sha256):
    """Have the package expect the checksums of these files."""
    checksums = {file: kind(content).hexdigest() for file, content in files.items()}
    monkeypatch.setitem(
        data.SOURCES, name, dataclasses.replace(data.SOURCES[name], checksums=checksums)
    )


@pytest.fixture
def fake(nowhere, monkeypatch):
    """A set of 50 + 20 images as the four published files, whose checksums are now expected."""
    generator = np.random.default_rng(0)
    arrays = [
        part
        for count in (50, 20)
        for part in (
            generator.integers(256, size=(count, 6, 6), dtype=np.uint8),
            np.arange(count, dtype=np.uint8) % 10,
        )
    ]
    files = dict(zip(IDX_FILES, map(idx, arrays), strict=True))
    for name in ("mnist", "fashion_mnist"):
        expect(monkeypatch, name, files)
    monkeypatch.setattr(_sources, "VALIDATION_IMAGES", 10)
    return types.SimpleNamespace(root=nowhere, arrays=arrays, files=files)


def put(files, folder, packed=False):
    """Write the files into ``folder``, as .gz if ``packed``."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(
            gzip.compress(content) if packed else content
        )


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_a_full_set_is_read_and_cut(fake, monkeypatch, packed, name, folder):
    put(fake.files, fake.root / "mine" / folder / "raw", packed)
    monkeypatch.setenv("APDNN_DATA", str(fake.root / "mine"))
    full = ap.load(name, "full")
    assert [len(getattr(full, part)) for part in PARTS] == [40, 10, 20] and full.size == "full"
    train_images, train_labels, test_images, test_labels = fake.arrays
    for part, images, labels in (
        ("train", train_images, train_labels),
        ("validation", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        split = getattr(full, part)
        np.testing.assert_array_equal(
            (split.images * 255).round().numpy()[:, 0], images[split.indices]
        )
        np.testing.assert_array_equal(split.labels, labels[split.indices])
    # Together train and validation are the official training set, each image once.
    assert sorted(full.train.indices.tolist() + full.validation.indices.tolist()) == list(range(50))
    assert full.test.indices.tolist() == list(range(20))


def test_the_validation_split_is_the_same_each_time_and_follows_the_seed(fake, monkeypatch):
    put(fake.files, fake.root / "cache" / "MNIST" / "raw")
    held_out = np.random.RandomState(_sources.SPLIT_SEED).permutation(50)[:10].tolist()
    for _ in range(2):
        assert ap.load("mnist", "full").validation.indices.tolist() == held_out
    monkeypatch.setattr(_sources, "SPLIT_SEED", 1)
    assert ap.load("mnist", "full").validation.indices.tolist() != held_out


def test_a_mini_set_of_a_full_one_takes_the_first_images_of_each_class(fake, monkeypatch):
    monkeypatch.setattr(_sources, "MINI_PER_CLASS", {"train": 2, "validation": 1, "test": 1})
    put(fake.files, fake.root / "cache" / "MNIST" / "raw")
    full, small = ap.load("mnist", "full"), ap.load("mnist", "mini")
    assert small.size == "mini"
    for part, each in (("train", 2), ("validation", 1), ("test", 1)):
        seen, expected = collections.Counter(), []
        whole = getattr(full, part)
        for index, label in zip(whole.indices.tolist(), whole.labels.tolist(), strict=True):
            seen[label] += 1
            if seen[label] <= each:
                expected.append(index)
        assert getattr(small, part).indices.tolist() == expected
        of_full = dict(zip(whole.indices.tolist(), whole.images, strict=True))
        assert all(torch.equal(of_full[index], image)
                   for index, image in zip(expected, getattr(small, part).images, strict=True))


def test_the_places_and_their_order(nowhere, monkeypatch):
    mine, cache, system = nowhere / "mine", nowhere / "cache", nowhere / "debian"
    mine.mkdir()
    monkeypatch.setenv("APDNN_DATA", str(mine))
    assert data.places("fashion_mnist") == [
        mine / "FashionMNIST" / "raw",
        cache / "FashionMNIST" / "raw",
        system / "fashion-mnist",
    ]
    assert data.places("cifar10") == [
        mine / "cifar-10-batches-py",
        mine / "cifar-10-python.tar.gz",
        cache / "cifar-10-batches-py",
        cache / "cifar-10-python.tar.gz",
        system / "cifar-10-batches-py",
    ]
    assert data.places("cifar10_jpeg") == [
        mine / "cifar10-jpeg.tar.gz",
        cache / "cifar10-jpeg.tar.gz",
    ]
    for unset in ("", " ", None):
        monkeypatch.setenv("APDNN_DATA", unset) if unset is not None else monkeypatch.delenv(
            "APDNN_DATA"
        )
        assert data.places("mnist") == [cache / "MNIST" / "raw", system / "mnist"]


def test_debian_puts_them_where_this_package_looks():
    assert Path("/usr/share/datasets") == _sources.SYSTEM


def test_a_tilde_is_the_home_folder(nowhere, monkeypatch):
    monkeypatch.setenv("HOME", str(nowhere))
    (nowhere / "sets").mkdir()
    monkeypatch.setenv("APDNN_DATA", "~/sets")
    assert data.places("mnist")[0] == nowhere / "sets" / "MNIST" / "raw"


def test_the_table_of_sources():
    assert [
        (name, source.shape, len(source.classes), source.train_images, source.test_images)
        for name, source in data.SOURCES.items()
    ] == [
        ("mnist", (1, 28, 28), 10, 60_000, 10_000),
        ("fashion_mnist", (1, 28, 28), 10, 60_000, 10_000),
        ("cifar10", (3, 32, 32), 10, 50_000, 10_000),
        ("cifar10_jpeg", (3, 32, 32), 10, 50_000, 10_000),
    ]
    assert {name: source.torchvision for name, source in data.SOURCES.items()} == {
        "mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar10_jpeg": ""}
    assert data.CLASSES == {
        "mnist": data.DIGITS,
        "fashion_mnist": data.CLOTHES,
        "cifar10": data.OBJECTS,
        "cifar10_jpeg": data.OBJECTS,
    }
    assert data.DIGITS == tuple("0123456789") and data.OBJECTS == tuple(sorted(data.OBJECTS))
    assert data.CLOTHES[6:] == ("shirt", "sneaker", "bag", "ankle boot")


def test_the_checksums_are_those_that_torchvision_has():
    from apdnn_lite._torchvision import import_torchvision
    cifar = import_torchvision().datasets.CIFAR10
    assert dict(cifar.train_list + cifar.test_list) == data.SOURCES["cifar10"].checksums
    for name in ("mnist", "fashion_mnist"):
        assert tuple(data.SOURCES[name].checksums) == IDX_FILES


def test_the_first_place_that_has_the_set_is_taken(fake, monkeypatch):
    (fake.root / "mine").mkdir()
    monkeypatch.setenv("APDNN_DATA", str(fake.root / "mine"))
    read, read_verified = [], _files.read_verified
    monkeypatch.setattr(
        _files,
        "read_verified",
        lambda path, checksum: read.append(path.parent) or read_verified(path, checksum),
    )
    assert len(data.places("mnist")) == 3
    # From the last place to the first: each one added is preferred to those after it.
    for place in reversed(data.places("mnist")):
        put(fake.files, place, packed=True)
        read.clear()
        ap.load("mnist", "full")
        assert set(read) == {place} and len(read) == 4


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files_are_read_in_their_other_spelling(fake, end):
    put({name.replace("-idx", ".idx"): content for name, content in fake.files.items()},
        fake.root / "cache" / "MNIST" / "raw", packed=bool(end))
    np.testing.assert_array_equal(ap.load("mnist", "full").test.labels, fake.arrays[3])


def no_download(monkeypatch):
    def tried(*args, **options):
        raise AssertionError("a download was tried")
    pretend_torchvision(monkeypatch, MNIST=tried, CIFAR10=tried, FashionMNIST=tried)


def test_a_variable_that_names_no_folder_is_refused_and_nothing_is_downloaded(fake, monkeypatch):
    put(fake.files, fake.root / "cache" / "MNIST" / "raw")  # not even this is taken
    no_download(monkeypatch)
    (fake.root / "file").touch()
    for what, message in (("misspelt", "does not exist"), ("file", "is not a folder")):
        monkeypatch.setenv("APDNN_DATA", str(fake.root / what))
        with pytest.raises(
            DataError,
            match=f"APDNN_DATA names {fake.root / what}, which {message}. Name the folder",
        ):
            ap.load("mnist", "full")
        assert len(ap.load("fashion_mnist").train) == 10_000  # needs no folder


def test_a_folder_that_may_not_be_read_is_refused(nowhere, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(nowhere))
    for missing in (os.R_OK, os.X_OK):
        monkeypatch.setattr(os, "access", lambda path, mode, missing=missing: not mode & missing)
        with pytest.raises(DataError, match=f"names {nowhere}, which may not be read by this user"):
            data.places("mnist")


def test_a_folder_without_the_set_is_described_and_nothing_is_downloaded(fake, monkeypatch):
    raw = fake.root / "mine" / "MNIST" / "raw"
    put(fake.files, raw)
    no_download(monkeypatch)
    monkeypatch.setenv("APDNN_DATA", str(raw))
    with pytest.raises(DataError) as raised:
        ap.load("mnist", "full")
    held = ", ".join(sorted(IDX_FILES))
    assert f"APDNN_DATA names {raw}, which holds {held}.\n" in str(raised.value)
    assert "Nothing is downloaded while APDNN_DATA is set" in str(raised.value)
    for number in range(5):
        (raw / f"u{number}").touch()
    with pytest.raises(DataError, match="u0, u1, u2, u3 and more[.]"):
        ap.load("mnist", "full")
    (fake.root / "empty").mkdir()
    monkeypatch.setenv("APDNN_DATA", str(fake.root / "empty"))
    with pytest.raises(DataError, match="which holds nothing[.]"):
        ap.load("mnist", "full")
    put(fake.files, fake.root / "cache" / "MNIST" / "raw")
    assert len(ap.load("mnist", "full").test) == 20  # what is in the cache needs no download


def test_a_partly_present_set_is_refused_and_says_what_is_missing(fake):
    folder = fake.root / "cache" / "MNIST" / "raw"
    put(fake.files, folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DataError,
        match="raw holds only a part of the set: missing t10k-labels-idx1-ubyte .unpacked or",
    ):
        ap.load("mnist", "full")


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-5],
        lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:],
        lambda content: b"",
    ],
    ids=["truncated", "altered", "empty"],
)
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
    expected, found = (
        data.SOURCES["mnist"].checksums["train-labels-idx1-ubyte"],
        hashlib.sha256(b"other").hexdigest(),
    )
    with pytest.raises(
        DataError, match=f"expected SHA-256 {expected}, found {found} .5 bytes.. Remove the file"
    ):
        ap.load("mnist", "full")


def pretend_torchvision(monkeypatch, **datasets):
    monkeypatch.setattr(_sources, "import_torchvision", lambda: types.SimpleNamespace(
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

    monkeypatch.setattr(_sources, "cache_folder", lambda: fake.root / "another cache")
    download({**fake.files, "train-labels-idx1-ubyte": b"of somebody else"})
    with pytest.raises(DataError, match="train-labels-idx1-ubyte is truncated or altered"):
        ap.load("fashion_mnist", "full")


@pytest.mark.parametrize(
    "name, torchvision_name",
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("cifar10", "CIFAR10")],
)
@pytest.mark.parametrize(
    "error",
    [OSError("no route"), RuntimeError("Error downloading"), http.client.IncompleteRead(b"half")],
    ids=["OS", "Runtime", "HTTP"],
)
def test_with_no_network_the_error_names_the_places_and_the_ways(
    nowhere, monkeypatch, name, torchvision_name, error
):
    def unreachable(*args, **options):
        raise error
    pretend_torchvision(monkeypatch, **{torchvision_name: unreachable})
    with pytest.raises(DataError) as raised:
        ap.load(name, "full")
    first, looked, *rest = str(raised.value).split("\n")
    assert first == f"{name} (size 'full') was not found." and looked == "Looked for:"
    places = data.places(name)
    assert rest[:len(places)] == [f"  {place}" for place in places]
    source = data.SOURCES[name]
    advice = (
        ", or install Debian's package dataset-fashion-mnist" if name == "fashion_mnist" else ""
    )
    assert rest[len(places) :] == [
        f"It could not be downloaded ({error}): connect to the internet and call load again.",
        (
            f"Or put {' or '.join(source.lies_at)} into a folder and set the environment variable"
            f" APDNN_DATA to that folder{advice}."
        ),
        "Without it, load('fashion_mnist', size='mini') needs no network.",
    ]


def test_a_download_that_leaves_nothing_is_reported(nowhere, monkeypatch):
    pretend_torchvision(
        monkeypatch, MNIST=lambda root, download: (root / "MNIST" / "raw").mkdir(parents=True)
    )
    with pytest.raises(DataError, match="torchvision downloaded it to some other place"):
        ap.load("mnist", "full")


def test_torchvision_itself_without_a_network(nowhere, capsys):
    with pytest.raises(
        DataError, match="(?s)mnist .size 'full'. was not found.*It could not be downloaded"
    ):
        ap.load("mnist", "full")


class Python2Pickler(pickle._Pickler):
    """Writes as Python 2 did, with which CIFAR-10 was made: text and bytes are one kind."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_str(self, text):
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_str


def batch(pixels, labels, name):
    """One of CIFAR-10's files: a pickle of a dict with the keys that the author's have."""
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump({
        "data": pixels, "labels": labels, "batch_label": name,
        "filenames": [f"{label}_{place}.png" for place, label in enumerate(labels)]})
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.fixture
def batches(nowhere, monkeypatch):
    """CIFAR-10 in its author's format: 5 × 6 images to train, 4 to test, known to the package."""
    generator = np.random.default_rng(0)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    arrays = {
        name: (
            generator.integers(256, size=(4 if name == "test_batch" else 6, 3072), dtype=np.uint8),
            generator.integers(10, size=4 if name == "test_batch" else 6).tolist(),
        )
        for name in names
    }
    files = {name: batch(*each, name) for name, each in arrays.items()}
    expect(monkeypatch, "cifar10", files, hashlib.md5)
    monkeypatch.setattr(_sources, "VALIDATION_IMAGES", 10)
    return types.SimpleNamespace(root=nowhere / "cache", arrays=arrays, files=files)


def pack(files, path, folder="cifar-10-batches-py"):
    """The files in an archive, the last one first, after a folder and files that are no part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = pickle.dumps({"num_cases_per_batch": 6, "num_vis": 3072, "label_names": data.OBJECTS})
    others = {"batches.meta": meta, "readme.html": b"<html>"}
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(f"{folder}/test_batch")  # a folder of a batch's name is no batch
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        for name, content in reversed((files | others).items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_cifar10_is_read_as_its_author_publishes_it(batches, packed):
    if packed:
        pack(batches.files, batches.root / "cifar-10-python.tar.gz")
    else:
        put(batches.files, batches.root / "cifar-10-batches-py")
    full = ap.load("cifar10", "full")
    assert [len(getattr(full, part)) for part in PARTS] == [
        20,
        10,
        4,
    ] and full.classes == data.OBJECTS
    train = [batches.arrays[f"data_batch_{number}"] for number in range(1, 6)]
    joined = np.concatenate([each[0] for each in train]), sum((each[1] for each in train), [])
    for split, pixels, labels in ((full.train, *joined), (full.validation, *joined),
                                  (full.test, *batches.arrays["test_batch"])):
        assert split.images.shape[1:] == (3, 32, 32)
        for image, label, index in zip(split.images, split.labels, split.indices, strict=True):
            assert label == labels[index]
            for channel, row, column in (
                (0, 0, 0),
                (1, 3, 5),
                (2, 31, 30),
            ):  # rows of red, then green, then blue
                assert image[channel, row, column] * 255 == pytest.approx(
                    pixels[index][1024 * channel + 32 * row + column], abs=1e-4)


class Bomb:
    """A pickle that leaves a trace when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_no_pickle_is_opened_before_all_checksums_are_right(batches, packed):
    trace = batches.root.parent / "trace"
    files = {
        **batches.files,
        "data_batch_1": pickle.dumps(Bomb(trace)),
        "test_batch": pickle.dumps(Bomb(trace)),
    }
    if packed:
        pack(files, batches.root / "cifar-10-python.tar.gz")
    else:
        put(files, batches.root / "cifar-10-batches-py")
    expected, found = (
        hashlib.md5(each["data_batch_1"]).hexdigest() for each in (batches.files, files)
    )
    with pytest.raises(
        DataError,
        match=f"data_batch_1.* is truncated or altered: expected MD5 {expected}, found {found}",
    ):
        ap.load("cifar10", "full")
    assert not trace.exists()
    pickle.loads(files["test_batch"])
    assert trace.exists(), "this test could not have failed"


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_a_part_of_cifar10_is_refused_and_none_of_it_is_not_it(batches, packed):
    del batches.files["data_batch_3"], batches.files["test_batch"]
    pack(batches.files, batches.root / "cifar-10-python.tar.gz") if packed else put(
        batches.files, batches.root / "cifar-10-batches-py")
    with pytest.raises(
        DataError,
        match="holds only a part of the set: missing data_batch_3, test_batch; expected "
              "data_batch_1, .*, test_batch[.] Complete it, or remove it and load again",
    ):
        ap.load("cifar10", "full")


def test_an_archive_of_something_else_is_refused(batches):
    pack({}, batches.root / "cifar-10-python.tar.gz")
    with pytest.raises(DataError, match="missing data_batch_1, .*, test_batch; expected"):
        ap.load("cifar10", "full")


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_a_pickle_that_runs_something_is_refused_even_with_the_right_checksum(
    batches, packed, monkeypatch
):
    trace = batches.root.parent / "trace"
    files = batches.files | {"data_batch_2": pickle.dumps(Bomb(trace), protocol=2)}
    expect(monkeypatch, "cifar10", files, hashlib.md5)
    if packed:
        pack(files, batches.root / "cifar-10-python.tar.gz")
    else:
        put(files, batches.root / "cifar-10-batches-py")
    with pytest.raises(
        DataError, match="data_batch_2, would run .*: expected arrays, lists and text alone[.] Do"
    ):
        ap.load("cifar10", "full")
    assert not trace.exists()


def test_the_toy_batches_are_written_as_the_authors_are(batches):
    """By the names that Python 2 and the NumPy of that time wrote, and by no others."""
    names = {argument for operation, argument, _ in pickletools.genops(
        batches.files["test_batch"]) if operation.name == "GLOBAL"}
    assert names == {" ".join(each) for each in _files.ArraysOnly.NEEDED}
    opened = pickle.loads(batches.files["test_batch"], encoding="bytes")
    assert set(opened) == {b"data", b"labels", b"batch_label", b"filenames"}


def test_the_whole_of_cifar10_s_table_needs_nothing_but_its_archive(
    batches, monkeypatch, tmp_path, capsys
):
    """From the archive to the report, by the commands that a reader types."""
    pack(batches.files, tmp_path / "sets" / "cifar-10-python.tar.gz")
    monkeypatch.setenv("APDNN_DATA", str(tmp_path / "sets"))
    monkeypatch.setattr(_files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setitem(recipes.FULL_RECIPES, ("cifar10", "resnet20"),
                        recipes.Recipe(epochs=1, batch_size=10, crop=4, flip=True))
    folder = ["--folder", str(tmp_path / "records")]
    assert cli.main(["reproduce", "table1", "--only", "cifar10", "--device", "cpu", *folder]) == 0
    assert "All 4 are recorded" in capsys.readouterr().out
    assert cli.main(["report", *folder]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("cifar10 resnet20 ")]
    assert [row[2] for row in rows] == ["baseline", "fixed", "learned", "generator"]
    assert {row[-1] for row in rows} == {"1"} and "cifar10" not in out.splitlines()[-1]
    record = Archive(tmp_path / "records").read(tables.cell("cifar10", "resnet20", "fixed"))
    assert record["came_out"]["test"]["authorized"]["images"] == 4


def test_a_folder_without_a_batch_is_passed_over(batches):
    put({"notes": b""}, batches.root / "cifar-10-batches-py")
    pack(batches.files, batches.root / "cifar-10-python.tar.gz")
    assert len(ap.load("cifar10", "full").test) == 4


def broken_inside(content):
    """A .gz whose first 20,000 bytes are good, then comes what no compressor writes."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(gzip.decompress(content)[:20_000])
    return start + packer.flush(zlib.Z_FULL_FLUSH) + 100 * b"\xff"


@pytest.mark.parametrize("damage", [
    lambda content: b"",
    lambda content: b"no archive",
    lambda content: content[:len(content) // 2],
    broken_inside,
], ids=["empty", "text", "half", "broken inside"])
def test_a_damaged_archive_is_refused(batches, damage):
    path = batches.root / "cifar-10-python.tar.gz"
    pack(batches.files, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        DataError,
        match="(?s)cifar-10-python.tar.gz is truncated or not an archive .*: expected a tar "
              "archive of data_batch_1, .*, test_batch[.] Remove it and load again[.]",
    ):
        ap.load("cifar10", "full")


def jpeg_archive(path, monkeypatch):
    """An archive like that of the JPEG copy.

    It has 3 training and 2 test pictures of each class, each of one gray.
    """
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
    expect(monkeypatch, "cifar10_jpeg", {"cifar10-jpeg.tar.gz": path.read_bytes()})
    monkeypatch.setattr(_sources, "VALIDATION_IMAGES", 10)
    return shades


def test_the_jpeg_copy_of_cifar10_is_read_in_the_order_of_the_names(nowhere, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(nowhere))
    shades = jpeg_archive(nowhere / "cifar10-jpeg.tar.gz", monkeypatch)
    full = ap.load("cifar10_jpeg", "full")
    assert full.name == "cifar10_jpeg" and [
        len(split) for split in (full.train, full.validation, full.test)
    ] == [20, 10, 20]
    for split, part, count in (
        (full.train, "train", 3),
        (full.validation, "train", 3),
        (full.test, "test", 2),
    ):
        for image, label, index in zip(split.images, split.labels, split.indices, strict=True):
            kind, number = data.OBJECTS[int(index) // count], int(index) % count
            assert label == data.OBJECTS.index(kind)
            np.testing.assert_allclose(255 * image, shades[part, kind, number], atol=1)


def test_without_the_jpeg_copy_the_error_says_that_it_cannot_be_downloaded(nowhere, monkeypatch):
    monkeypatch.setenv("APDNN_DATA", str(nowhere))
    with pytest.raises(DataError, match="It cannot be downloaded[.]") as raised:
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
    images = (
        np.arange(count, dtype=np.float32)[:, None, None, None]
        / count
        * np.ones((1, 1, 2, 2), np.float32)
    )
    own = ap.from_arrays(images, np.zeros(count, int), validation=validation, test=test, seed=seed)
    indices = torch.cat([getattr(own, part).indices for part in PARTS])
    assert sorted(indices.tolist()) == list(range(count))
    for part in PARTS:
        split = getattr(own, part)
        np.testing.assert_array_equal(split.images, images[split.indices.numpy()])
    assert (
        abs(len(own.test) - count * test) <= 1
        and abs(len(own.validation) - count * validation) <= 1
    )


def test_from_arrays_is_drawn_by_the_seed():
    images, labels = np.random.default_rng(0).random((50, 1, 4, 4)), np.arange(50) % 3
    first, again, other = (
        ap.from_arrays(images, labels, seed=seed).test.indices for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_from_arrays_takes_bytes_or_floats_gray_or_color(dtype, channels):
    levels = np.random.default_rng(0).integers(256, size=(10, channels, 5, 5), dtype=np.uint8)
    own = ap.from_arrays(
        levels if dtype == np.uint8 else levels.astype(dtype) / 255,
        [0, 1] * 5,
        ["cat", "dog"],
        "pets",
    )
    np.testing.assert_allclose(
        own.train.images, levels[own.train.indices] / np.float32(255), rtol=1e-6
    )
    assert (
        own.classes == ("cat", "dog")
        and own.name == "pets"
        and own.train.images.dtype == torch.float32
    )


def test_from_arrays_counts_the_classes_by_itself():
    assert ap.from_arrays(torch.rand(20, 1, 4, 4), [0, 1, 2, 3] * 5).classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    "images, labels, options, message",
    [
        (
            torch.rand(9, 4, 4),
            [0] * 9,
            {},
            r"must be of shape \(N, C, H, W\), found \(9, 4, 4\). Gray .* need images\[:, None\]",
        ),
        (
            torch.rand(9, 1, 4, 4),
            [0] * 8,
            {},
            r"expected one label for each of 9 images, found labels of shape \(8,\)",
        ),
        (torch.rand(9, 1, 4, 4), [0.0] * 9, {}, "labels must be integers, found torch.float64"),
        (torch.rand(9, 4, 4, 3), [0] * 9, {}, "channels-last"),
        (torch.rand(9, 1, 4, 4) * 255, [0] * 9, {}, "pixels must lie in"),
        (torch.rand(9, 1, 4, 4), [-1] + [0] * 8, {}, "labels must lie in"),
        (
            torch.rand(9, 1, 4, 4),
            [5] * 9,
            {"classes": ["one", "two"]},
            r"labels must lie in 0 … 1 \(2 classes\), found 5 … 5",
        ),
        (
            torch.rand(9, 1, 4, 4),
            [0] * 9,
            {"validation": 0},
            "above 0 and together below 1; found 0 and 0.2",
        ),
        (torch.rand(9, 1, 4, 4), [0] * 9, {"validation": 0.5, "test": 0.5}, "found 0.5 and 0.5"),
        (torch.rand(9, 1, 4, 4), [0] * 9, {"test": 0.01}, "test split: there are no images"),
        (torch.rand(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64), {}, "there are no images"),
    ],
)
def test_from_arrays_refuses(images, labels, options, message):
    with pytest.raises(DataError, match=f"own images.*{message}"):
        ap.from_arrays(images, labels, **options)


@pytest.fixture
def pictures(tmp_path):
    """root/cat and root/dog with six pictures of 6×6 pixels each, in levels that differ."""
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
        for image, label, index in zip(*vars(getattr(own, part)).values(), strict=True):
            assert label == index // 6  # ordered by class, then by name
            expected = torch.tensor([20.0 * (index % 6), 100.0 * label, 7]) / 255
            torch.testing.assert_close(image, expected[:, None, None].expand(3, 6, 6))


def test_from_folder_gray_and_resized(pictures):
    own = ap.from_folder(pictures, image_size=9, gray=True, name="mine")
    assert own.train.images.shape[1:] == (1, 9, 9) and own.name == "mine"
    # ITU-R 601: the gray of red, green and blue, rounded by PIL.
    red, green = 20 * (own.train.indices % 6), 100 * own.train.labels
    gray = (0.299 * red + 0.587 * green + 0.114 * 7) / 255
    torch.testing.assert_close(own.train.images[:, 0, 4, 4], gray.float(), rtol=0, atol=1.1 / 255)


def test_the_british_spelling_of_gray_is_understood(pictures):
    british = {"grey": True}  # codespell:ignore grey
    assert ap.from_folder(pictures, **british).sha256 == ap.from_folder(pictures, gray=True).sha256


def test_from_folder_takes_gray_pictures_as_color(pictures):
    for path in pictures.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert ap.from_folder(pictures).train.images.shape[1:] == (3, 6, 6)


@pytest.mark.parametrize("size", [(5, 5), (6, 5)])
def test_pictures_of_differing_sizes_need_image_size(pictures, size):
    Image.new("RGB", size).save(pictures / "dog" / "3.png")
    with pytest.raises(
        DataError, match=f"3.png is {size[0]}×{size[1]} pixels: expected 6×6.* Pass image_size"
    ):
        ap.from_folder(pictures)
    assert ap.from_folder(pictures, image_size=6).train.images.shape[1:] == (3, 6, 6)


def test_one_picture_that_is_not_square_is_refused(pictures):
    for path in pictures.rglob("*.png"):
        Image.new("RGB", (6, 4)).save(path)
    with pytest.raises(DataError, match="is 6×4 pixels: expected 6×6, square"):
        ap.from_folder(pictures)


def truncated_png():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(6, 6, 3), dtype=np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()[:80]


@pytest.mark.parametrize(
    "content", [b"", b"no picture", truncated_png()], ids=["empty", "text", "truncated"]
)
def test_a_broken_picture_is_named(pictures, content):
    (pictures / "cat" / "2.png").write_bytes(content)
    with pytest.raises(DataError, match="2.png cannot be read as a picture"):
        ap.from_folder(pictures)


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val", "test")])
def test_splits_are_not_taken_for_classes(tmp_path, pictures, names):
    for name in names:
        shutil.copytree(pictures, tmp_path / "divided" / name)
    with pytest.raises(DataError, match="look like splits.*Pass one of these folders"):
        ap.from_folder(tmp_path / "divided")
    assert ap.from_folder(tmp_path / "divided" / names[0]).classes == ("cat", "dog")


@pytest.mark.parametrize("names", [("train", "test"), ("train", "bus")])
def test_classes_may_be_called_like_splits(tmp_path, pictures, names):
    for name in names:  # pictures lie in the class itself, or another name stands beside
        inside = name if names == ("train", "test") else f"{name}/cat"
        shutil.copytree(pictures / "cat", tmp_path / "vehicles" / inside)
    assert ap.from_folder(tmp_path / "vehicles").classes == tuple(sorted(names))


def test_no_tree_of_pictures(tmp_path, pictures):
    (tmp_path / "empty" / "class").mkdir(parents=True)
    for root in (
        tmp_path / "gone",
        pictures / "cat",
        pictures / "cat" / "1.png",
        tmp_path / "empty",
    ):
        with pytest.raises(
            DataError,
            match="expected one folder of pictures for each class, as in root/cat/001.png",
        ):
            ap.from_folder(root)


def one_picture(root, picture, **options):
    """The image of the set whose pictures all are the one that ``picture(path)`` saves."""
    for animal in ("cat", "dog"):
        (root / animal).mkdir(parents=True)
        for number in range(10):
            picture(root / animal / f"{number}.{options.get('end', 'png')}")
    return ap.from_folder(root, gray=options.get("gray", True)).test.images[0]


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = np.array(
        [[0, 128, 129, 257], [32768, 65535, 256, 385], [386, 1, 2, 3], [0, 0, 0, 65406]], np.uint16
    )
    for end in ("png", "tif"):
        image = one_picture(tmp_path / end, Image.fromarray(values).save, end=end)
        np.testing.assert_allclose(image[0] * 255, np.round(values / 257), atol=1e-4)


def test_transparent_parts_are_white(tmp_path):
    values = np.zeros((2, 2, 4), np.uint8)
    values[0, 0, 3], values[0, 1] = 255, (255, 0, 0, 255)
    image = one_picture(tmp_path / "a", Image.fromarray(values).save, gray=False)
    assert (image * 255).int().tolist() == [
        [[0, 255], [255, 255]],
        [[0, 0], [255, 255]],
        [[0, 0], [255, 255]],
    ]


def test_a_picture_is_turned_as_its_exif_data_says(tmp_path):
    values, exif = np.arange(9, dtype=np.uint8).reshape(3, 3), Image.Exif()
    exif[274] = 6
    image = one_picture(tmp_path / "a", lambda path: Image.fromarray(values).save(path, exif=exif))
    np.testing.assert_allclose(image[0] * 255, np.rot90(values, -1), atol=1e-4)


def test_hidden_files_and_folders_are_skipped(pictures):
    for folder in (".ipynb_checkpoints", "__MACOSX"):
        (pictures / folder).mkdir()
        (pictures / "cat" / folder).mkdir()
        Image.new("RGB", (6, 6)).save(pictures / "cat" / folder / "1.png")
    (pictures / "cat" / "._1.png").write_bytes(b"no picture")
    (pictures / "cat" / "notes.txt").touch()
    own = ap.from_folder(pictures)
    assert own.classes == ("cat", "dog") and sum(len(getattr(own, part)) for part in PARTS) == 12


def test_a_picture_too_large_for_pillow_is_named(pictures, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="0.png cannot be read as a picture .*exceeds limit"):
        ap.from_folder(pictures)


def test_thirty_two_bits_are_refused(pictures):
    Image.fromarray(np.full((6, 6), 7, np.int32)).save(pictures / "cat" / "0.tif")
    with pytest.raises(DataError, match="0.tif cannot be read .*32 bits a value, mode 'I'"):
        ap.from_folder(pictures)


@pytest.mark.parametrize("size", [0, -4, 8.0, True, "8"])
def test_an_impossible_image_size_is_refused(pictures, size):
    with pytest.raises(DataError, match="image_size must be a whole number, 1 or more, got"):
        ap.from_folder(pictures, image_size=size)


def test_the_name_of_a_folder(pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("HOME", str(pictures.parent))
    assert ap.from_folder(".").name == "pets" and ap.from_folder("~/pets").name == "pets"


# ---- arrays of every kind

def test_arrays_of_other_layouts_orders_and_lists_are_the_same_set():
    pixels, labels = np.random.default_rng(0).random((40, 1, 8, 8)), np.arange(40) % 4
    expected = ap.from_arrays(pixels.copy(), labels).sha256
    for images, numbers in (
        (pixels[..., ::-1].copy()[..., ::-1], labels[::-1].copy()[::-1]),
        (pixels.astype(">f8"), labels.astype(">i4")),
        ([torch.tensor(each) for each in pixels], [torch.tensor(each) for each in labels]),
        (pixels.tolist(), labels.astype(np.uint8)),
    ):
        assert ap.from_arrays(images, numbers).sha256 == expected


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": None}, "must be numbers, found object"),
        ({"images": [[1], [1, 2]]}, "must be one array"),
        (
            {"images": torch.zeros(40, 1, 8, 8, dtype=torch.int64)},
            "pixels must be uint8, or floating point",
        ),
        ({"images": torch.rand(40, 1, 8, 8) * 255}, "Divide pixels of 0 … 255 by 255"),
        ({"labels": ["cat", "dog"] * 20}, "Number them: names, labels = numpy.unique"),
        ({"labels": np.arange(40) % 2 == 0}, "found torch.bool. If True is class 1"),
        ({"labels": np.full(40, 40)}, "labels must number the classes from 0"),
        ({"classes": "abcd"}, "classes must be a list"),
        ({"classes": 4}, "classes must be a list"),
        ({"classes": ["a", "a", "b", "c"]}, "each name once"),
        ({"classes": []}, "classes must be a list"),
        ({"classes": list("abcde")}, r"no training image is left of class 'e' \(0 in all\)"),
        ({"seed": 2**32}, "seed must be a whole number from 0 to"),
        ({"seed": -1}, "seed must be"),
        ({"validation": "a"}, "above 0 and together below 1"),
    ],
)
def test_other_arrays_are_refused(change, message):
    arguments = {"images": torch.rand(40, 1, 8, 8), "labels": np.arange(40) % 4} | change
    with pytest.raises(DataError, match=f"own images.*{message}"):
        ap.from_arrays(**arguments)


def test_classes_may_be_an_array():
    own = ap.from_arrays(
        torch.rand(40, 1, 8, 8), np.arange(40) % 2, classes=np.array(["cat", "dog"])
    )
    assert own.classes == ("cat", "dog") and {type(each) for each in own.classes} == {str}


def test_a_split_in_a_loop_and_in_a_dataloader():
    split = toy_split(5)
    for number, (image, label) in enumerate(split):
        assert torch.equal(image, split.images[number]) and label == split.labels[number]
    batches = list(torch.utils.data.DataLoader(split, batch_size=2))
    assert torch.equal(torch.cat([images for images, _ in batches]), split.images)
    assert torch.equal(torch.cat([labels for _, labels in batches]), split.labels)
    assert torch.equal(split[np.arange(5)[::-1]].labels, split.labels.flip(0))
    for index in (0, -1, np.int64(2), torch.tensor(1), None):
        with pytest.raises(TypeError, match="use a slice such as split.3:4."):
            split[index]
    empty = split[split.labels == 11]
    assert len(empty) == 0 and list(empty) == [] and repr(empty) == "Split(0 images of 1×8×8)"


# ---- the real full set, where there is one

@pytest.fixture(scope="module")
def full():
    if not Path(os.environ.get("APDNN_DATA") or "nowhere", "FashionMNIST", "raw").is_dir():
        pytest.skip("no full Fashion-MNIST in $APDNN_DATA")
    return ap.load("fashion_mnist", "full")


def test_the_splits_of_the_full_set(full):
    assert [len(getattr(full, part)) for part in PARTS] == [55_000, 5_000, 10_000]
    assert not set(full.train.indices.tolist()) & set(full.validation.indices.tolist())


@pytest.mark.parametrize("part", PARTS)
def test_mini_is_a_part_of_the_full_set_by_index_and_by_pixel(mini, full, part):
    small, large = getattr(mini, part), getattr(full, part)
    place = {index: row for row, index in enumerate(large.indices.tolist())}
    rows = torch.tensor([place[index] for index in small.indices.tolist()])
    assert torch.equal(small.images, large.images[rows]) and torch.equal(
        small.labels, large.labels[rows]
    )


def test_the_shipped_file_is_what_the_tool_cuts():
    if not Path(os.environ.get("APDNN_DATA") or "nowhere", "FashionMNIST", "raw").is_dir():
        pytest.skip("no full Fashion-MNIST in $APDNN_DATA")
    cut, shipped = (
        _sources.cut_mini(_sources.cut_validation(*_sources.find("fashion_mnist"))),
        _sources.read_mini(),
    )
    for part in PARTS:
        for one, other in zip(cut[part], shipped[part], strict=True):
            np.testing.assert_array_equal(one, other)


# ---- what a split and a set are as objects

@pytest.mark.parametrize("made", [toy_split, toy_set], ids=["split", "set"])
def test_they_cannot_be_changed_and_are_told_apart_by_what_they_are(made):
    """Comparing their tensors would raise; two loads are two sets, so is one made of another."""
    one, other = made(), made()
    assert one == one and one != other and len({one, other}) == 2
    assert one != dataclasses.replace(one)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "another"


def test_images_without_labels_are_noticed_by_whoever_reads_them():
    split = ap.Split(torch.zeros(3, 1, 4, 4), torch.zeros(2).long(), torch.arange(3))
    with pytest.raises(ValueError, match="shorter"):
        list(split)


@pytest.mark.parametrize("ask", [
    lambda: toy_split().to("card"),
    lambda: toy_set().to("card"),
    lambda: ap.load("fashion_mnist", device="card"),
    lambda: ap.from_arrays(torch.zeros(30, 1, 4, 4), torch.arange(30) % 2, device="card"),
], ids=["split", "set", "load", "from_arrays"])
def test_a_device_that_is_not_there(ask):
    with pytest.raises(ValueError, match="there is no device 'card' here: expected 'auto' or one"):
        ask()


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(monkeypatch):
    def read(*arguments):
        raise AssertionError("an image was looked at")

    monkeypatch.setattr(_sources, "read_set", read)
    monkeypatch.setattr(_arrays, "as_images", read)
    for ask in (lambda: ap.load("fashion_mnist", device="card"),
                lambda: ap.from_arrays([], [], device="card")):
        with pytest.raises(ValueError, match="there is no device 'card' here"):
            ask()


def test_auto_is_a_device():
    expected = ap.pick_device("auto")
    for found in (toy_split().to("auto"), ap.from_arrays(
            torch.zeros(30, 1, 4, 4), torch.arange(30) % 2, device="auto").train):
        assert found.images.device.type == expected.type


def test_the_shares_and_the_seed_of_from_arrays_by_default():
    images, labels = torch.arange(100.0).reshape(100, 1, 1, 1) / 100, torch.arange(100) % 2
    by_default = ap.from_arrays(images, labels)
    said = ap.from_arrays(images, labels, validation=0.1, test=0.2, seed=0)
    other = ap.from_arrays(images, labels, validation=0.1, test=0.2, seed=1)
    assert by_default.name == "own images" and by_default.size == "own"
    assert [len(getattr(by_default, part)) for part in PARTS] == [70, 10, 20]
    for part in PARTS:
        found, expected = getattr(by_default, part), getattr(said, part)
        assert torch.equal(found.indices, expected.indices)
        assert not torch.equal(found.indices, getattr(other, part).indices)
