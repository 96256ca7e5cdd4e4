"""Records of the part "Beyond", each at the place that its name says, and networks beside them.

A place is WHAT/DATASET-SIZE/NETWORK/TRANSFORM/seedN.json. What is "thieves", for a network of the
other records, or the name of a mended lock.
"""

from typing import NamedTuple

from safetensors.torch import save

from ... import _files
from ..._checkpoint import tensors_under
from ..._files import ASSETS
from ..recipes import checked_name
from ..records import RecordError, read_record, write_record
from ..weights import read_tensors

BEYOND = ASSETS / "beyond"
RETRAINED = BEYOND / "retrained"  # locks trained once more, because no network was kept at first


class Place(NamedTuple):
    """What a record is of; its file name is made of it."""

    what: str
    dataset: str
    size: str
    network: str
    transform: str
    seed: int

    @property
    def name(self):
        """The :class:`~apdnn_lite.experiments.recipes.Name` of the run with the source's loss."""
        return checked_name(self.dataset, self.network, self.transform, self.size, self.seed)

    def __str__(self):
        return f"{self.what}/{self.name}"


def path(place, folder=None, suffix="json"):
    """Where a record or a network lies, by default what comes with the package."""
    folder = BEYOND if folder is None else _files.at_home(folder)
    return folder / place.what / f"{place.name}.{suffix}"


def write(place, settings, came_out, folder, how, net=None, transform=None):
    """Write a record and, if a network is given, its weights as float16; returns the record."""
    if net is not None:
        tensors = {f"net.{name}": tensor.half() if tensor.is_floating_point() else tensor
                   for name, tensor in net.state_dict().items()}
        tensors |= {f"transform.{name}": tensor for name, tensor in transform.state_dict().items()}
        content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        file = path(place, folder, "safetensors")
        try:
            _files.write_whole(file, content)
        except OSError as error:
            raise RecordError(f"{file} cannot be written ({error.strerror}).") from error
        came_out |= {"weights": {"file": file.name, "sha256": _files.sha256_of(content),
                                 "stored_as": "float16"}}
    asked = place._asdict() | {"settings": settings}
    return write_record(path(place, folder), asked, came_out, how)


def read(place, folder=None):
    """The record of a place; raises :class:`RecordError` if none is right."""
    file = path(place, folder)
    record = read_record(file)
    found = tuple(record["asked"].get(part) for part in Place._fields)
    if found != tuple(place):
        raise RecordError(f"{file} is in the wrong place: it is the record of "
                          f"{'/'.join(map(str, found))}.")
    return record


def seeds(what, transform="fixed", network="resnet20", size="mini", dataset="fashion_mnist",
          folder=None):
    """The records of a thief's or a lock's seeds, in order.

    what: "thieves" or the name of a lock. Raises :class:`RecordError` if there is none.
    """
    place = Place(what, dataset, size, network, transform, 0)
    around = path(place, folder).parent
    found = sorted(int(file.stem.removeprefix("seed")) for file in around.glob("seed*.json"))
    if not found:
        raise RecordError(f"no record in {around}: `python -m apdnn_lite beyond --help` says how "
                          "to make one.")
    return [read(place._replace(seed=seed), folder) for seed in found]


def places(folder=None):
    """The places of all stored networks, in order."""
    folder = BEYOND if folder is None else _files.at_home(folder)
    found = []
    for file in sorted(folder.glob("*/*/*/*/seed*.safetensors")):
        record = read_record(file.with_suffix(".json"))
        found.append(Place(*(record["asked"][part] for part in Place._fields)))
    return found


def tensors(place, folder=None):
    """The tensors of a stored network, and of its transform, as float32, each by its name."""
    weights = read(place, folder)["came_out"].get("weights")
    file = path(place, folder, "safetensors")
    if weights is None:
        raise RecordError(f"{place} is recorded, but its network is not stored.")
    found = read_tensors(file, weights)
    return tensors_under("net.", found), tensors_under("transform.", found)
