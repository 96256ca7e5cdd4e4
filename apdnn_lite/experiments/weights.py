"""Networks by their names in records, and trained ones in files: one safetensors file for each.

A weight file belongs to the record beside it, which names its checksum.
"""

from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .. import _files, data
from .._checkpoint import tensors_under
from ..models import ResNet20, SimpleCNN
from ..transforms import Fixed, Generator, Learned, Transform
from .recipes import checked_name, image_shape
from .records import RecordError, archive_of

KINDS = {"fixed": Fixed, "fixed-clipped": Fixed, "learned": Learned, "generator": Generator}


def build(network, in_channels, num_classes, image_size):
    """An untrained network by its name in records."""
    if network == "simple_cnn":
        return SimpleCNN(in_channels, num_classes, image_size)
    return ResNet20(in_channels, num_classes)


def make_transform(transform, shape, recipe, seed):
    """The owner's transform of a named run, None for the baseline."""
    if transform == "baseline":
        return None
    if transform == "learned":
        return Learned(shape, seed=seed)
    if transform == "generator":
        return Generator(shape[0], recipe.width, recipe.activation, seed=seed,
                         start=recipe.generator_start)
    return Fixed(shape, recipe.sigma, recipe.p, seed=seed, clip=transform.endswith("clipped"))


def save_weights(path, net, transform):
    """Store network and transform as one safetensors file; returns its name and checksum.

    The network's weights are rounded to float16, which halves the file; a transform is not.
    """
    tensors = {f"net.{name}": tensor.half() if tensor.is_floating_point() else tensor
               for name, tensor in net.state_dict().items()}
    if transform is not None:
        tensors |= {f"transform.{name}": tensor for name, tensor in transform.state_dict().items()}
    content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    try:
        _files.write_whole(path, content)
    except OSError as error:
        raise RecordError(f"{path} cannot be written ({error.strerror}).") from error
    return {"file": path.name, "sha256": _files.sha256_of(content), "stored_as": "float16"}


class Pretrained(NamedTuple):
    """A trained network in evaluation mode, the owner's transform (or None), and the record."""

    net: torch.nn.Module
    transform: Transform | None
    record: dict


def pretrained(dataset="fashion_mnist", network="resnet20", transform="fixed", size="full", seed=0,
               folder=None):
    """Load a trained network: ``net, key, record = pretrained(...)``.

    size: "full" for a network trained on the whole set (seed 0), "mini" for those trained on its
        small part (seeds 0, 1 and 2).
    folder: of records, by default of those that come with the package.

    The weight file is verified against the checksum in its record. Nothing random is drawn.
    Raises ValueError for an unknown name, :class:`RecordError` if there is no such network or a
    file is damaged, altered or in the wrong place.
    """
    return load_network(checked_name(dataset, network, transform, size, seed), archive_of(folder))


def load_network(name, archive):
    """The :class:`Pretrained` network of a name in an archive."""
    record = archive.read(name)
    holder = archive.holder(name)
    tensors = read_weights(name, record, holder.weights(name))
    shape = image_shape(name.dataset)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        net = build(name.network, shape[0], len(data.CLASSES[name.dataset]), shape[1])
        try:
            owner = make_again(name, record["asked"].get("settings"))
            for prefix, module in (("net.", net), ("transform.", owner)):
                if module is not None:
                    module.load_state_dict(tensors_under(prefix, tensors), assign=True)
            if owner is not None:
                owner.eval()(torch.zeros(1, *shape, dtype=torch.float32))  # refuses another shape
        except (TypeError, ValueError, RuntimeError) as error:
            raise RecordError(f"{holder.path(name)} and its weights do not fit together, or not a "
                              f"network that is known here: {error}") from error
    return Pretrained(net.eval(), owner, record)


def read_weights(name, record, file):
    """The tensors of a weight file, by name, if it is the one that the record names."""
    weights = record["came_out"].get("weights")
    if weights is None:
        raise RecordError(f"{name} is recorded, but its weights are not stored. "
                          "`python -m apdnn_lite list` shows which are.")
    return read_tensors(file, weights)


def read_tensors(file, weights):
    """The tensors of a file, by name, as float32, if it is what a record says of its weights."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise RecordError(f"{file} is missing: its record names it, but it is not stored here. "
                          "Restore the file, or train the network again.") from None
    except OSError as error:
        raise RecordError(f"{file} cannot be read ({error.strerror}).") from error
    found = _files.sha256_of(content)
    if found != weights["sha256"]:
        raise RecordError(f"{file} is altered or truncated: expected SHA-256 {weights['sha256']}, "
                          f"found {found} ({len(content):,} bytes). Restore the file.")
    try:
        return {name: tensor.float() if tensor.dtype == torch.float16 else tensor.clone()
                for name, tensor in load(content).items()}
    except SafetensorError as error:
        raise RecordError(f"{file} is no safetensors file ({error}).") from error


def make_again(name, settings):
    """The transform that a record's settings describe, None for a baseline.

    Raises ValueError if they are not those of a transform of the record's name, or make none.
    """
    if name.transform == "baseline":
        if settings is not None:
            raise ValueError(f"a baseline has no transform, found {settings!r}")
        return None
    kind, clip = KINDS[name.transform], name.transform.endswith("clipped")
    options = dict(settings or {})
    found = options.pop("kind", None), options.get("clip")
    if found != (kind.__name__, clip):
        raise ValueError(f"expected a transform of kind {kind.__name__} with clip={clip}, found "
                         f"kind {found[0]} with clip={found[1]}")
    return kind(**options)
