"""apdnn_lite: protect a deep neural network from piracy, in plain PyTorch.

The package of the book "Protecting Deep Neural Networks from Piracy". It implements the method of
Chen and Wu (2018). Data flows one way: data → transforms → models → losses → evaluate → training →
adversarial → attacks → experiments → export → tables → figures and widgets.
"""

from . import adversarial, attacks, experiments, export, figures, playground, tables, widgets
from .adversarial import fgsm, pgd, universal
from .data import DataError, Dataset, Split, from_arrays, from_folder, load
from .evaluate import (Access, AttackResult, PerturbationSize, access, accuracy, binomial_interval, confusion,
                       perturbation_size, predict)
from .experiments import RecordError, pretrained, records
from .losses import AntiPiracyLoss, LossTerms
from .models import Normalize, ResNet20, SimpleCNN, count_parameters
from .training import Augment, History, TrainingError, fit, pick_device
from .transforms import Candidates, Fixed, Generator, Identity, Learned, Shift, Transform

__version__ = "0.1.0"
widgets.playground = playground.playground  # beside the other views, where the chapters call it

__all__ = [
    "Access", "AntiPiracyLoss", "AttackResult", "Augment", "Candidates", "DataError", "Dataset", "Fixed",
    "Generator", "History", "Identity", "Learned", "LossTerms", "Normalize", "PerturbationSize", "RecordError",
    "ResNet20", "Shift", "SimpleCNN", "Split", "TrainingError", "Transform", "access", "accuracy", "adversarial",
    "attacks", "binomial_interval", "confusion", "count_parameters", "experiments", "export", "fgsm", "figures",
    "fit", "from_arrays", "from_folder", "load", "perturbation_size", "pgd", "pick_device", "predict", "pretrained",
    "records", "tables", "universal", "widgets",
]
