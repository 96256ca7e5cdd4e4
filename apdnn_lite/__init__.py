"""apdnn_lite: protect a deep neural network from piracy, in plain PyTorch.

The package of the book "Protecting Deep Neural Networks from Piracy". It implements the
method of Chen and Wu (2018). Data flows one way: data → transforms → models → losses →
evaluate → training → adversarial → attacks → figures and widgets; the workshop behind
it, ``experiments``, makes and reads the recorded runs.
"""
# ruff: noqa: I001 -- in the order in which the modules are read

from ._machine import pick_device
from ._augment import Augment
from ._source import show_source
from .data import DataError, Dataset, Split, from_arrays, from_folder, load
from .transforms import Candidates, Fixed, Generator, Identity, Learned, Shift
from .transforms import Transform
from .models import Normalize, ResNet20, SimpleCNN, count_parameters
from .losses import AntiPiracyLoss, LossTerms
from .evaluate import Access, AttackResult, PerturbationSize, access, accuracy
from .evaluate import binomial_interval, confusion, perturbation_size, predict
from .training import History, Settings, TrainingError, fit
from .adversarial import fgsm, pgd, universal
from . import adversarial, attacks, figures, widgets, playground, export, prior
from . import beyond
from . import exercises, experiments, quizzes
from .experiments import RecordError, pretrained, tables
from .experiments.records import records

__version__ = "0.1.0"
widgets.playground = playground.playground  # beside the other views, for chapters

__all__ = [
    "Access", "AntiPiracyLoss", "AttackResult", "Augment", "Candidates",
    "DataError", "Dataset", "Fixed", "Generator", "History", "Identity", "Learned",
    "LossTerms", "Normalize", "PerturbationSize", "RecordError", "ResNet20",
    "Settings", "Shift", "SimpleCNN", "Split", "TrainingError", "Transform",
    "access", "accuracy", "adversarial", "attacks", "beyond", "binomial_interval",
    "confusion", "count_parameters", "exercises", "experiments", "export", "fgsm",
    "figures", "fit", "from_arrays", "from_folder", "load", "perturbation_size",
    "pgd", "pick_device", "playground", "predict", "pretrained", "prior", "quizzes",
    "records", "show_source", "tables", "universal", "widgets",
]
