"""Training runs by name, one at a time and in sweeps; each writes its record."""

import contextlib
from dataclasses import asdict, replace

import torch

from .. import _files, attacks, data
from .._machine import pick_device, pick_precision
from ..evaluate import access, binomial_interval, count_correct, perturbation_size
from ..losses import AntiPiracyLoss
from ..training import fit
from ..transforms import Fixed
from .provenance import device_name, environment
from .recipes import SETTINGS, WITHOUT_EFFECT, fit_settings, recipe_of, recorded_settings
from .records import Archive, RecordError, archive_of, departures, own_folder, sweep_folder
from .weights import build, make_transform, save_weights

SWEEP_DRAWS = 20  # keys that a thief guesses against a fixed transform in a sweep


def run(name, archive=None, device="auto", checkpoint=None, progress=True, keep_weights=False,
        recipe=None, test=True):
    """Train the network of a :class:`Name`, measure it on the test set, and record it.

    archive: where the record goes, an :class:`Archive` or the path of its folder, by default the
        user's. With ``keep_weights`` network and transform are stored beside the record, the
        network in float16, and measured as stored.
    checkpoint: a file to resume from, as in ``fit``. Returns None if stopped with Ctrl-C.
    test: False for runs among which something is chosen; they leave the test set alone. Fixed keys
        are then attacked by guessing, on the validation split.
    Measured are the weights of the last epoch, which are the ones stored, and beside them those of
    the epoch that was best on the validation split ("selected").
    The seed decides the first weights, the batches and the owner's transform.
    Returns the record. Raises :class:`RecordError`, before anything is trained, if it cannot be
    written.
    """
    archive = archive_of(own_folder() if archive is None else archive)
    archive.check_writable()
    found = environment()  # now, and not after hours in which somebody may have changed the code
    device, recipe = pick_device(device), recipe or recipe_of(name)
    if recipe.precision == "auto":
        fastest = str(pick_precision("auto", device)).removeprefix("torch.")
        recipe = replace(recipe, precision=fastest)
    sets = data.load(name.dataset, name.size)
    shape = tuple(sets.train.images.shape[1:])
    torch.manual_seed(name.seed)
    net = build(name.network, shape[0], len(sets.classes), shape[1])
    net = net.to(device)  # measured there, too
    transform = make_transform(name.transform, shape, recipe, name.seed)
    history = fit(net, sets.train, sets.validation, transform=transform,
                  loss=transform and AntiPiracyLoss(recipe.alpha, recipe.beta, recipe.gamma),
                  device=device, checkpoint=checkpoint, progress=progress,
                  **fit_settings(recipe, name.seed))
    if history.interrupted:
        return None
    if keep_weights:  # measured is what is stored
        net = net.half().float()
    asked = {**name._asdict(), "dataset_sha256": sets.sha256, "recipe": recorded_settings(recipe),
             "settings": transform.settings() if transform is not None else None,
             "rounded_to_8_bits": False}
    came_out = {"validation": history.epochs} | measure_size(transform, sets.validation)
    if isinstance(transform, Fixed) and not test:
        keys = attacks.input_only(net, sets.validation.images, recipe.sigma, recipe.p, SWEEP_DRAWS,
                                  name.seed, transform.clip)
        came_out["guessed_keys"] = list(access(net, sets.validation, keys).accuracies)
    if test:
        came_out["test"] = measure(net, transform, sets.test)
        if (name.dataset, name.size) == ("fashion_mnist", "full"):  # everybody has the small one
            small = data.load(name.dataset, "mini").test
            came_out["mini_test"] = measure(net, transform, small)
    if keep_weights:
        came_out["weights"] = save_weights(archive.weights(name), net, transform)
    if test:  # last, because it puts other weights into the network
        history.load_selected(net, transform)
        came_out["selected"] = {"epoch": history.selected + 1,
                                "test": measure(net, transform, sets.test)}
    how = found | {"device": device_name(device), "seconds": round(history.seconds, 1),
                   "images_per_second": round(history.images_per_second)}
    return archive.write(name, asked, came_out, how)


def measure_size(transform, split):
    """How large a transform's perturbation is, as a record holds it; nothing for a baseline."""
    if transform is None:
        return {}
    size = perturbation_size(transform, split.images)
    return {"perturbation": asdict(size) | {"psnr": size.psnr}}


def measure(net, transform, split):
    """The accuracies of a network on a split, authorized and unauthorized, or plain."""
    accesses = {"accuracy": None}
    if transform is not None:
        accesses = {"authorized": transform, "unauthorized": None}
    return {what: share(count_correct(net, split, how), len(split))
            for what, how in accesses.items()}


def measures_as_recorded(name, net, transform, test, measured):
    """Take the measurements of :func:`measure` again, print them, and say whether all agree."""
    good = True
    for what, recorded in measured.items():
        found = count_correct(net, test, None if what == "unauthorized" else transform)
        same = abs(found - recorded["correct"]) <= 2  # rounding differs between processors
        good &= same
        print(f"{name}, {what}: {found} of {recorded['images']} correct, recorded "
              f"{recorded['correct']}{'' if same else '  <- differs'}")
    return good


def share(correct, images):
    """A measured accuracy as records hold it: counts, share, and its 95% interval."""
    low, high = binomial_interval(correct, images)
    return {"correct": correct, "images": images, "accuracy": correct / images,
            "interval": [low, high]}


def checkpoint_path(name, recipe, label=""):
    """Where a run that is stopped is kept until it is finished."""
    file = f"{str(name).replace('/', '-')}-{recipe.epochs}{label and '-'}{label}.safetensors"
    return _files.cache_folder() / "checkpoints" / file


def run_to_the_end(name, archive=None, device="auto", recipe=None, label="", **options):
    """:func:`run` with a checkpoint: a run that was stopped goes on after its last epoch.

    label: tells the checkpoint from others of the name. The checkpoint is removed when the record
    is written, so that nothing trained is lost where that fails.
    """
    recipe = recipe or recipe_of(name)
    checkpoint = checkpoint_path(name, recipe, label)
    try:
        _files.check_writable(checkpoint.parent)
    except OSError as error:
        raise RecordError(f"no checkpoint can be written to {checkpoint.parent} "
                          f"({error.strerror}).") from error
    record = run(name, archive, device, checkpoint, recipe=recipe, **options)
    if record is not None:
        with contextlib.suppress(OSError):  # another process may have removed it, or be reading it
            checkpoint.unlink()
    return record


def sweep(name, setting, values, folder=None, device="auto", progress=True):
    """Train a :class:`Name` for each value of one setting of its recipe; yields the records.

    setting: a field of :class:`Recipe`. Accuracies and the perturbation's size are those on the
    validation split; the test set is not read. Against a fixed transform "guessed_keys" are the
    accuracies of an input-only attack. Runs in the fastest precision of the device, which the
    record says. A value that is recorded already is read, not trained again.
    folder: of the sweeps, by default the user's, and then the values that come with the package
        are recorded already.
    Raises ValueError for a setting that recipes do not have or that changes nothing in such a run,
    and :class:`RecordError` where a recorded run differs from the recipe in something else.
    """
    recipe = recipe_of(name)
    if setting not in SETTINGS:
        raise ValueError(f"unknown setting {setting!r}: expected one of "
                         f"{', '.join(sorted(SETTINGS))}")
    if setting in WITHOUT_EFFECT[name.transform]:
        raise ValueError(f"{setting} changes nothing in a run with the transform "
                         f"{name.transform!r}")
    varied = [replace(recipe, **{"precision": "auto", setting: value}) for value in values]
    for each in varied:
        value = getattr(each, setting)
        archive = Archive(sweep_folder(setting, value, folder or own_folder("sweeps")),
                          behind=None if folder else Archive(sweep_folder(setting, value)))
        holder = archive.holder(name)
        if holder is None:
            record = run_to_the_end(name, archive, device, each, f"{setting}={value}",
                                    progress=progress, test=False)
            if record is None:  # stopped with Ctrl-C
                return
        else:
            record = holder.read(name)
            others = departures(record)
            others.pop(setting, None)
            if others:
                raise RecordError(
                    f"{holder.path(name)} was recorded when the recipe was another ({others}): "
                    f"expected a run that differs from the recipe in {setting} alone. Move it "
                    "away, or sweep into another folder.")
        yield record
