"""Records and networks of the part "What came before": one of each for a family and a seed.

A record is a JSON file with a checksum, like all others, and lies at FAMILY/seedN.json. The family
"plain" holds networks without any mark: seeds 0 to 2 are owners before they mark anything, seeds
100 to 109 are innocent, trained by others. Weights are stored as float16, and measured as stored.
"""

import copy

import torch
from safetensors.torch import save

from ... import _files
from ..._files import ASSETS
from ...evaluate import count_correct
from ...prior import TinyCNN
from ...training import fit
from ..records import RecordError, read_record, write_record
from ..runs import share as counted
from ..weights import read_tensors

PRIOR = ASSETS / "prior"
FAMILIES = ("weights", "activations", "poison", "frontier", "locks")
OWNERS, INNOCENT = range(3), range(100, 110)  # the seeds of plain networks that are stored
# Our choice: 20 seconds on one core.
PLAIN = {"epochs": 4, "lr": 3e-3, "batch_size": 64}


def share(net, split):
    """The accuracy of a network as records hold it: counts, share, and its 95% interval."""
    return counted(count_correct(net, split), len(split))


def as_stored(net):
    """A copy of a network whose weights are rounded to float16, as its file will hold them."""
    return copy.deepcopy(net).half().float().eval()


def train_plain(seed, data):
    """A network without any mark, as it will be stored."""
    torch.manual_seed(seed)
    net = TinyCNN()
    fit(net, data.train, data.validation, seed=seed, progress=False, device="cpu",
        precision="float32", **PLAIN)
    return as_stored(net)


def path(family, seed, folder=None, suffix="json"):
    """Where a record or a network lies, by default what comes with the package."""
    folder = PRIOR if folder is None else _files.at_home(folder)
    return folder / family / f"seed{seed}.{suffix}"


def write(family, seed, settings, came_out, net=None, folder=None, how=None):
    """Write a record, and beside it the weights of a network if there is one; returns it."""
    if net is not None:
        tensors = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
        content, file = save(tensors), path(family, seed, folder, "safetensors")
        try:
            _files.write_whole(file, content)
        except OSError as error:
            raise RecordError(f"{file} cannot be written ({error.strerror}).") from error
        came_out |= {"weights": {"file": file.name, "sha256": _files.sha256_of(content)}}
    asked = {"family": family, "seed": seed, "settings": settings}
    return write_record(path(family, seed, folder), asked, came_out, how)


def read(family, seed, folder=None):
    """The record of a family and a seed; raises :class:`RecordError` if none is right."""
    file = path(family, seed, folder)
    record = read_record(file)
    asked = record["asked"]
    if (asked.get("family"), asked.get("seed")) != (family, seed):
        raise RecordError(f"{file} is in the wrong place: it is the record of "
                          f"{asked.get('family')}, seed {asked.get('seed')}.")
    return record


def seeds(family, folder=None):
    """The seeds that are recorded of a family, in order."""
    found = path(family, 0, folder).parent.glob("seed*.json")
    return sorted(int(file.stem.removeprefix("seed")) for file in found)


def prior_records(family, folder=None):
    """The records of a family of earlier methods, in the order of the owners' seeds.

    family: "weights", "activations", "poison", "frontier", "locks" or "plain". Raises ValueError
    for another one, :class:`RecordError` if nothing is recorded or a record is not right.
    """
    check_family(family, (*FAMILIES, "plain"))
    found = [read(family, seed, folder) for seed in seeds(family, folder)]
    if not found:
        raise RecordError(f"no record of {family} in {path(family, 0, folder).parent}: "
                          f"`python -m apdnn_lite prior {family}` makes one.")
    return found


def prior_network(family="plain", seed=0, folder=None):
    """A stored :class:`~apdnn_lite.prior.TinyCNN` of a family, in evaluation mode.

    Raises :class:`RecordError` if there is none, or its file is damaged.
    """
    check_family(family, (*FAMILIES, "plain"))
    weights = read(family, seed, folder)["came_out"].get("weights")
    if weights is None:
        raise RecordError(f"no network of {family} is stored, only what was measured.")
    return load_network(path(family, seed, folder, "safetensors"), weights)


def load_network(file, weights, kind=TinyCNN):
    """The network in a file, checked against what its record says of its weights.

    kind: its class, made without arguments. Raises :class:`RecordError` if it is not right.
    """
    tensors = read_tensors(file, weights)
    try:
        with torch.random.fork_rng(devices=[]):
            net = kind()
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise RecordError(f"{file} holds no network that is known here ({error}).") from error
    return net.eval()


def innocents(folder=None):
    """The ten innocent networks: trained by others, on the same images, without any mark."""
    return [prior_network("plain", seed, folder) for seed in INNOCENT]


def check_family(family, known=FAMILIES):
    """Raises ValueError unless a family is one of those that are known."""
    if family not in known:
        raise ValueError(f"unknown family {family!r}: expected one of {', '.join(known)}")
