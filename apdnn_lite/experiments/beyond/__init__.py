"""The recorded runs of the part "Beyond": thieves with few labels or none, and mended locks."""

from ..records import Archive, RecordError, archive_of, own_folder
from . import later, mended, store
from .mended import LOCKS, locks, mended_network, run_lock
from .store import BEYOND, RETRAINED, read, seeds
from .thieves import KINDS as THIEVES
from .thieves import LABELS, check_same_network, run_thieves

__all__ = ["BEYOND", "LABELS", "LOCKS", "RETRAINED", "THIEVES", "command", "later", "locks",
           "mended_network", "read", "run_lock", "run_thieves", "seeds"]


def command(options):
    """``apdnn beyond``: make the records that are missing; returns the exit status."""
    archive = Archive(own_folder("beyond") if options.folder is None else options.folder)
    archive.check_writable()
    of_stored = options.what in THIEVES
    if options.what != "thieves" and options.transform == "baseline":
        raise ValueError("a lock needs a transform: expected fixed, learned or generator")
    if options.train_only and of_stored:
        raise ValueError("--train-only is for a lock: name it by --what")
    if options.weights is not None and not of_stored:
        raise ValueError("--weights is for thieves: a lock is trained anew")
    if options.lock is not None and options.what != "renormalized":
        raise ValueError("--lock goes with --what renormalized")
    if options.usual_climb and options.lock is None:
        raise ValueError("--usual-climb goes with --lock: others get no strong climb")
    folder = archive.folder if options.lock is None else archive.folder / options.lock
    for seed in options.seeds:
        place = store.Place(options.what, options.dataset, options.size, options.network,
                            options.transform, seed)
        if store.path(place, folder).exists():
            if of_stored:
                check_same_network(place, folder, network_record(place, options)["sha256"])
            print(f"{place}: recorded already")
            continue
        if options.lock is not None:
            mended.run_renormalized(options.lock, place, archive.folder, options.device,
                                    options.weights, not options.usual_climb)
        elif of_stored:
            run_thieves(place, archive.folder, options.device, options.weights)
        else:
            run_lock(place, archive.folder, options.device, not options.train_only)
        print(f"{place}: recorded in {folder}", flush=True)
    return 0


def network_record(place, options):
    """The record of the network that the thieves of a place are tried on."""
    if options.lock is None:
        return archive_of(options.weights).read(place.name)
    return read(place._replace(what=options.lock), options.weights)


def check():
    """Measure every stored lock again; returns whether all are as recorded."""
    good = True
    for folder in (BEYOND, RETRAINED):
        for place in store.places(folder):
            try:
                good &= mended.as_recorded(place, folder)
            except RecordError as error:
                print(error, " <- wrong")
                good = False
    return good & later.check()
