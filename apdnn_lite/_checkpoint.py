"""A stopped training run goes on: one safetensors file, with all else as JSON in its header.

The file says which run it belongs to and carries a checksum of all that the run goes on from. So a
damaged file, or another run's, is refused instead of resumed.
"""

import hashlib
import inspect
import json
import re
import warnings
from dataclasses import fields

import torch
from safetensors.torch import load, save

from ._files import at_home, check_writable, sha256_of, write_whole

FORMAT = 2
NO_MATTER = {"cuda_graph"}  # settings that change how a run is computed, and not what comes out


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


def usable(path):
    """The file to keep a checkpoint in, or None; raises TrainingError if it cannot be one."""
    if path is None:
        return None
    path = at_home(path)
    if path.is_dir():
        raise TrainingError(f"checkpoint {path} is a folder: name a file in it, such as "
                            f"{path / 'run.safetensors'}")
    try:
        check_writable(path.parent)
    except OSError as error:
        raise TrainingError(f"checkpoint {path} cannot be written ({error.strerror}): name a file "
                            "in a folder that you may write to") from error
    return path


def way_on(saved):
    """What somebody is told who has stopped a run."""
    if saved is None or not saved.path.exists():
        return ""
    return f" The same call goes on after the last finished epoch, from {saved.path}."


class Checkpoint:
    """The file of one run: :meth:`save` writes its state, :meth:`resume` puts it back."""

    def __init__(self, path, run, validation):
        self.path, self.run, self.settings = path, run, identity(run, validation)

    def save(self):
        """Write the state after an epoch. If that fails, as on a full disk, training goes on."""
        run, history = self.run, self.run.history
        best = {f"best.{name}": tensor for name, tensor in history.best.items()}
        tensors = run.weights() | best | random_state(run.generator, run.device)
        state = run.optimizer.state_dict()
        for number, slots in state["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in slots.items()}
        # a copy each: safetensors refuses tensors that share memory, as tied weights do
        tensors = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
                   for name, tensor in tensors.items()}
        header = {"format": FORMAT, "settings": self.settings, "epochs": history.epochs,
                  "groups": state["param_groups"], "schedule": run.schedule.state_dict(),
                  "scaler": run.scaler.state_dict(), "threads": torch.get_num_threads(),
                  "seconds": history.seconds, "training_seconds": history.training_seconds}
        header["sha256"] = checksum(header, tensors)
        try:
            write_whole(self.path, save(tensors, {"checkpoint": json.dumps(header)}))
        except OSError as error:
            warnings.warn(f"the checkpoint {self.path} could not be written ({error.strerror}); "
                          "training goes on, but cannot be resumed from this epoch", stacklevel=2)

    def resume(self):
        """Put the file's state into the run.

        Raises TrainingError, and changes nothing, if the file is damaged or another run's.
        """
        header, tensors = self.read()
        self.compare(header)
        self.check_names(tensors)
        run, threads = self.run, torch.get_num_threads()
        if header.get("threads", threads) != threads:
            warnings.warn(f"{self.path} was written with {header['threads']} threads; this process "
                          f"has {threads}, and may differ in the last bits", stacklevel=2)
        run.net.load_state_dict(tensors_under("net.", tensors))
        if run.transform is not None:
            run.transform.load_state_dict(tensors_under("transform.", tensors))
        run.history.best = {name: tensor.to(run.device)
                            for name, tensor in tensors_under("best.", tensors).items()}
        run.optimizer.load_state_dict({"state": self.slots(tensors),
                                       "param_groups": header["groups"]})
        run.schedule.load_state_dict(header["schedule"])
        run.scaler.load_state_dict(header["scaler"])
        run.generator.set_state(tensors["random.generator"])
        torch.set_rng_state(tensors["random.torch"])
        if run.device.type == "cuda" and "random.cuda" in tensors:  # a run begun on a CPU has none
            torch.cuda.set_rng_state(tensors["random.cuda"], run.device)
        run.history.epochs, run.history.seconds = header["epochs"], header["seconds"]
        # versions that did not tell the two apart left one of them out
        run.history.training_seconds = header.get("training_seconds", header["seconds"])

    def read(self):
        """Header and tensors of the file, checked against its checksum."""
        try:
            content = self.path.read_bytes()
            length = int.from_bytes(content[:8], "little")
            header = json.loads(json.loads(content[8:8 + length])["__metadata__"]["checkpoint"])
            tensors = load(content)
            version, expected = header["format"], header["sha256"]
            found = checksum(header, tensors)
        except Exception as error:  # whatever a damaged file makes of it
            raise TrainingError(f"{self.path} is no checkpoint of this version, or a damaged one "
                                f"({type(error).__name__}: {error}). Remove it to start anew."
                                ) from error
        if version != FORMAT:
            raise TrainingError(f"{self.path} was written by another version (format {version}, "
                                f"expected {FORMAT}). Remove it to start anew.")
        if expected != found:
            raise TrainingError(f"{self.path} is damaged: its content has the SHA-256 {found}, and "
                                f"should have {expected}. Remove it to start anew.")
        return header, tensors

    def compare(self, header):
        """Raises TrainingError, naming the differences, unless the file belongs to this run."""
        theirs, different = header.get("settings"), []
        # a file of an earlier version, or of a later one, may not name all of them
        defaults = {each.name: told(each.default) for each in fields(self.run.settings)}
        if not isinstance(theirs, dict) or not {"net", "training images"} <= theirs.keys():
            raise TrainingError(f"{self.path} does not say which run it belongs to. "
                                "Remove it to start anew.")
        for name in dict.fromkeys([*self.settings, *theirs]):
            if name not in self.settings:
                different.append(f"{name} is no setting of this version, was {theirs[name]}")
            elif self.settings[name] != theirs.get(name, defaults.get(name)):
                different.append(f"{name} is {self.settings[name]}, was {theirs.get(name)}")
        if different:
            raise TrainingError(f"{self.path} is the checkpoint of another run: "
                                f"{'; '.join(different)}. Remove it, or name another file.")

    def check_names(self, tensors):
        """Raises TrainingError unless the file holds exactly the tensors that such a run has."""
        weights = self.run.weights()
        expected = {*weights, *(f"best.{name}" for name in weights), "random.torch",
                    "random.generator"}
        found = {name for name in tensors if not name.startswith("optimizer.")} - {"random.cuda"}
        wrong = sorted(expected ^ found)
        wrong += [name for name, tensor in weights.items()
                  if name in tensors and tensors[name].shape != tensor.shape]
        slots = {}
        for name in tensors_under("optimizer.", tensors):
            number, _, slot = name.partition(".")
            slots.setdefault(number, set()).add(slot)
        all_slots = set().union(*slots.values())  # an optimizer keeps the same of each parameter
        wrong += [f"optimizer.{number}" for number, names in slots.items() if names != all_slots]
        if wrong:
            raise TrainingError(f"{self.path} does not hold the tensors of this run: missing, "
                                f"unknown or of another shape are {', '.join(wrong[:5])}. "
                                "Remove it to start anew.")

    def slots(self, tensors):
        """The optimizer's memory of each parameter, by its number."""
        parameters = [each for group in self.run.optimizer.param_groups for each in group["params"]]
        slots = {}
        for name, tensor in tensors_under("optimizer.", tensors).items():
            number, slot = name.split(".")
            like = parameters[int(number)]
            if tensor.shape == like.shape:  # a fused optimizer reads both in the order of memory
                tensor = torch.empty_like(like).copy_(tensor)
            slots.setdefault(int(number), {})[slot] = tensor
        return slots


def identity(run, validation):
    """What makes a run this run and no other, as plain JSON by readable names."""
    settings = {each.name: told(getattr(run.settings, each.name)) for each in fields(run.settings)
                if each.name not in NO_MATTER}
    return {"net": told(run.net), "transform": told(run.transform), "loss": told(run.loss),
            **settings, "precision": str(run.precision).removeprefix("torch."),
            "training images": split_sha256(run), "validation images": split_sha256(validation)}


def told(value):
    """A value as a file can hold it: numbers and words as they are, functions by their source."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if inspect.isroutine(value):
        try:
            source = sha256_of(inspect.getsource(value).encode())[:12]
        except (OSError, TypeError):  # typed into a console, or written in C
            source = "source unknown"
        return f"{value.__module__}.{value.__qualname__} ({source})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def split_sha256(split):
    """A checksum of images and labels by their bytes, whatever the threads and the device."""
    digest = hashlib.sha256(str(tuple(split.images.shape)).encode())
    for tensor in (split.images, split.labels):
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def checksum(header, tensors):
    """A checksum of all that a run goes on from: the tensors, and what of the header is state."""
    state = [header[name] for name in ("epochs", "groups", "schedule", "scaler")]
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def random_state(generator, device):
    """The states of the generators that a run draws from, as tensors of bytes."""
    state = {"random.generator": generator.get_state(), "random.torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(device)
    return state


def tensors_under(prefix, tensors):
    """Those of a dict of tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()
            if name.startswith(prefix)}
