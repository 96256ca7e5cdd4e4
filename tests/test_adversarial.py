"""Adversarial examples against what linear algebra says about linear networks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Linear, TinyCNN, same, softmax, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import adversarial

EPSILON = 0.05


def gradient(net, images, labels):
    """For logits W x + b the gradient of −log q_c is Wᵀ (q − truth)."""
    weight, flat = net.weight.detach().numpy().astype(float), images.flatten(1).numpy().astype(float)
    q = softmax(flat @ weight.T + net.bias.detach().numpy())
    return ((q - np.eye(len(weight))[labels]) @ weight).reshape(images.shape)


@pytest.fixture
def linear():
    """A linear network of two classes and grey images far from black and white: ε never leaves [0, 1]."""
    split = toy_split(12, side=4, classes=2)
    return toy_linear(16, 2), 0.25 + 0.5 * split.images, split.labels


def test_fgsm_on_a_linear_network(linear):
    net, images, labels = linear
    expected = images.numpy() + EPSILON * np.sign(gradient(net, images, labels))
    np.testing.assert_allclose(ap.fgsm(net, images, labels, EPSILON), expected, atol=1e-6)


def test_fgsm_is_clipped_to_pixels():
    net, split = toy_linear(), toy_split(12)
    expected = np.clip(split.images.numpy() + 0.4 * np.sign(gradient(net, split.images, split.labels)), 0, 1)
    found = ap.fgsm(net, split.images, split.labels, 0.4)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found == 0).any() and (found == 1).any()


@pytest.mark.parametrize("random_start", [True, False])
def test_pgd_reaches_the_corner_of_the_cube_that_is_worst_for_a_linear_network(linear, random_start):
    net, images, labels = linear
    worst = images.numpy() + EPSILON * np.sign(gradient(net, images, labels))
    np.testing.assert_allclose(ap.pgd(net, images, labels, EPSILON, random_start=random_start), worst, atol=1e-6)


@pytest.mark.parametrize("norm", ["2", 2])
def test_pgd_l2_reaches_the_point_of_the_ball_that_is_worst_for_a_linear_network(linear, norm):
    net, images, labels = linear
    slope = gradient(net, images, labels)
    worst = images.numpy() + 0.2 * slope / np.sqrt((slope**2).sum(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(ap.pgd(net, images, labels, 0.2, step_size=5, norm=norm), worst, atol=1e-5)


def test_one_step_of_pgd_without_a_random_start_is_fgsm(linear):
    net, images, labels = linear
    one = ap.pgd(net, images, labels, EPSILON, steps=1, step_size=EPSILON, random_start=False)
    torch.testing.assert_close(one, ap.fgsm(net, images, labels, EPSILON))


@settings(max_examples=40)
@given(st.floats(0, 1), st.sampled_from(["inf", "2"]), st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_adversarial_images_are_pixels_within_epsilon(epsilon, norm, steps, seed, random_start):
    net, split = toy_linear(seed=seed), toy_split(6, seed=seed)
    found = ap.pgd(net, split.images, split.labels, epsilon, steps=steps, norm=norm, random_start=random_start, seed=seed)
    assert found.min() >= 0 and found.max() <= 1
    moved = (found - split.images).flatten(1)
    far = moved.abs().amax(dim=1) if norm == "inf" else moved.norm(dim=1)
    assert far.max() <= epsilon + 1e-5


def test_an_epsilon_of_zero_changes_nothing():
    net, split = toy_linear(), toy_split(6)
    for found in (ap.fgsm(net, split.images, split.labels, 0), ap.pgd(net, split.images, split.labels, 0),
                  ap.pgd(net, split.images, split.labels, 0, norm="2"),
                  split.images + ap.universal(net, split.images, split.labels, 0)):
        assert torch.equal(found, split.images)


def test_pgd_is_at_least_as_strong_as_fgsm_and_both_raise_the_loss():
    torch.manual_seed(3)
    net, split = TinyCNN().eval(), toy_split(40)
    loss = lambda images: torch.nn.functional.cross_entropy(net(images), split.labels).item()  # noqa: E731
    clean, one, many = loss(split.images), loss(ap.fgsm(net, split.images, split.labels, 0.1)), loss(
        ap.pgd(net, split.images, split.labels, 0.1, steps=20))
    assert clean < one <= many + 1e-3


def test_the_seed_decides_the_random_start():
    net, split = Linear(np.zeros((2, 64))), toy_split(4, classes=2)  # no gradient: what remains is the start
    one, again, other = (ap.pgd(net, split.images, split.labels, 0.1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(ap.pgd(net, split.images, split.labels, 0.1, random_start=False), split.images)


def test_an_image_is_attacked_as_if_it_were_alone(linear):
    net, images, labels = linear
    together = ap.pgd(net, images, labels, 0.2, norm="2", random_start=False)
    alone = [ap.pgd(net, images[[n]], labels[[n]], 0.2, norm="2", random_start=False) for n in range(len(images))]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_universal_perturbation_of_a_linear_network(linear):
    net, images, _ = linear
    labels = torch.zeros(len(images), dtype=torch.int64)  # of one class: the best direction is w₁ − w₀ for all
    weight = net.weight.detach().numpy()
    expected = EPSILON * np.sign(weight[1] - weight[0]).reshape(1, 1, 4, 4)
    found = ap.universal(net, images, labels, EPSILON, epochs=12, batch_size=5)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=20)
@given(st.floats(0.001, 0.5), st.integers(0, 10**6), st.integers(1, 20))
def test_a_universal_perturbation_is_one_image_within_epsilon(epsilon, seed, batch_size):
    split = toy_split(10, seed=seed)
    find = lambda: ap.universal(toy_linear(seed=seed), split.images, split.labels, epsilon, 2,  # noqa: E731
                                batch_size, seed=seed)
    assert find().shape == (1, 1, 8, 8) and find().abs().max() <= epsilon + 1e-6
    assert torch.equal(find(), find())


ATTACKS = {
    "fgsm": lambda net, x, y, epsilon=0.1: ap.fgsm(net, x, y, epsilon),
    "pgd": lambda net, x, y, epsilon=0.1: ap.pgd(net, x, y, epsilon),
    "universal": lambda net, x, y, epsilon=0.1: ap.universal(net, x, y, epsilon),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(attack, training):
    net, split = TinyCNN().train(training), toy_split(10)
    before, images, random = state_of(net), split.images.clone(), torch.get_rng_state()
    found = attack(net, split.images, split.labels)
    assert same(state_of(net), before), "weights or batch-normalization statistics changed"
    assert net.training == training and all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(split.images, images) and not split.images.requires_grad and not found.requires_grad
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_cannot_be_attacked_is_refused(attack):
    net, split = toy_linear(), toy_split(4)
    with pytest.raises(ValueError, match="epsilon must be zero or more, in pixels of .0, 1., got -0.1"):
        attack(net, split.images, split.labels, -0.1)
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\) and labels \(N,\), got \(4, 8, 8\)"):
        attack(net, split.images[:, 0], split.labels)
    with pytest.raises(ValueError, match=r"got \(4, 1, 8, 8\) and \(3,\)"):
        attack(net, split.images, split.labels[:3])
    with pytest.raises(ValueError, match="expected pixels in .0, 1., got values from -"):
        attack(net, split.images * 2 - 1, split.labels)
    with pytest.raises(ValueError, match="expected pixels in .0, 1., got values from 0.* to "):
        attack(net, split.images + 0.5, split.labels)


def test_pgd_refuses_other_norms_and_no_steps():
    net, split = toy_linear(), toy_split(4)
    with pytest.raises(ValueError, match="norm must be 'inf' or '2', got '1'"):
        ap.pgd(net, split.images, split.labels, 0.1, norm="1")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        ap.pgd(net, split.images, split.labels, 0.1, steps=0)


def test_projection_is_the_nearest_point():
    x = torch.tensor([[3.0, -4.0], [0.3, 0.4]])[:, None, :, None]
    torch.testing.assert_close(adversarial.project(x, 1.0, "2").flatten(1), torch.tensor([[0.6, -0.8], [0.3, 0.4]]))
    torch.testing.assert_close(adversarial.project(x, 1.0, "inf").flatten(1), torch.tensor([[1.0, -1.0], [0.3, 0.4]]))
    assert torch.equal(adversarial.project(torch.zeros(1, 1, 2, 2), 0.0, "2"), torch.zeros(1, 1, 2, 2))
