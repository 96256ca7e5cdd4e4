"""Adversarial examples against what linear algebra says about linear networks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from toys import Linear, TinyCNN, same, softmax, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import adversarial

EPSILON = 0.05


def gradient(net, images, labels):
    """For logits W x + b the gradient of −log q_c is Wᵀ (q − truth)."""
    weight, flat = (
        net.weight.detach().numpy().astype(float),
        images.flatten(1).numpy().astype(float),
    )
    q = softmax(flat @ weight.T + net.bias.detach().numpy())
    return ((q - np.eye(len(weight))[labels]) @ weight).reshape(images.shape)


@pytest.fixture
def linear():
    """A linear network of two classes and gray images: plus or minus ε they stay in [0, 1]."""
    split = toy_split(12, side=4, classes=2)
    return toy_linear(16, 2), 0.25 + 0.5 * split.images, split.labels


def test_fgsm_on_a_linear_network(linear):
    net, images, labels = linear
    expected = images.numpy() + EPSILON * np.sign(gradient(net, images, labels))
    np.testing.assert_allclose(ap.fgsm(net, images, labels, EPSILON), expected, atol=1e-6)


def test_fgsm_is_clipped_to_pixels():
    net, split = toy_linear(), toy_split(12)
    expected = np.clip(
        split.images.numpy() + 0.4 * np.sign(gradient(net, split.images, split.labels)), 0, 1
    )
    found = ap.fgsm(net, split.images, split.labels, 0.4)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found == 0).any() and (found == 1).any()


@pytest.mark.parametrize("random_start", [True, False])
def test_pgd_reaches_the_corner_of_the_cube_that_is_worst_for_a_linear_network(
    linear, random_start
):
    net, images, labels = linear
    worst = images.numpy() + EPSILON * np.sign(gradient(net, images, labels))
    np.testing.assert_allclose(
        ap.pgd(net, images, labels, EPSILON, random_start=random_start), worst, atol=1e-6
    )


@pytest.mark.parametrize("norm", ["2", 2])
def test_pgd_l2_reaches_the_point_of_the_ball_that_is_worst_for_a_linear_network(linear, norm):
    net, images, labels = linear
    slope = gradient(net, images, labels)
    worst = images.numpy() + 0.2 * slope / np.sqrt((slope**2).sum(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(
        ap.pgd(net, images, labels, 0.2, step_size=5, norm=norm), worst, atol=1e-5
    )


def test_one_step_of_pgd_without_a_random_start_is_fgsm(linear):
    net, images, labels = linear
    one = ap.pgd(net, images, labels, EPSILON, steps=1, step_size=EPSILON, random_start=False)
    torch.testing.assert_close(one, ap.fgsm(net, images, labels, EPSILON))


@settings(max_examples=40)
@given(
    st.floats(0, 1),
    st.sampled_from(["inf", "2"]),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_adversarial_images_are_pixels_within_epsilon(epsilon, norm, steps, seed, random_start):
    net, split = toy_linear(seed=seed), toy_split(6, seed=seed)
    found = ap.pgd(
        net,
        split.images,
        split.labels,
        epsilon,
        steps=steps,
        norm=norm,
        random_start=random_start,
        seed=seed,
    )
    assert found.min() >= 0 and found.max() <= 1
    moved = (found - split.images).flatten(1)
    far = moved.abs().amax(dim=1) if norm == "inf" else moved.norm(dim=1)
    assert far.max() <= epsilon + 1e-5


def test_an_epsilon_of_zero_changes_nothing():
    net, split = toy_linear(), toy_split(6)
    for found in (
        ap.fgsm(net, split.images, split.labels, 0),
        ap.pgd(net, split.images, split.labels, 0),
        ap.pgd(net, split.images, split.labels, 0, norm="2"),
        split.images + ap.universal(net, split.images, split.labels, 0),
    ):
        assert torch.equal(found, split.images)


def test_pgd_is_at_least_as_strong_as_fgsm_and_both_raise_the_loss():
    torch.manual_seed(3)
    net, split = TinyCNN().eval(), toy_split(40)
    loss = lambda images: torch.nn.functional.cross_entropy(net(images), split.labels).item()  # noqa: E731
    clean, one, many = (
        loss(split.images),
        loss(ap.fgsm(net, split.images, split.labels, 0.1)),
        loss(ap.pgd(net, split.images, split.labels, 0.1, steps=20)),
    )
    assert clean < one <= many + 1e-3


def test_the_seed_decides_the_random_start():
    net, split = (
        Linear(np.zeros((2, 64))),
        toy_split(4, classes=2),
    )  # no gradient: what remains is the start
    one, again, other = (
        ap.pgd(net, split.images, split.labels, 0.1, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(
        ap.pgd(net, split.images, split.labels, 0.1, random_start=False), split.images
    )


def test_an_image_is_attacked_as_if_it_were_alone(linear):
    net, images, labels = linear
    together = ap.pgd(net, images, labels, 0.2, norm="2", random_start=False)
    alone = [
        ap.pgd(net, images[[n]], labels[[n]], 0.2, norm="2", random_start=False)
        for n in range(len(images))
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_universal_perturbation_of_a_linear_network(linear):
    net, images, _ = linear
    labels = torch.zeros(
        len(images), dtype=torch.int64
    )  # of one class: the best direction is w₁ − w₀ for all
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
    assert net.training == training and all(
        parameter.grad is None for parameter in net.parameters()
    )
    assert (
        torch.equal(split.images, images)
        and not split.images.requires_grad
        and not found.requires_grad
    )
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_cannot_be_attacked_is_refused(attack):
    net, split = toy_linear(), toy_split(4)
    with pytest.raises(
        ValueError,
        match="epsilon must be a finite number at least 0, in pixels of .0, 1., got -0.1",
    ):
        attack(net, split.images, split.labels, -0.1)
    with pytest.raises(
        ValueError,
        match=r"images must be a tensor \(N, C, H, W\) with N ≥ 1, got Tensor of shape \(4, 8, 8\)",
    ):
        attack(net, split.images[:, 0], split.labels)
    with pytest.raises(
        ValueError, match=r"one label for each of 4 images, got Tensor of shape \(3,\)"
    ):
        attack(net, split.images, split.labels[:3])
    with pytest.raises(ValueError, match="pixels in .0, 1., found values from -"):
        attack(net, split.images * 2 - 1, split.labels)
    with pytest.raises(ValueError, match="pixels in .0, 1., found values from 0.* to "):
        attack(net, split.images + 0.5, split.labels)


def test_pgd_refuses_other_norms_and_no_steps():
    net, split = toy_linear(), toy_split(4)
    with pytest.raises(ValueError, match="norm must be 'inf' or '2', got '1'"):
        ap.pgd(net, split.images, split.labels, 0.1, norm="1")
    with pytest.raises(ValueError, match="steps must be a whole number, 1 or more, got 0"):
        ap.pgd(net, split.images, split.labels, 0.1, steps=0)


def test_projection_is_the_nearest_point():
    x = torch.tensor([[3.0, -4.0], [0.3, 0.4]])[:, None, :, None]
    torch.testing.assert_close(
        adversarial.project(x, 1.0, "2").flatten(1), torch.tensor([[0.6, -0.8], [0.3, 0.4]])
    )
    torch.testing.assert_close(
        adversarial.project(x, 1.0, "inf").flatten(1), torch.tensor([[1.0, -1.0], [0.3, 0.4]])
    )
    assert torch.equal(
        adversarial.project(torch.zeros(1, 1, 2, 2), 0.0, "2"), torch.zeros(1, 1, 2, 2)
    )


# ---- what each step does, step by step, by NumPy

def reference_gradient(net, images, labels):
    """In float64, of the images as they are handed over."""
    return gradient(net, torch.as_tensor(images), np.asarray(labels))


def reference_project(perturbation, epsilon, norm):
    if norm == "inf":
        return np.clip(perturbation, -epsilon, epsilon)
    length = np.sqrt((perturbation ** 2).sum(axis=(1, 2, 3), keepdims=True))
    return perturbation * np.minimum(1, epsilon / np.maximum(length, 1e-12))


def reference_pgd(
    net, images, labels, epsilon, steps=10, step_size=None, norm="inf", random_start=True, seed=0
):
    """Projected gradient ascent as Madry et al. describe it."""
    x = images.numpy().astype(float)
    step_size = 2.5 * epsilon / steps if step_size is None else step_size
    perturbation = np.zeros_like(x)
    if random_start:
        uniform = (
            torch.rand(images.shape, generator=torch.Generator().manual_seed(seed))
            .numpy()
            .astype(float)
        )
        perturbation = reference_project((2 * uniform - 1) * epsilon, epsilon, norm)
    for _ in range(steps):
        now = np.clip(x + perturbation, 0, 1)
        slope = reference_gradient(net, now, labels)
        step = (
            np.sign(slope)
            if norm == "inf"
            else slope / np.sqrt((slope**2).sum(axis=(1, 2, 3), keepdims=True))
        )
        perturbation = reference_project(now + step_size * step - x, epsilon, norm)
    return np.clip(x + perturbation, 0, 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "2"},
        {"steps": 3},
        {"steps": 1, "step_size": 0.02},
        {"steps": 2, "norm": "2", "step_size": 0.1},
        {"random_start": False, "steps": 4},
        {"seed": 5, "steps": 1, "step_size": 0.0},
        {"seed": 5, "steps": 1, "step_size": 0.0, "norm": "2"},
    ],
    ids=str,
)
def test_pgd_takes_the_steps_of_its_description(options):
    net, split = toy_linear(), toy_split(12)
    for epsilon in (0.05, 0.7):  # with the larger one many pixels are clipped on the way
        expected = reference_pgd(net, split.images, split.labels, epsilon, **options)
        np.testing.assert_allclose(
            ap.pgd(net, split.images, split.labels, epsilon, **options), expected, atol=2e-5
        )


def reference_universal(
    net, images, labels, epsilon, epochs=5, batch_size=100, step_size=None, seed=0
):
    x, generator = images.numpy().astype(float), torch.Generator().manual_seed(seed)
    step_size = epsilon / 10 if step_size is None else step_size
    delta = np.zeros_like(x[:1])
    for _ in range(epochs):
        for index in torch.randperm(len(x), generator=generator).split(batch_size):
            now = np.clip(x[index.numpy()] + delta, 0, 1)
            slope = reference_gradient(net, now, labels[index]).sum(axis=0, keepdims=True)
            delta = np.clip(delta + step_size * np.sign(slope), -epsilon, epsilon)
    return delta


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epochs": 1, "batch_size": 7},
        {"epochs": 3, "batch_size": 30, "seed": 4},
        {"epochs": 2, "batch_size": 5, "step_size": 0.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [24, 101])
def test_universal_takes_the_steps_of_its_description(options, count):
    net, split = toy_linear(), toy_split(count)
    for epsilon in (0.1, 0.6):
        expected = reference_universal(net, split.images, split.labels, epsilon, **options)
        np.testing.assert_allclose(
            ap.universal(net, split.images, split.labels, epsilon, **options), expected, atol=1e-5
        )


def test_the_gradient_of_a_linear_network():
    net, split = toy_linear(), toy_split(12)
    found = adversarial.loss_gradient(net, split.images, split.labels)
    np.testing.assert_allclose(found, gradient(net, split.images, split.labels), atol=1e-4)
    assert not found.requires_grad


def test_the_gradient_is_that_of_evaluation_mode_and_changes_nothing():
    net, split = TinyCNN().train(), toy_split(10)
    before = state_of(net)
    found = adversarial.loss_gradient(net, split.images, split.labels)
    assert same(state_of(net), before) and net.training and net.bn.training
    torch.testing.assert_close(
        found, adversarial.loss_gradient(net.eval(), split.images, split.labels)
    )


# ---- where gradients are not recorded, or are rounded away

@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attacks_work_where_gradients_are_switched_off(attack):
    net, split = toy_linear(), toy_split(6)
    expected = attack(net, split.images, split.labels)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            own = ap.Split(
                split.images + 0, split.labels + 0, split.indices
            )  # made inside, as a cell would
            found = attack(net, own.images, own.labels)
        assert torch.equal(found, expected)
        (found.clone() * torch.ones((), requires_grad=True)).sum().backward()  # of use for training
    torch.set_grad_enabled(False)
    try:
        assert torch.equal(attack(net, split.images, split.labels), expected)
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)


def test_a_network_that_is_too_sure_is_attacked_along_its_margin():
    """With two classes and W = ±w every gradient is a multiple of w, sure as the network may be."""
    w = np.random.default_rng(0).normal(size=64)
    split, labels = toy_split(4), torch.tensor([0, 1, 0, 1])
    for scale in (1.0, 1e2, 1e4):
        net = Linear(np.stack([w, -w]) * scale, [0.0, 0.0])
        labels = net(split.images).argmax(dim=1)
        toward = np.where(labels == 0, -1, 1)[:, None] * np.sign(w)
        expected = np.clip(split.images.numpy() + 0.1 * toward.reshape(4, 1, 8, 8), 0, 1)
        found = ap.fgsm(net, split.images, labels, 0.1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_gradient_where_the_loss_is_rounded_to_zero():
    """By the formula, in float64: logits 40, 0 and −1; classes right, wrong, and too sure."""
    logits = torch.tensor(
        [[40.0, 0.0, -1.0], [40.0, 0.0, -1.0], [1.0, 0.5, 0.0], [0.0, 300.0, 0.0]],
        requires_grad=True,
    )
    labels = torch.tensor([0, 1, 2, 1])
    found, = torch.autograd.grad(adversarial.losses(logits, labels).sum(), logits)
    rest = np.exp([-40.0, -41.0])
    expected = [
        [-rest.sum(), *rest],
        softmax([[40.0, 0.0, -1.0]])[0] - [0, 1, 0],
        softmax([[1.0, 0.5, 0.0]])[0] - [0, 0, 1],
        [0.5e-30, -1e-30, 0.5e-30],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0)


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_where_the_loss_is_small_but_there():
    logits = torch.tensor([[10.0, 0.0], [0.0, 12.0]])
    found = adversarial.losses(logits, torch.tensor([0, 1]))
    np.testing.assert_allclose(found, np.log1p(np.exp([-10.0, -12.0])), rtol=0.02)


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e-13, 1e-22, 1e-40, 1e30])
def test_a_step_of_l2_does_not_depend_on_the_size_of_the_gradient(scale):
    slope = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    slope[2] = 0
    found = adversarial.steepest(scale * slope, "2")
    exact = (scale * slope).double().numpy()[:2]
    expected = exact / np.sqrt((exact ** 2).sum(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(found[:2], expected, rtol=1e-5)
    assert torch.equal(found[2], torch.zeros(1, 4, 4)), "no gradient is no step"
    assert torch.equal(adversarial.steepest(scale * slope, "inf"), slope.sign())


def test_each_image_takes_a_step_of_its_own_length():
    slope = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    together = adversarial.steepest(slope * torch.tensor([1.0, 1e-30])[:, None, None, None], "2")
    torch.testing.assert_close(together.square().sum(dim=(1, 2, 3)), torch.ones(2))


def test_a_gradient_of_zero_moves_nothing():
    net, split = Linear(np.zeros((2, 64))), toy_split(4, classes=2)
    assert torch.equal(ap.fgsm(net, split.images, split.labels, 0.1), split.images)
    assert not ap.universal(net, split.images, split.labels, 0.1).any()


def test_projection_keeps_what_is_shorter_and_shrinks_what_is_longer():
    tiny = torch.full((1, 1, 2, 2), 1e-13)
    assert torch.equal(adversarial.project(tiny, 1.0, "2"), tiny)
    torch.testing.assert_close(
        adversarial.project(tiny, 1e-14, "2"), tiny * 1e-2, rtol=1e-5, atol=0
    )


# ---- what is refused

@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("epsilon", [float("nan"), float("inf"), -1e-9, "much", True])
def test_other_epsilons_are_refused(attack, epsilon):
    with pytest.raises(
        ValueError, match="epsilon must be a finite number at least 0, in pixels of .0, 1., got"
    ):
        attack(toy_linear(), toy_split(2).images, toy_split(2).labels, epsilon)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_other_images_and_labels_are_refused(attack):
    net, split = toy_linear(classes=4), toy_split(4, classes=4)
    for images in ((split.images > 0.5), (split.images * 255).byte(), split.images.int()):
        with pytest.raises(ValueError, match="must hold floating-point pixels"):
            attack(net, images, split.labels)
    for labels in (split.labels.int(), split.labels.float()):
        with pytest.raises(ValueError, match="labels must be of type torch.int64"):
            attack(net, split.images, labels)
    for wrong in (-1, 4, -100):
        labels = torch.tensor([0, 1, 2, wrong])
        with pytest.raises(ValueError, match="expected labels from 0 to 3"):
            attack(net, split.images, labels)
    white = torch.ones(1, 1, 8, 8)
    assert attack(net, white, split.labels[:1]).isfinite().all(), "pixels of exactly 1 are pixels"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_networks_without_logits_or_gradients_are_refused(attack):
    class Pair(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1), None

    class Root(torch.nn.Module):
        """Its logits are finite and its gradients are not."""

        def forward(self, x):
            return (x - x.detach()).sqrt().flatten(1)

    split = toy_split(3)
    with pytest.raises(ValueError, match="must return logits, .* got tuple"):
        attack(Pair(), split.images, split.labels)
    with pytest.raises(ValueError, match="logits are NaN or infinite for 3 of 3 images"):
        attack(Linear(np.full((10, 64), np.nan)), split.images, split.labels)
    with pytest.raises(ValueError, match="gradient is NaN or infinite in some pixels"):
        attack(Root(), split.images, split.labels)


@pytest.mark.parametrize("options, name", [
    ({"steps": 2.5}, "steps"), ({"steps": -1}, "steps"), ({"step_size": -0.1}, "step_size"),
    ({"step_size": float("nan")}, "step_size"), ({"seed": -1}, "seed"), ({"seed": 0.5}, "seed")])
def test_other_options_of_pgd_are_refused(options, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        ap.pgd(toy_linear(), toy_split(2).images, toy_split(2).labels, 0.1, **options)


@pytest.mark.parametrize(
    "options, name",
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"step_size": -0.1}, "step_size"),
        ({"seed": -1}, "seed"),
        ({"epochs": 1.5}, "epochs"),
    ],
)
def test_other_options_of_universal_are_refused(options, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        ap.universal(toy_linear(), toy_split(2).images, toy_split(2).labels, 0.1, **options)


@pytest.mark.parametrize(
    "same_norms", [("inf", np.inf, float("inf")), ("2", 2, 2.0, np.float64(2))]
)
def test_a_norm_may_be_a_number(same_norms):
    net, split = toy_linear(), toy_split(4)
    one, *others = (
        ap.pgd(net, split.images, split.labels, 0.3, steps=2, norm=norm) for norm in same_norms
    )
    assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("norm", ["1", 1, "2.5", 3, None, "-inf", "l2"])
def test_other_norms_are_refused(norm):
    with pytest.raises(ValueError, match="norm must be 'inf' or '2', got"):
        ap.pgd(toy_linear(), toy_split(2).images, toy_split(2).labels, 0.1, norm=norm)


# ---- a reader's own network and machine

@pytest.mark.parametrize("numbers", [torch.float16, torch.bfloat16])
def test_a_network_in_few_bits(numbers):
    net, split = toy_linear(), toy_split(6)
    exact = adversarial.loss_gradient(net, split.images, split.labels)
    found = adversarial.loss_gradient(toy_linear().to(numbers), split.images, split.labels)
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found.flatten(1), exact.flatten(1)).min() > 0.95


def test_a_network_in_float64():
    net, split = toy_linear(), toy_split(6)
    for attack in ATTACKS.values():
        found = attack(toy_linear().double(), split.images, split.labels)
        assert found.dtype == torch.float32
        torch.testing.assert_close(
            found, attack(net, split.images, split.labels), atol=1e-5, rtol=0
        )


def test_random_numbers_do_not_depend_on_the_default_type():
    net, split = toy_linear(), toy_split(6)
    expected = ap.pgd(net, split.images, split.labels, 0.1, steps=1)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(ap.pgd(net, split.images, split.labels, 0.1, steps=1), expected)
    finally:
        torch.set_default_dtype(torch.float32)


class ElsewhereByDefault(TorchFunctionMode):
    """As with ``torch.set_default_device("cuda")``.

    What is made without a device refuses the CPU's generator.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert not (kwargs.get("generator") is not None and kwargs.get("device") is None), (
            f"{function} names no device"
        )
        return function(*args, **kwargs)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_is_drawn_names_its_device(attack):
    split = toy_split(6)
    with ElsewhereByDefault():
        attack(toy_linear(), split.images, split.labels)
