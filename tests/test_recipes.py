"""Named runs, their recipes, and the reason beside each value."""

import dataclasses
import re

import pytest

import apdnn_lite as ap
from apdnn_lite import experiments
from apdnn_lite.experiments import recipes
from apdnn_lite.training import Settings

RUNS = [(dataset, "full", network) for dataset, network in recipes.FULL_CHOICES]
RUNS += [("fashion_mnist", "mini", network) for network in recipes.CHOICES]


def value_and_why(setting, *run):
    return next(row[1:] for row in experiments.reasons(*run) if row[0] == setting)


# ---- names

def test_a_name_is_a_path():
    name = experiments.checked_name("fashion_mnist", "resnet20", "fixed", seed=3)
    assert str(name) == "fashion_mnist-mini/resnet20/fixed/seed3"
    assert name == ("fashion_mnist", "mini", "resnet20", "fixed", 3)


@pytest.mark.parametrize("arguments, message", [
    (("svhn", "resnet20", "fixed"),
     "unknown data set 'svhn': expected one of mnist, fashion_mnist, cifar10"),
    (("mnist", "vgg", "fixed"), "unknown network 'vgg': expected one of simple_cnn, resnet20"),
    (("mnist", "resnet20", "rot13"), "unknown transform 'rot13': expected one of baseline, fixed"),
    (("mnist", "resnet20", "fixed", "huge"), "unknown size 'huge': expected one of mini, full")])
def test_unknown_names_are_refused(arguments, message):
    for refuse in (experiments.checked_name, ap.pretrained, ap.records):
        with pytest.raises(ValueError, match=message):
            refuse(*arguments)


@pytest.mark.parametrize("seed, message", [
    (-1, "seed must be a whole number, 0 or more, got -1"), (2**63, "seed must be at most"),
    (2**70, "seed must be at most"), (0.5, "whole number"), (True, "whole number"),
    ("0", "whole number")])
def test_a_seed_that_is_none_is_refused(seed, message):
    with pytest.raises(ValueError, match=message):
        experiments.checked_name("mnist", "resnet20", "fixed", seed=seed)


def test_the_largest_seed_is_a_seed():
    assert experiments.checked_name("mnist", "resnet20", "fixed", seed=2**63 - 1).seed == 2**63 - 1


def test_image_shapes_are_those_of_the_sets():
    assert {experiments.image_shape(name) for name in ("cifar10", "cifar10_jpeg")} == {(3, 32, 32)}
    assert experiments.image_shape("mnist") == (1, 28, 28)
    small = ap.load("fashion_mnist").train
    assert experiments.image_shape("fashion_mnist") == tuple(small.images.shape[1:])
    assert recipes.training_images("fashion_mnist", "mini") == len(small)
    assert recipes.training_images("fashion_mnist", "full") == 55_000
    assert recipes.training_images("cifar10", "full") == 45_000


# ---- recipes

def test_a_recipe_has_every_setting_of_fit_and_more():
    own = {field.name for field in dataclasses.fields(experiments.Recipe)}
    of_fit = {field.name for field in dataclasses.fields(Settings)}
    assert own > of_fit
    assert own - set(experiments.SETTINGS) == {"augment", "cuda_graph", "seed"}


@pytest.mark.parametrize("crop, flip", [(0, False), (0, True), (2, False), (2, True)])
def test_what_fit_is_given(crop, flip):
    recipe = experiments.Recipe(epochs=3, lr=0.5, crop=crop, flip=flip)
    given = recipes.fit_settings(recipe, 7)
    assert given.keys() == {field.name for field in dataclasses.fields(Settings)}
    assert given.pop("augment") == (ap.Augment(crop, flip) if crop or flip else None)
    assert (given["epochs"], given["lr"], given["seed"], given["cuda_graph"]) == (3, 0.5, 7, True)
    assert given["precision"] == "float32"


@pytest.mark.parametrize("wrong", [{"crop": -1}, {"crop": 0.5}, {"flip": "true"}, {"flip": 1},
                                   {"sigma": 0.0}, {"sigma": float("nan")}, {"p": 0.0}, {"p": 0.51},
                                   {"width": 0}, {"activation": "gelu"}, {"generator_start": 0.0},
                                   {"alpha": -1.0}, {"beta": float("inf")}, {"gamma": None},
                                   {"epochs": 0}, {"optimizer": "adamw"}, {"precision": "int8"}])
def test_a_recipe_checks_itself(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        experiments.Recipe(**wrong)


def test_the_settings_that_a_recipe_adds_have_these_defaults():
    recipe = experiments.Recipe()
    expected = {"precision": "float32", "crop": 0, "flip": False, "alpha": 1.0, "beta": 2.0,
                "gamma": 0.01, "sigma": 0.1, "p": 0.2, "width": 16, "activation": "tanh",
                "generator_start": 1.0}
    assert {name: getattr(recipe, name) for name in expected} == expected
    assert experiments.Recipe(p=0.5).p == 0.5


def test_one_recipe_a_network_but_for_the_named_exceptions():
    made = {transform: experiments.recipe_of(
        experiments.checked_name("fashion_mnist", "resnet20", transform))
        for transform in experiments.TRANSFORMS}
    plain = experiments.RECIPES["resnet20"]
    assert made.pop("generator") == dataclasses.replace(plain, transform_lr=1e-3)
    assert set(made.values()) == {plain}
    assert (plain.epochs, plain.optimizer, plain.lr, plain.transform_lr, plain.weight_decay,
            plain.crop, plain.flip) == (16, "sgd", 0.1, 0.1, 5e-4, 2, True)
    for transform in experiments.TRANSFORMS:
        name = experiments.checked_name("mnist", "simple_cnn", transform)
        assert experiments.recipe_of(name) == experiments.RECIPES["simple_cnn"]


def test_the_recipes_of_the_full_sets():
    found = {key: {setting: getattr(recipe, setting) for setting in (
        "epochs", "crop", "flip", "gamma", "sigma", "p")}
        for key, recipe in experiments.FULL_RECIPES.items()}
    photographs = {"epochs": 40, "crop": 4, "flip": True, "gamma": 0.01, "sigma": 0.025, "p": 0.05}
    assert found == {
        ("mnist", "simple_cnn"): {"epochs": 8, "crop": 0, "flip": False, "gamma": 0.3, "sigma": 0.1,
                                  "p": 0.2},
        ("fashion_mnist", "simple_cnn"): {"epochs": 8, "crop": 0, "flip": False, "gamma": 0.01,
                                          "sigma": 0.025, "p": 0.2},
        ("fashion_mnist", "resnet20"): {"epochs": 12, "crop": 2, "flip": True, "gamma": 0.01,
                                        "sigma": 0.025, "p": 0.05},
        ("cifar10", "resnet20"): photographs, ("cifar10_jpeg", "resnet20"): photographs}
    assert {recipe.precision for recipe in experiments.FULL_RECIPES.values()} == {"auto"}


# ---- reasons

@pytest.mark.parametrize("run", RUNS, ids="-".join)
@pytest.mark.parametrize("transform", [None, *experiments.TRANSFORMS])
def test_every_value_has_its_reason(run, transform):
    rows = experiments.reasons(*run, transform)
    name = experiments.checked_name(run[0], run[2], transform or "baseline", run[1])
    recipe = experiments.recipe_of(name)
    without = recipes.WITHOUT_EFFECT[transform] if transform else set()
    assert [row[0] for row in rows] == [
        each for each in experiments.SETTINGS if each not in without]
    for setting, value, why in rows:
        assert value == getattr(recipe, setting) and why


@pytest.mark.parametrize("setting, run, value, words", [
    ("gamma", ("mnist", "full", "simple_cnn"), 0.3, ["10.4, 8.9 and 0.1%", "sweep over gamma",
                                                     "two of three generators near 9%"]),
    ("gamma", ("fashion_mnist", "full", "simple_cnn"), 0.01, ["cost a learned transform a point"]),
    ("beta", ("fashion_mnist", "full", "simple_cnn"), 2.0, ["1.6 to 0.8%", "8 took ten points"]),
    ("beta", ("fashion_mnist", "full", "simple_cnn", "generator"), 0.5, ["0.2, 9.7 and 0.1%"]),
    ("beta", ("mnist", "full", "simple_cnn", "generator"), 2.0, ["our choice"]),
    ("sigma", ("cifar10", "full", "resnet20"), 0.025, ["1.1 points", "Photographs"]),
    ("transform_lr", ("fashion_mnist", "mini", "resnet20"), 0.1, ["network's rate"]),
    ("transform_lr", ("fashion_mnist", "mini", "resnet20", "generator"), 1e-3, ["diverge"]),
    ("transform_max_norm", ("fashion_mnist", "full", "resnet20", "generator"), 1.0,
     ["Shortening long gradients"])])
def test_a_reason_is_that_of_the_run(setting, run, value, words):
    found, why = value_and_why(setting, *run)
    assert found == value and all(word in why for word in words), why


def test_a_reason_names_a_sweep_that_is_recorded():
    named = {setting for run in RUNS for transform in experiments.TRANSFORMS
             for _, _, why in experiments.reasons(*run, transform)
             for setting in re.findall(r"sweep over (\w+)", why)}
    assert named >= {"epochs", "gamma", "sigma", "p", "beta", "crop", "transform_max_norm"}
    assert named <= {folder.name.partition("=")[0] for folder in experiments.SWEEPS.iterdir()}


def test_reasons_of_an_unknown_run_are_refused():
    with pytest.raises(ValueError, match="unknown network 'vgg'"):
        experiments.reasons("mnist", "full", "vgg")
