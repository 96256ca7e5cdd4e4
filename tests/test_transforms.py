"""Keys and the other transforms; properties of keys by hypothesis."""

import math

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
    share = lambda hits: hits.double().mean().item()  # noqa: E731
    bound = lambda n: math.sqrt(math.log(2e12) / (2 * n))  # noqa: E731
    n = key.numel()
    assert share(key > 0) == pytest.approx(p, abs=bound(n))
    assert share(key < 0) == pytest.approx(p, abs=bound(n))
    assert share(key == 0) == pytest.approx(1 - 2 * p, abs=bound(n))
    # Pixels are independent: of the n/2 pairs of neighbours a share of p² is (σ, σ), across and down.
    assert share((key[:, :, ::2] > 0) & (key[:, :, 1::2] > 0)) == pytest.approx(p**2, abs=bound(n // 2))
    assert share((key[..., ::2] > 0) & (key[..., 1::2] > 0)) == pytest.approx(p**2, abs=bound(n // 2))


@given(SHAPES, SIGMAS, PS, SEEDS)
def test_the_same_seed_gives_the_same_key(shape, sigma, p, seed):
    assert torch.equal(ap.Fixed(shape, sigma, p, seed).key, ap.Fixed(shape, sigma, p, seed).key)


@given(SEEDS, SEEDS)
def test_different_seeds_give_different_keys(one, other):
    # Two independent keys of 784 pixels agree with probability (0.6² + 2·0.2²)^784 < 1e-278.
    if one != other:
        assert not torch.equal(ap.Fixed((1, 28, 28), 0.1, 0.2, one).key, ap.Fixed((1, 28, 28), 0.1, 0.2, other).key)


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
    assert np.random.get_state()[1].tolist() == before[0] and torch.equal(torch.get_rng_state(), before[1])


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


@pytest.mark.parametrize("sigma", [0, -0.1, float("inf"), float("nan")])
def test_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma must be positive and finite.*got {sigma}"):
        ap.Fixed((1, 4, 4), sigma, 0.2)


@pytest.mark.parametrize("p", [0, -0.1, 0.5000001, 1, float("nan")])
def test_p_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=f"p must satisfy 0 < p ≤ 0.5.*got {p}"):
        ap.Fixed((1, 4, 4), 0.1, p)


@pytest.mark.parametrize("shape", [(28, 28), (1, 1, 28, 28), (0, 28, 28), (1, -1, 28), (1, 2.0, 2)])
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="shape must be .* three positive integers"):
        ap.Fixed(shape, 0.1, 0.2)


def test_p_of_one_half_leaves_no_pixel_alone():
    assert ap.Fixed((3, 64, 64), 0.1, 0.5, seed=3).key.abs().min() > 0


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 27, 28), (1, 1, 1)])
def test_a_key_for_images_of_another_shape_is_refused_not_broadcast(shape):
    with pytest.raises(ValueError, match=r"this key is for images of shape \(N, 1, 28, 28\), got"):
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
    assert key.settings() == {"kind": "Fixed", "clip": clip, "shape": [1, 8, 8], "sigma": 0.3, "p": 0.4, "seed": 2}
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
    torch.testing.assert_close(learned(x) - x, learned.delta.expand(4, 1, 32, 32), atol=1e-6, rtol=0)
    # The mean of 1,024 normal values is 0 within five of its standard deviations, 0.05 / 32.
    assert abs(learned.delta.mean().item()) < 5 * 0.05 / 32 and learned.delta.std().item() == pytest.approx(0.05, rel=0.15)
    assert [name for name, _ in learned.named_parameters()] == ["delta"] and not list(learned.buffers())


@pytest.mark.parametrize("sigma", [0, -0.1, float("inf"), float("nan")])
def test_a_learned_perturbation_that_starts_nowhere_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma must be positive and finite.*got {sigma}"):
        ap.Learned((1, 4, 4), sigma)


def test_a_learned_perturbation_checks_shapes():
    with pytest.raises(ValueError, match="shape must be .* three positive integers"):
        ap.Learned((28, 28))
    with pytest.raises(ValueError, match=r"this key is for images of shape \(N, 1, 28, 28\), got \(2, 3, 28, 28\)"):
        ap.Learned((1, 28, 28))(torch.zeros(2, 3, 28, 28))


def test_a_convolutional_generator_by_hand():
    """Against sums over a 5×5 neighbourhood, with black (−0.5 from the middle… and 0 beyond the edge) by NumPy."""
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
    np.testing.assert_allclose(generator.perturbation(x).detach().numpy(), expected.reshape(3, 2, 6, 6), atol=1e-5)


def test_sizes_of_generators():
    assert ap.count_parameters(ap.Generator(1)) == 16 * 25 + 16 + 16 + 1
    assert ap.count_parameters(ap.Generator(3, width=8)) == 3 * 8 * 25 + 8 + 8 * 3 + 3
    assert ap.count_parameters(ap.Generator(1, width=8, form="dense", image_size=28)) == 2 * 784 * 8 + 8 + 784


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
    assert all(torch.equal(one, other) for one, other in  # the settings, seed included, make the same start
               zip(transform.state_dict().values(), kind(**options).state_dict().values()))
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
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in faint.parameters()), "an optimizer can change them"


@pytest.mark.parametrize("options, message", [
    ({"channels": 1, "start": 0}, "start must be a positive number, got 0"),
    ({"channels": 0}, "channels and width must be positive integers, got 0 and 16"),
    ({"channels": 1, "width": -2}, "channels and width must be positive integers, got 1 and -2"),
    ({"channels": 1, "activation": "step"}, "unknown activation 'step': expected one of tanh, relu"),
    ({"channels": 1, "form": "fractal"}, "unknown form 'fractal': expected convolutional or dense"),
    ({"channels": 1, "form": "dense"}, "a dense generator needs image_size, the side of the images, got None"),
])
def test_a_generator_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ap.Generator(**options)


@pytest.mark.parametrize("options, shape, wanted", [
    ({"channels": 1}, (2, 3, 8, 8), r"\(N, 1, H, W\), got \(2, 3, 8, 8\)"),
    ({"channels": 1}, (1, 8, 8), r"\(N, 1, H, W\), got \(1, 8, 8\)"),
    ({"channels": 1, "form": "dense", "image_size": 6}, (2, 1, 8, 8), r"\(N, 1, 6, 6\), got \(2, 1, 8, 8\)"),
])
def test_images_of_another_shape_are_refused_by_a_generator(options, shape, wanted):
    with pytest.raises(ValueError, match="this generator is for images of shape " + wanted):
        ap.Generator(**options)(torch.zeros(shape))
