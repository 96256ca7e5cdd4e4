"""The workshop: recipes, records, runs and tables, behind the classroom.

Nothing of the classroom imports it. Read in the order recipes → provenance → records → weights →
runs → thief → tables → reproduce → cluster → variants → commands → cli. (``checkup`` looks at the
machine.)
"""

from .. import data as sets
from . import (
    beyond,
    prior,
    recipes,
    records,
    reproduce,
    runs,
    tables,
    thief,
    variants,
    weights,
)
from .provenance import device_name, environment, processor_name
from .recipes import (
    EXCEPTIONS,
    FULL_RECIPES,
    NETWORKS,
    RECIPES,
    SETTINGS,
    TRANSFORMS,
    Name,
    Recipe,
    checked_name,
    image_shape,
    reasons,
    recipe_of,
)
from .records import (
    RECORDS,
    SHIPPED,
    SWEEPS,
    Archive,
    RecordError,
    all_records,
    content_sha256,
    departures,
    name_of,
    own_folder,
    read_record,
    recorded,
    sweep_folder,
    write_record,
)
from .runs import run, run_to_the_end, sweep
from .tables import AcrossSeeds, across_seeds
from .thief import run_attacks
from .weights import Pretrained, build, make_transform, pretrained, save_weights

__all__ = [
    "AcrossSeeds", "Archive", "EXCEPTIONS", "FULL_RECIPES", "NETWORKS", "Name", "Pretrained",
    "RECIPES", "RECORDS", "Recipe", "RecordError", "SETTINGS", "SHIPPED", "SWEEPS",
    "TRANSFORMS", "across_seeds", "all_records", "beyond", "build", "checked_name",
    "content_sha256", "departures", "device_name", "environment", "image_shape",
    "make_transform", "name_of",
    "own_folder", "pretrained", "prior", "processor_name", "read_record", "reasons",
    "recipe_of", "recipes", "recorded", "records", "reproduce", "run", "run_attacks",
    "run_to_the_end", "runs", "save_weights", "sets", "sweep", "sweep_folder", "tables",
    "thief", "variants", "weights", "write_record",
]
