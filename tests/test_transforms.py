"""Keys and the other transforms; properties of keys by hypothesis."""

import copy
import io
import json
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from toys import Learnable, toy_split

import apdnn_lite as ap

SEEDS = st.integers(0, 2**63)
SIGMAS = st.floats(1e-3, 10)
PS = st.floats(1e-6, 0.5)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@given(SHAPES, SIGMAS, PS, SEEDS)
def test_a_key_has_no_values_but_minus_sigma_zero_and_sigma(shape, sigma, p, seed):
    key = ap.Fixed(shape, sigma, p, seed).key
    assert key.shape == shape and key.dtype == torch.float32
    assert set(key.flatten().tolist()) <= {-np.float32(sigma).item(), 0.0, np.float32(sigma).item()}


@settings(max_examples=30)
@given(PS, SEEDS)
def test_the_values_occur_as_often_as_they_should(p, seed):
    # Hoeffding: a share of n independent draws is off by t or more with probability at most
    # 2 exp(−2 n t²). Asking for 1e-12 gives t = sqrt(ln(2e12) / 2n). There are 30 examples with
    # 5 shares each, so this test fails by chance less than 150 times in 1e12, below once in 1e9.
    sigma = 0.1
    key = ap.Fixed((3, 256, 256), sigma, p, seed).key

    def share(hits):
        return hits.double().mean().item()

    def bound(n):
        return math.sqrt(math.log(2e12) / (2 * n))

    n = key.numel()
    assert share(key > 0) == pytest.approx(p, abs=bound(n))
    assert share(key < 0) == pytest.approx(p, abs=bound(n))
    assert share(key == 0) == pytest.approx(1 - 2 * p, abs=bound(n))
    # Pixels are independent: of the n/2 pairs of neighbors a share of p² is (σ, σ), across and
    # down.
    assert share((key[:, :, ::2] > 0) & (key[:, :, 1::2] > 0)) == pytest.approx(
        p**2, abs=bound(n // 2)
    )
    assert share((key[..., ::2] > 0) & (key[..., 1::2] > 0)) == pytest.approx(
        p**2, abs=bound(n // 2)
    )


@given(SHAPES, SIGMAS, PS, SEEDS)
def test_the_same_seed_gives_the_same_key(shape, sigma, p, seed):
    assert torch.equal(ap.Fixed(shape, sigma, p, seed).key, ap.Fixed(shape, sigma, p, seed).key)


@given(SEEDS, SEEDS)
def test_different_seeds_give_different_keys(one, other):
    # Two independent keys of 784 pixels agree with probability (0.6² + 2·0.2²)^784 < 1e-278.
    if one != other:
        assert not torch.equal(
            ap.Fixed((1, 28, 28), 0.1, 0.2, one).key, ap.Fixed((1, 28, 28), 0.1, 0.2, other).key
        )


def test_a_key_is_the_same_on_every_machine():
    """Records name a seed; this pins what NumPy's generator makes of it."""
    key = ap.Fixed((1, 2, 4), 1.0, 0.25, seed=7).key
    u = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7))).random(8)
    assert key.flatten().tolist() == [1.0 if x >= 0.75 else -1.0 if x < 0.25 else 0.0 for x in u]
    assert key.flatten().tolist() == [0.0, 1.0, 1.0, -1.0, 0.0, 1.0, -1.0, 1.0]


def test_without_a_seed_each_key_is_new_and_the_callers_randomness_is_left_alone():
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()
    keys = [ap.Fixed((1, 28, 28), 0.1, 0.2).key for _ in range(3)]
    assert not torch.equal(keys[0], keys[1]) and not torch.equal(keys[1], keys[2])
    assert np.random.get_state()[1].tolist() == before[0] and torch.equal(
        torch.get_rng_state(), before[1]
    )


@settings(max_examples=20)
@given(SIGMAS, PS, SEEDS)
def test_saved_and_loaded_it_is_the_same_key(tmp_path_factory, sigma, p, seed):
    file = tmp_path_factory.mktemp("key") / "key.safetensors"
    key = ap.Fixed((1, 6, 6), sigma, p, seed)
    save_file(key.state_dict(), file)
    other = ap.Fixed((1, 6, 6), sigma, p, seed=None)
    other.load_state_dict(load_file(file))
    x = toy_split(3, side=6).images
    assert torch.equal(other.key, key.key) and torch.equal(other(x), key(x))


def test_a_key_moves_with_its_module_and_is_nothing_to_train():
    key = ap.Fixed((1, 4, 4), 0.1, 0.2, seed=1)
    assert list(key.state_dict()) == ["key"] and not list(key.parameters())
    assert not key.key.requires_grad
    assert torch.nn.Sequential(key).to("meta")[0].key.device.type == "meta"
    key = ap.Fixed((1, 4, 4), 0.1, 0.2, seed=1)
    assert key.double().key.dtype == torch.float64


@pytest.mark.parametrize("sigma", [0, -0.1, 100.001, float("inf"), float("nan"), True, None])
def test_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(
        ValueError, match=f"sigma must be a finite number above 0 and at most 100, got {sigma}"
    ):
        ap.Fixed((1, 4, 4), sigma, 0.2)


@pytest.mark.parametrize("p", [0, -0.1, 0.5000001, 1, float("nan")])
def test_p_out_of_range_is_refused(p):
    with pytest.raises(
        ValueError, match=f"p must be a finite number above 0 and at most 0.5, got {p}"
    ):
        ap.Fixed((1, 4, 4), 0.1, p)


@pytest.mark.parametrize("shape", [(28, 28), (1, 1, 28, 28), (0, 28, 28), (1, -1, 28), (1, 2.0, 2)])
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="shape must be .* three positive integers"):
        ap.Fixed(shape, 0.1, 0.2)


def test_p_of_one_half_leaves_no_pixel_alone():
    assert ap.Fixed((3, 64, 64), 0.1, 0.5, seed=3).key.abs().min() > 0


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 27, 28), (1, 1, 1)])
def test_a_key_for_images_of_another_shape_is_refused_not_broadcast(shape):
    with pytest.raises(
        ValueError, match=r"this transform is for images of shape \(N, 1, 28, 28\), got"
    ):
        ap.Fixed((1, 28, 28), 0.1, 0.2, seed=0)(torch.zeros(2, *shape))


def test_processed_is_raw_plus_key():
    x, key = toy_split(5).images, ap.Fixed((1, 8, 8), 0.3, 0.4, seed=2)
    np.testing.assert_array_equal(key(x).numpy(), x.numpy() + key.key.numpy())
    assert key(x).min() < 0 and key(x).max() > 1  # not clipped unless one asks for it


def test_clipped_it_is_raw_plus_key_cut_off_at_0_and_1():
    x, key = toy_split(5).images, ap.Fixed((1, 8, 8), 0.3, 0.4, seed=2, clip=True)
    np.testing.assert_array_equal(key(x).numpy(), np.clip(x.numpy() + key.key.numpy(), 0, 1))


def test_raw_images_are_not_changed_in_place():
    x = toy_split(5).images
    before = x.clone()
    for clip in (False, True):
        ap.Fixed((1, 8, 8), 0.3, 0.4, seed=2, clip=clip)(x)
    assert torch.equal(x, before)


def test_shift_and_identity():
    x = toy_split(4).images
    torch.testing.assert_close(ap.Shift(-0.2)(x), x - 0.2)
    torch.testing.assert_close(ap.Shift(0.6, clip=True)(x), (x + 0.6).clamp(0, 1))
    assert torch.equal(ap.Identity()(x), x)


@pytest.mark.parametrize("clip", [False, True])
def test_settings_and_state_make_the_transform_again(clip):
    key = ap.Fixed((1, 8, 8), 0.3, 0.4, seed=2, clip=clip)
    assert key.settings() == {
        "kind": "Fixed",
        "clip": clip,
        "shape": [1, 8, 8],
        "sigma": 0.3,
        "p": 0.4,
        "seed": 2,
    }
    options = {name: value for name, value in key.settings().items() if name != "kind"}
    again = ap.Fixed(**options)
    assert again.settings() == key.settings() and torch.equal(again.key, key.key)
    assert ap.Shift(0.1, clip).settings() == {"kind": "Shift", "clip": clip, "value": 0.1}
    assert "sigma=0.3, p=0.4, seed=2" in repr(key)


def test_a_subclass_needs_only_its_perturbation():
    x, learned = toy_split(3).images, Learnable(value=0.25)
    torch.testing.assert_close(learned(x), x + 0.25)
    assert ap.count_parameters(learned) == 64
    with pytest.raises(NotImplementedError):
        ap.Transform()(x)


def test_candidates_pick_the_highest_score():
    candidates = ap.Candidates([ap.Shift(0.1), ap.Shift(0.2), ap.Shift(0.3)], [0.5, 0.9, 0.7])
    assert len(candidates) == 3 and candidates.picked == 1


# ---- Learned and Generator

GENERATORS = {
    "convolutional": {"channels": 2, "width": 5},
    "relu": {"channels": 2, "width": 5, "activation": "relu", "clip": True},
    "dense": {"channels": 2, "width": 3, "form": "dense", "image_size": 6},
}


def test_a_learned_perturbation_starts_as_noise_and_is_the_same_for_every_image():
    x = toy_split(4, side=32).images
    learned = ap.Learned((1, 32, 32), sigma=0.05, seed=1)
    assert torch.equal(learned.delta, ap.Learned((1, 32, 32), sigma=0.05, seed=1).delta)
    assert not torch.equal(learned.delta, ap.Learned((1, 32, 32), sigma=0.05, seed=2).delta)
    torch.testing.assert_close(
        learned(x) - x, learned.delta.expand(4, 1, 32, 32), atol=1e-6, rtol=0
    )
    # The mean of 1,024 normal values is 0 within five of its standard deviations, 0.05 / 32.
    assert abs(
        learned.delta.mean().item()
    ) < 5 * 0.05 / 32 and learned.delta.std().item() == pytest.approx(0.05, rel=0.15)
    assert [name for name, _ in learned.named_parameters()] == ["delta"] and not list(
        learned.buffers()
    )


@pytest.mark.parametrize("sigma", [0, -0.1, 100.001, float("inf"), float("nan"), True, None])
def test_a_learned_perturbation_that_starts_nowhere_is_refused(sigma):
    with pytest.raises(
        ValueError, match=f"sigma must be a finite number above 0 and at most 100, got {sigma}"
    ):
        ap.Learned((1, 4, 4), sigma)


def test_a_learned_perturbation_checks_shapes():
    with pytest.raises(ValueError, match="shape must be .* three positive integers"):
        ap.Learned((28, 28))
    with pytest.raises(
        ValueError,
        match=r"this transform is for images of shape \(N, 1, 28, 28\), got \(2, 3, 28, 28\)",
    ):
        ap.Learned((1, 28, 28))(torch.zeros(2, 3, 28, 28))


def test_a_convolutional_generator_by_hand():
    """Against sums over a 5×5 neighborhood by NumPy.

    With black (−0.5 from the middle… and 0 beyond the edge).
    """
    generator = ap.Generator(channels=2, width=3, seed=4)
    x = toy_split(2, channels=2, side=6).images
    (w1, b1), (w2, b2) = [(layer.weight.detach().numpy(), layer.bias.detach().numpy())
                          for layer in (generator.layers[0], generator.layers[2])]
    assert w1.shape == (3, 2, 5, 5) and w2.shape == (2, 3, 1, 1)
    padded = np.pad(x.numpy() - 0.5, ((0, 0), (0, 0), (2, 2), (2, 2)))
    expected = np.zeros((2, 2, 6, 6))
    for i in range(6):
        for j in range(6):
            hidden = np.tanh(np.einsum("ncij,kcij->nk", padded[:, :, i:i + 5, j:j + 5], w1) + b1)
            expected[:, :, i, j] = hidden @ w2[:, :, 0, 0].T + b2
    np.testing.assert_allclose(generator.perturbation(x).detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(generator(x).detach().numpy(), x.numpy() + expected, atol=1e-5)


def test_a_dense_generator_by_hand():
    generator = ap.Generator(**GENERATORS["dense"], seed=4)
    x = toy_split(3, channels=2, side=6).images
    (w1, b1), (w2, b2) = [(layer.weight.detach().numpy(), layer.bias.detach().numpy())
                          for layer in (generator.layers[1], generator.layers[3])]
    expected = np.tanh((x.numpy().reshape(3, 72) - 0.5) @ w1.T + b1) @ w2.T + b2
    np.testing.assert_allclose(
        generator.perturbation(x).detach().numpy(), expected.reshape(3, 2, 6, 6), atol=1e-5
    )


def test_sizes_of_generators():
    assert ap.count_parameters(ap.Generator(1)) == 16 * 25 + 16 + 16 + 1
    assert ap.count_parameters(ap.Generator(3, width=8)) == 3 * 8 * 25 + 8 + 8 * 3 + 3
    assert (
        ap.count_parameters(ap.Generator(1, width=8, form="dense", image_size=28))
        == 2 * 784 * 8 + 8 + 784
    )


@pytest.mark.parametrize("options", GENERATORS.values(), ids=GENERATORS)
def test_a_generators_perturbation_depends_on_the_image_and_on_that_alone(options):
    generator = ap.Generator(**options, seed=1)
    x = toy_split(4, channels=2, side=6).images
    with torch.no_grad():
        delta = generator.perturbation(x)
        assert delta.shape == x.shape and not torch.allclose(delta[0], delta[1])
        torch.testing.assert_close(generator.perturbation(x[2:3])[0], delta[2])
        processed = generator(x)
    expected = x + delta
    torch.testing.assert_close(processed, expected.clamp(0, 1) if generator.clip else expected)


@pytest.mark.parametrize("make", [lambda: ap.Learned((1, 6, 6), 0.1, seed=3),
                                  *[lambda options=options: ap.Generator(**options, seed=3)
                                    for options in GENERATORS.values()]])
def test_trainable_transforms_are_saved_and_made_again(make, tmp_path):
    transform = make()
    file = tmp_path / "owner.safetensors"
    save_file(transform.state_dict(), file)
    options = {name: value for name, value in transform.settings().items() if name != "kind"}
    kind = type(transform)
    assert transform.settings()["kind"] == kind.__name__
    assert all(
        torch.equal(one, other)
        for one, other in zip(  # the settings, seed included, make the same start
            transform.state_dict().values(), kind(**options).state_dict().values(), strict=True
        )
    )
    other = kind(**{**options, "seed": 99})
    other.load_state_dict(load_file(file))
    x = toy_split(3, channels=2 if kind is ap.Generator else 1, side=6).images
    assert torch.equal(other(x), transform(x)) and all(p.requires_grad for p in other.parameters())


@pytest.mark.parametrize("seed", [5, np.random.SeedSequence(5)])
def test_a_generators_seed_makes_its_first_weights_and_leaves_the_callers_randomness_alone(seed):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, other, third = ap.Generator(1, seed=seed), ap.Generator(1, seed=5), ap.Generator(1, seed=6)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.layers[0].weight, other.layers[0].weight)
    assert not torch.equal(one.layers[0].weight, third.layers[0].weight)
    assert not torch.equal(ap.Generator(1).layers[0].weight, ap.Generator(1).layers[0].weight)


@pytest.mark.parametrize("options", GENERATORS.values(), ids=GENERATORS)
def test_a_generator_may_start_fainter(options):
    usual, faint = ap.Generator(**options, seed=1), ap.Generator(**options, seed=1, start=0.1)
    x = toy_split(4, channels=2, side=6).images
    torch.testing.assert_close(faint.perturbation(x), 0.1 * usual.perturbation(x))
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in faint.parameters()), (
        "an optimizer can change them"
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"channels": 1, "start": 0},
            "start must be a finite number above 0 and at most 100, got 0",
        ),
        ({"channels": 0}, "channels must be a whole number, 1 or more, got 0"),
        ({"channels": 1, "width": -2}, "width must be a whole number, 1 or more, got -2"),
        (
            {"channels": 1, "activation": "step"},
            "unknown activation 'step': expected one of tanh, relu",
        ),
        (
            {"channels": 1, "form": "fractal"},
            "unknown form 'fractal': expected one of convolutional, dense",
        ),
        ({"channels": 1, "start": math.inf}, "start must be a finite number"),
        ({"channels": 1, "activation": None}, "unknown activation None"),
        (
            {"channels": 1, "image_size": 2.5},
            "image_size must be a whole number, 1 or more, got 2.5",
        ),
        ({"channels": 1, "clip": "False"}, "clip must be True or False, got 'False'"),
        ({"channels": True}, "channels must be a whole number, 1 or more, got True"),
        (
            {"channels": 1, "form": "dense"},
            "image_size must be a whole number, 1 or more, got None",
        ),
    ],
)
def test_a_generator_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ap.Generator(**options)


@pytest.mark.parametrize(
    "options, shape, wanted",
    [
        ({"channels": 1}, (2, 3, 8, 8), r"\(N, 1, H, W\), got \(2, 3, 8, 8\)"),
        ({"channels": 1}, (1, 8, 8), r"\(N, 1, H, W\), got \(1, 8, 8\)"),
        ({"channels": 1, "image_size": 6}, (2, 1, 6, 8), r"\(N, 1, 6, 6\), got \(2, 1, 6, 8\)"),
        (
            {"channels": 1, "form": "dense", "image_size": 6},
            (2, 1, 8, 8),
            r"\(N, 1, 6, 6\), got \(2, 1, 8, 8\)",
        ),
    ],
)
def test_images_of_another_shape_are_refused_by_a_generator(options, shape, wanted):
    with pytest.raises(ValueError, match="this transform is for images of shape " + wanted):
        ap.Generator(**options)(torch.zeros(shape))


# ---- what is made, exactly

OWNERS = {
    "fixed": lambda seed=5, **options: ap.Fixed((1, 8, 8), 0.3, 0.4, seed, **options),
    "learned": lambda seed=5, **options: ap.Learned((1, 8, 8), 0.05, seed, **options),
    "generator": lambda seed=5, **options: ap.Generator(
        1, 3, "relu", seed=seed, start=0.5, **options
    ),
    "dense": lambda seed=5, **options: ap.Generator(
        1, 3, form="dense", image_size=8, seed=seed, **options
    ),
    "shift": lambda seed=5, **options: ap.Shift(-0.25, **options),
    "identity": lambda seed=5, **options: ap.Identity(**options),
}
KINDS = {
    kind.__name__: kind for kind in (ap.Fixed, ap.Learned, ap.Generator, ap.Shift, ap.Identity)
}


def made_again(transform):
    """From its settings alone, after a way through JSON."""
    settings = json.loads(json.dumps(transform.settings()))
    return KINDS[settings.pop("kind")](**settings)


def test_a_learned_perturbation_is_numpys_normal_noise():
    expected = np.random.default_rng(3).normal(0, 0.02, (2, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        ap.Learned((2, 4, 5), 0.02, seed=3).delta.detach().numpy(), expected
    )
    usual = np.random.default_rng(3).normal(0, 0.01, (2, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(ap.Learned((2, 4, 5), seed=3).delta.detach().numpy(), usual)


@pytest.mark.parametrize("form", ["convolutional", "dense"])
def test_a_generators_first_weights_are_those_of_its_layers_after_manual_seed(form):
    word = int(np.random.SeedSequence(9).generate_state(1)[0])
    generator = ap.Generator(
        2, 4, form=form, image_size=6 if form == "dense" else None, seed=9, start=0.5
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word)
        if form == "dense":
            layers = torch.nn.Linear(72, 4), torch.nn.Linear(4, 72)
        else:
            layers = torch.nn.Conv2d(2, 4, 5), torch.nn.Conv2d(4, 2, 1)
    expected = [layers[0].weight, layers[0].bias, 0.5 * layers[1].weight, 0.5 * layers[1].bias]
    assert all(
        torch.equal(one, other) for one, other in zip(generator.parameters(), expected, strict=True)
    )


def test_what_counts_unless_one_says_otherwise():
    assert ap.Learned((1, 2, 2)).settings() == {
        "kind": "Learned", "clip": False, "shape": [1, 2, 2], "sigma": 0.01, "seed": None}
    assert ap.Generator(1).settings() == {
        "kind": "Generator",
        "clip": False,
        "channels": 1,
        "width": 16,
        "activation": "tanh",
        "form": "convolutional",
        "image_size": None,
        "seed": None,
        "start": 1.0,
    }
    assert ap.Fixed((1, 2, 2), 0.1, 0.2).settings()["seed"] is None
    assert not any(
        transform.clip
        for transform in (ap.Fixed((1, 2, 2), 0.1, 0.2), ap.Shift(0.1), ap.Identity())
    )


def test_the_largest_values_that_are_taken():
    assert (
        ap.Fixed((1, 4, 4), 100, 0.5, seed=1).key.abs().max() == 100
        and ap.Learned((1, 4, 4), 100).sigma == 100
    )
    assert ap.Generator(1, 1, start=100, seed=1).start == 100 and ap.Generator(
        1, form="dense", image_size=1
    ).shape == (1, 1, 1)
    assert [ap.Shift(value).value for value in (-100, 100)] == [-100, 100]
    assert ap.Fixed((1, 1, 1), 1e-30, 1e-30).p == 1e-30


@pytest.mark.parametrize("value", [-100.01, 100.01, math.nan, math.inf, "0.1", None])
def test_a_shift_out_of_range_is_refused(value):
    with pytest.raises(
        ValueError,
        match=f"value must be a finite number at least -100 and at most 100, got {value!r}",
    ):
        ap.Shift(value)


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_clipped_or_not(make):
    x = toy_split(3, side=8).images
    plain, clipped = make()(x), make(clip=np.True_)(x)
    assert torch.equal(clipped, plain.clamp(0, 1)) and make(clip=True).settings()["clip"] is True
    assert plain.shape == x.shape
    with pytest.raises(ValueError, match="clip must be True or False, got 1"):
        make(clip=1)


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            (torch.rand(2, 1, 8, 8) * 255).byte(),
            "floating-point pixels in .0, 1., got torch.uint8: divide 8-bit pixels by 255",
        ),
        (torch.rand(1, 8, 8), r"got \(1, 8, 8\)"),
        (torch.rand(1, 2, 1, 8, 8), r"got \(1, 2, 1, 8, 8\)"),
        (np.zeros((2, 1, 8, 8)), "got ndarray of shape .2, 1, 8, 8. and type float64"),
        ([1.0], "got list"),
    ],
)
def test_what_are_no_images_is_refused(make, wrong, message):
    with pytest.raises(ValueError, match="this transform .*" + message):
        make()(wrong)


# ---- NumPy's numbers, seeds

def test_numpys_numbers_are_as_good_as_pythons():
    sizes = np.array([1, 8, 8])
    assert torch.equal(
        ap.Fixed(sizes, np.float32(0.5), np.float64(0.2), np.uint8(3)).key,
        ap.Fixed((1, 8, 8), 0.5, 0.2, 3).key,
    )
    assert torch.equal(
        ap.Learned(list(sizes), seed=np.int64(3)).delta,
        ap.Learned(torch.Size([1, 8, 8]), seed=3).delta,
    )
    generator = ap.Generator(
        np.int64(1),
        np.int32(4),
        form="dense",
        image_size=np.int64(6),
        seed=np.int64(3),
        start=np.float32(1),
    )
    assert torch.equal(
        generator.layers[1].weight,
        ap.Generator(1, 4, form="dense", image_size=6, seed=3).layers[1].weight,
    )
    for transform in (
        ap.Fixed(sizes, np.float32(0.5), 0.2, np.uint8(3)),
        generator,
        ap.Shift(np.float64(0.25)),
    ):
        assert json.loads(json.dumps(transform.settings())) == transform.settings()


@pytest.mark.parametrize(
    "make", [OWNERS["fixed"], OWNERS["learned"], OWNERS["generator"], OWNERS["dense"]]
)
@pytest.mark.parametrize(
    "seed", [-1, True, 1.0, "7", [1, 2], {"spawn_key": [1]}, {"entropy": None}, {"entropy": -1}]
)
def test_a_seed_that_is_none_is_refused(make, seed):
    with pytest.raises(ValueError, match="^seed must "):
        make(seed)


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize(
    "seed",
    [
        0,
        2**70,
        np.random.SeedSequence(4),
        np.random.SeedSequence(4).spawn(3)[2],
        np.random.SeedSequence([1, 2], spawn_key=(3, 4), pool_size=8),
        np.random.SeedSequence(),
    ],
)
def test_the_settings_make_the_same_transform_again(make, seed):
    transform = make(seed)
    again, x = made_again(transform), toy_split(2).images
    assert (
        type(again) is type(transform)
        and again.settings() == transform.settings()
        and again.extra_repr() == transform.extra_repr()
    )
    assert torch.equal(again(x), transform(x))


def test_a_seed_reads_as_it_was_meant():
    sequence = np.random.SeedSequence(7, spawn_key=(1, 2))
    assert ap.Fixed((1, 2, 2), 0.1, 0.2, sequence).settings()["seed"] == {
        "entropy": 7,
        "spawn_key": [1, 2],
    }
    assert ap.Learned((1, 2, 2), seed=np.int64(7)).settings()["seed"] == 7
    assert ap.Generator(1, seed=np.random.SeedSequence(7)).settings()["seed"] == {
        "entropy": 7,
        "spawn_key": [],
    }


# ---- a state, and the transform it is loaded into

def way(state, through):
    """A state after a way through a file, or as it is."""
    if through == "torch.save":
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)
    return copy.deepcopy(state)


@pytest.mark.parametrize("through", ["memory", "torch.save"])
@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_state_of_other_clipping_is_refused_and_loads_nothing(make, through, inside):
    wrap = torch.nn.Sequential if inside else lambda module: module
    state = way(wrap(make(seed=1, clip=True)).state_dict(), through)
    other = wrap(make(seed=2, clip=False))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(
        RuntimeError, match="the state is of another .*: it was made with clip=True, not False"
    ):
        other.load_state_dict(state)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())
    fits = wrap(make(seed=2, clip=True))
    fits.load_state_dict(state)
    assert all(torch.equal(state[name], tensor) for name, tensor in fits.state_dict().items())


@pytest.mark.parametrize("other, message", [
    (lambda: ap.Fixed((1, 8, 8), 0.1, 0.4), "sigma=0.3, not 0.1"),
    (lambda: ap.Fixed((1, 8, 8), 0.3, 0.2), "p=0.4, not 0.2"),
    (lambda: ap.Fixed((1, 8, 9), 0.3, 0.4), r"shape=\[1, 8, 8\], not \[1, 8, 9\]"),
    (lambda: ap.Learned((1, 8, 8), 0.3), "kind='Fixed', not 'Learned'; p=0.4, not None"),
])
def test_a_key_of_other_settings_is_refused(other, message):
    with pytest.raises(RuntimeError, match=message):
        other().load_state_dict(OWNERS["fixed"]().state_dict())


def test_settings_that_only_start_a_transform_may_differ():
    learned, generator = (
        ap.Learned((1, 8, 8), 0.2, seed=1),
        ap.Generator(1, 3, "relu", seed=1, start=0.1),
    )
    for transform, other in ((learned, OWNERS["learned"]()), (generator, OWNERS["generator"]())):
        other.load_state_dict(transform.state_dict())
        x = toy_split(2).images
        assert torch.equal(other(x), transform(x))
    with pytest.raises(RuntimeError, match="activation='relu', not 'tanh'"):
        ap.Generator(1, 3).load_state_dict(generator.state_dict())
    with pytest.raises(RuntimeError, match="value=-0.25, not 0.5"):
        ap.Shift(0.5).load_state_dict(ap.Shift(-0.25).state_dict())


def test_bare_tensors_are_loaded_if_their_values_are_those_of_the_key():
    key = ap.Fixed((1, 8, 8), 0.3, 0.4, seed=1)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        other = ap.Fixed((1, 8, 8), 0.3, 0.2, seed=2)
        other.load_state_dict({"key": key.key.to(dtype)})
        assert torch.equal(other.key, key.key.to(dtype).float())
    for wrong in (0.1, 0.3 * 1.01, 0.3 * 0.99):
        other = ap.Fixed((1, 8, 8), wrong, 0.4, seed=2)
        before = other.key.clone()
        with pytest.raises(
            RuntimeError, match=f"values up to 0.3 and not −σ, 0 and σ with σ = {wrong:g}"
        ):
            other.load_state_dict({"key": key.key.clone()})
        assert torch.equal(other.key, before)
    with pytest.raises(RuntimeError, match="Missing key"):
        key.load_state_dict({})
    key.load_state_dict(ap.Fixed((1, 8, 8), 0.3, 0.4).to("meta").state_dict(), assign=True)
    assert key.key.is_meta


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_transforms_are_copied_and_pickled(make):
    transform, x = make().requires_grad_(False), toy_split(2).images
    for again in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(again(x), transform(x)) and again.settings() == transform.settings()
        assert all(
            parameter.is_leaf and not parameter.requires_grad for parameter in again.parameters()
        )


# ---- PyTorch's defaults

@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_a_seed_means_the_same_whatever_pytorchs_defaults(make):
    usual, x = make(), toy_split(2).images
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        other = make()
        assert (
            torch.get_default_dtype() == torch.float64 and torch.get_default_device().type == "meta"
        )
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu"
        for tensor in other.state_dict().values()
    )
    assert torch.equal(other(x), usual(x))


def test_a_generator_leaves_a_graphics_cards_randomness_alone(monkeypatch):
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("seeds every device"))
    ap.Generator(1, seed=1)


def test_float64_images_stay_float64():
    x = toy_split(2).images.double()
    for make in (OWNERS["fixed"], OWNERS["learned"], OWNERS["shift"], OWNERS["identity"]):
        assert make()(x).dtype == torch.float64


# ---- candidates

@pytest.mark.parametrize(
    "scores, right",
    [
        ([math.nan, 0.1, 0.5], 2),
        ([0.1, math.nan, 0.5], 2),
        ([0.1, 0.5, math.nan], 1),
        ([-3, -2, -math.inf], 1),
        ([math.inf, 0.1, 0.1], 1),
        (np.array([0.1, 0.3, 0.3]), 1),
        (torch.tensor([0.3, math.nan, 0.2]), 0),
    ],
)
def test_a_score_that_is_no_number_never_wins(scores, right):
    assert ap.Candidates([ap.Identity()] * 3, scores).picked == right


def test_without_any_finite_score_nothing_is_picked():
    with pytest.raises(ValueError, match="none of the 2 candidates has a finite score"):
        ap.Candidates([ap.Identity()] * 2, [math.nan, math.inf]).picked  # noqa: B018


def test_candidates_are_at_least_one_with_a_score_each_and_stay():
    with pytest.raises(ValueError, match="at least one candidate to try, got none"):
        ap.Candidates([], [])
    for count in (1, 3):
        with pytest.raises(
            ValueError, match=f"one score for each candidate, got 2 candidates and {count} scores"
        ):
            ap.Candidates([ap.Identity()] * 2, [0.1] * count)
    one = ap.Candidates([ap.Identity()], [0.1])
    assert len(one) == 1 and one.picked == 0
    with pytest.raises(AttributeError):
        one.scores = [0.2]
