"""Records of runs: what was asked, what came out, how it was run; and archives, folders of them.

A record is one JSON file with a checksum of its content. It lies at the place that its name says,
and nowhere else. Tables and figures of the book read the records that come with the package, which
are only read; those of a user lie in a folder of their own.
"""

import json
import math
from pathlib import Path

from .. import _files
from .._files import ASSETS, sha256_of
from .provenance import environment
from .recipes import WITHOUT_EFFECT, Name, Recipe, checked_name, recipe_of, recorded_settings

RECORDS = ASSETS / "records"
SWEEPS = ASSETS / "sweeps"  # runs that differ from the recipe in one value, without a test
FORMAT = 1  # of the record files


class RecordError(ValueError):
    """A record or a weight file is missing, damaged, altered or in the wrong place."""


# ---- one file

def write_record(path, asked, came_out, how=None):
    """Write a record and return it: a dict of "format", "asked", "came_out", "how" and "sha256".

    how: by default what ``environment`` finds. A number that is not finite becomes null, for
    JSON has none such. The file is replaced as a whole or not at all; raises :class:`RecordError`
    if it cannot be written.
    """
    record = {"format": FORMAT, "asked": asked, "came_out": came_out, "how": how or environment()}
    record = finite(record)
    record["sha256"] = content_sha256(record)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        _files.write_whole(path, text.encode())
    except OSError as error:
        raise RecordError(f"{path} cannot be written ({error.strerror}).") from error
    return record


def finite(value):
    """The same value with None for each number in it that is not finite."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_record(path):
    """The record in ``path``; raises :class:`RecordError` if it is missing, damaged or altered."""
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: no such record ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is truncated or no JSON ({error}). Make it again, or restore "
                          "the file.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise RecordError(f"{path}: expected a record of format {FORMAT}, found {found}.")
    expected, found = record.get("sha256"), content_sha256(record)
    if expected != found:
        raise RecordError(f"{path} was altered: its content has the SHA-256 {found}, the file says "
                          f"{expected}.")
    return record


def content_sha256(record):
    """The checksum of a record, over everything in it but the checksum itself."""
    content = {name: value for name, value in record.items() if name != "sha256"}
    return sha256_of(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())


def name_of(record):
    """The :class:`Name` of the run that a record is of; RecordError if it names no such run."""
    try:
        parts = {part: record["asked"][part] for part in Name._fields}
        return checked_name(**parts)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"a record of no run that is known here ({error})") from error


def departures(record):
    """The settings of a recorded run that are not those of its recipe now, with their values then.

    Left out are precision, which depends on the machine, and settings without effect on such a run.
    Where a record is older than a setting, the setting's default counts.
    """
    name = name_of(record)
    then = recorded_settings(Recipe()) | record["asked"]["recipe"]
    now = recorded_settings(recipe_of(name))
    for settings in (then, now):
        if settings["transform_lr"] is None:  # it was the network's
            settings["transform_lr"] = settings["lr"]
    ignored = {"precision"} | WITHOUT_EFFECT[name.transform]
    return {setting: value for setting, value in then.items()
            if setting not in ignored and value != now.get(setting)}


# ---- a folder

class Archive:
    """The records and weights in one folder, each at the place that its name says.

    folder: its path; ``~`` is the home folder.
    behind: an archive that is read where this one has no record. It is never written to.
    Records that come with the package are only read.
    """

    def __init__(self, folder, behind=None):
        self.folder, self.behind = _files.at_home(folder), behind

    def path(self, name, attacks=False):
        """Where the record of a run lies here, or that of the attacks on it."""
        return self.folder / f"{name}{'.attacks' if attacks else ''}.json"

    def weights(self, name):
        """Where the weights of a run lie here."""
        return self.folder / f"{name}.safetensors"

    def holder(self, name, attacks=False):
        """The archive that has the record: this one, one behind it, or None."""
        if self.path(name, attacks).exists():
            return self
        return self.behind.holder(name, attacks) if self.behind is not None else None

    def read(self, name, attacks=False):
        """The record of a run; raises :class:`RecordError` if there is none that is right."""
        holder = self.holder(name, attacks) or self
        return holder.read_at(holder.path(name, attacks))

    def read_at(self, path):
        """The record in a file of this archive, if that is its place."""
        record = read_record(path)
        try:
            name, attacks = name_of(record), "network_record_sha256" in record["asked"]
        except RecordError as error:
            raise RecordError(f"{path} is {error}.") from error
        if path != self.path(name, attacks):
            raise RecordError(f"{path} is in the wrong place: it is the record of "
                              f"{'the attacks on ' if attacks else ''}{name}.")
        parts = [record.get("came_out"), record.get("how")]
        parts += [] if attacks else [record["asked"].get("recipe")]
        if not all(isinstance(part, dict) for part in parts):
            raise RecordError(f"{path} lacks a part of a record.")
        return record

    def all(self, attacks=False, under=""):
        """Every record here and behind, sorted by name; those ``under`` a part of the names."""
        found = {} if self.behind is None else {
            name_of(record): record for record in self.behind.all(attacks, under)}
        for path in self.files("json", under):
            if path.name.endswith(".attacks.json") == attacks:
                record = self.read_at(path)
                found[name_of(record)] = record
        return [found[name] for name in sorted(found)]

    def seeds(self, name, attacks=False):
        """The records of every seed of a run, in order; an empty list if there is none."""
        return self.all(attacks, str(name).rpartition("/")[0])

    def files(self, suffix, under=""):
        """The files of seeds here; hidden ones and those in hidden folders are left out."""
        return [path for path in sorted((self.folder / under).rglob(f"seed*.{suffix}"))
                if not any(part.startswith(".") for part in path.relative_to(self.folder).parts)]

    def check_writable(self):
        """Raises :class:`RecordError` unless records can be written here."""
        folder = self.folder.resolve()
        if ASSETS.resolve() in (folder, *folder.parents):
            raise RecordError(f"{self.folder} comes with the package and is only read: name "
                              "another folder with --folder.")
        try:
            _files.check_writable(self.folder)
        except OSError as error:
            raise RecordError(f"no record can be written to {self.folder} ({error.strerror}): name "
                              "another folder with --folder.") from error

    def write(self, name, asked, came_out, how=None, attacks=False):
        """Write the record of a run, and return it."""
        self.check_writable()
        return write_record(self.path(name, attacks), {**name._asdict(), **asked}, came_out, how)


SHIPPED = Archive(RECORDS)


def archive_of(folder=None):
    """The archive of a folder, by default of the records that come with the package."""
    if isinstance(folder, Archive):
        return folder
    return SHIPPED if folder is None else Archive(folder)


def own_folder(kind="records"):
    """Where a user's own records lie, or ``sweeps``, by the conventions of the operating system."""
    return _files.data_folder() / kind


def sweep_folder(setting, value, folder=None):
    """Where the records of one value of a sweep lie, by default the package's."""
    return (SWEEPS if folder is None else _files.at_home(folder)) / f"{setting}={value}"


def records(dataset, network, transform, size="mini", attacks=False, folder=None):
    """All recorded seeds of a run, in order; with ``attacks`` the records of the attacks on them.

    folder: of the records, by default of those that come with the package. Raises ValueError for a
    name that is unknown, :class:`RecordError` if nothing is recorded or a record is not right.
    """
    name = checked_name(dataset, network, transform, size)
    found = recorded(name, attacks, folder)
    if not found:
        raise RecordError(f"no record of {str(name).rpartition('/')[0]}{' under attack' * attacks} "
                          f"in {archive_of(folder).folder}. `python -m apdnn_lite list` shows what "
                          "is recorded.")
    return found


def recorded(name, attacks=False, folder=None):
    """The records of every seed of a :class:`Name`, in order; an empty list if there is none."""
    return archive_of(folder).seeds(name, attacks)


def all_records(folder=None, attacks=False):
    """Every record in a folder, by default of those that come with the package, sorted by name."""
    return archive_of(folder).all(attacks)
