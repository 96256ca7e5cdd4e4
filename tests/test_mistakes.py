"""The nine mistakes that others made with this method.

Each test passes here and fails when its mistake is made.
"""

import inspect

import numpy as np
import pytest
import torch
from torch import nn
from toys import (
    QUIET,
    Blind,
    Learnable,
    TinyCNN,
    Watched,
    cross_entropy,
    softmax,
    squared_norm,
    state_of,
    toy_linear,
    toy_set,
    toy_split,
    true_probability,
)

import apdnn_lite as ap
from apdnn_lite import experiments

TRAIN, VALIDATION = toy_split(64, seed=1), toy_split(32, seed=2)


def key():
    return ap.Fixed((1, 8, 8), 0.1, 0.2, seed=5)


def random_batch(count=6):
    generator = np.random.default_rng(0)
    numbers = lambda *shape: torch.tensor(generator.normal(size=shape))  # noqa: E731
    return numbers(count, 10), numbers(count, 10), torch.arange(count), numbers(count, 3, 4, 4)


# 1. Reductions, and a weight decay that is a hidden γ

def test_mistake_1_each_term_is_a_mean_over_the_batch():
    """Twice the same batch is the same loss.

    With sums, or means over entries, it or its size would differ.
    """
    once = random_batch()
    twice = [torch.cat([tensor, tensor]) for tensor in once]
    loss = ap.AntiPiracyLoss(1, 2, 0.5)
    assert [term.item() for term in loss(*twice)] == pytest.approx(
        [term.item() for term in loss(*once)]
    )


def test_mistake_1_the_norm_of_a_sample_sums_over_its_channels_and_pixels():
    logits, labels = torch.zeros(2, 10), torch.tensor([0, 1])
    for shape in ((1, 28, 28), (3, 32, 32)):
        size = ap.AntiPiracyLoss()(logits, logits, labels, torch.full((2, *shape), 0.1)).size
        assert size.item() == pytest.approx(0.01 * np.prod(shape))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_mistake_1_weight_decay_leaves_the_transform_alone(optimizer):
    """The network is blind and γ = 0: nothing but weight decay could move the perturbation."""
    net, transform = Blind(), Learnable()
    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        loss=ap.AntiPiracyLoss(1, 1, gamma=0),
        epochs=2,
        lr=0.1,
        optimizer=optimizer,
        weight_decay=0.5,
        **QUIET,
    )
    assert net.weight.max() < 0.99  # there was weight decay
    assert torch.equal(transform.delta.detach(), torch.full((1, 8, 8), 0.1))


# 2. E_r summed over the batch, or averaged over N×10 entries

@pytest.mark.parametrize("count", [1, 7, 128])
def test_mistake_2_e_r_is_the_mean_probability_of_the_true_class(count):
    """log 9 against nine zeros is a probability of one half, whatever the batch size."""
    logits = torch.zeros(count, 10)
    logits[:, 3] = np.log(9)
    terms = ap.AntiPiracyLoss()(
        logits, logits, torch.full((count,), 3), torch.zeros(count, 1, 2, 2)
    )
    assert terms.raw.item() == pytest.approx(0.5)


def test_mistake_2_e_r_is_a_probability_without_a_logarithm():
    processed, raw, labels, perturbation = random_batch()
    terms = ap.AntiPiracyLoss()(processed, raw, labels, perturbation)
    assert terms.raw.item() == pytest.approx(true_probability(raw, labels)) and 0 < terms.raw < 1


# 3. A key drawn anew

def test_mistake_3_a_key_is_the_same_in_every_batch_of_training_and_at_test_time():
    net, transform = Watched(TinyCNN()), key()
    owned = transform.key.clone()
    ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=3, batch_size=16, **QUIET)
    differences = torch.cat(
        [processed - raw for processed, raw in (batch.chunk(2) for batch in net.batches)]
    )
    assert len(differences) == 3 * 64
    torch.testing.assert_close(differences, owned.expand_as(differences))
    for mode in (True, False):
        assert torch.equal(transform.train(mode)(torch.zeros(1, 1, 8, 8))[0], owned)


def test_mistake_3_a_key_is_a_buffer_saved_with_the_module():
    transform = key()
    assert dict(transform.named_buffers()).keys() == state_of(transform).keys() == {"key"}
    other = ap.Fixed((1, 8, 8), 0.1, 0.2, seed=6)
    other.load_state_dict(transform.state_dict())
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(other(x), transform(x))


# 4. The norm: detached, unsquared, or over the whole batch

def test_mistake_4_gamma_has_a_gradient():
    processed, raw, labels, perturbation = random_batch()
    perturbation.requires_grad_()
    ap.AntiPiracyLoss(0, 0, gamma=0.3)(processed, raw, labels, perturbation).total.backward()
    torch.testing.assert_close(perturbation.grad, 0.3 * 2 * perturbation.detach() / len(labels))


@pytest.mark.parametrize("gamma, smaller", [(0.0, False), (1.0, True)])
def test_mistake_4_gamma_makes_a_learned_perturbation_smaller(gamma, smaller):
    """The network is blind: only γ can move the perturbation, through all of fit."""
    transform = Learnable()
    ap.fit(
        Blind(),
        TRAIN,
        VALIDATION,
        transform=transform,
        loss=ap.AntiPiracyLoss(1, 1, gamma),
        epochs=2,
        batch_size=16,
        lr=0.01,
        optimizer="sgd",
        **QUIET,
    )
    assert (transform.delta.abs().max().item() < 0.099) == smaller


def test_mistake_4_the_norm_is_squared_and_taken_of_each_sample():
    processed, raw, labels, _ = random_batch(2)
    perturbation = torch.zeros(2, 1, 2, 2)
    perturbation[0] = 1.0  # ‖δ‖² = 4
    perturbation[1, 0, 0, 0] = 3.0  # ‖δ‖² = 9
    size = ap.AntiPiracyLoss()(processed, raw, labels, perturbation).size
    assert size.item() == (4 + 9) / 2 == squared_norm(perturbation)


def test_mistake_4_for_a_fixed_key_gamma_has_nothing_to_move():
    x, transform = torch.rand(2, 1, 8, 8), key()
    logits = torch.zeros(2, 10, requires_grad=True)
    terms = ap.AntiPiracyLoss()(logits, logits, torch.tensor([0, 1]), transform(x) - x)
    assert terms.size > 0 and not terms.size.requires_grad and terms.total.requires_grad


# 5. Softmax fed to a cross-entropy that takes logits

def test_mistake_5_the_cross_entropy_takes_logits():
    processed, raw, labels, perturbation = random_batch()
    found = ap.AntiPiracyLoss()(processed, raw, labels, perturbation).processed.item()
    assert found == pytest.approx(cross_entropy(processed, labels))
    # A sure and right answer costs nothing; after a second softmax it would still cost
    # −log(e / (e + 9)) = 1.46.
    sure = 50 * torch.eye(10)
    assert (
        ap.AntiPiracyLoss()(sure, sure, torch.arange(10), torch.zeros(10, 1, 2, 2)).processed < 1e-6
    )


@pytest.mark.parametrize(
    "make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"]
)
def test_mistake_5_the_networks_give_logits(make):
    torch.manual_seed(0)
    logits = make().eval()(torch.rand(4, 1, 8, 8))
    assert logits.min() < 0 and not torch.allclose(logits.sum(dim=1), torch.ones(4))
    assert not torch.allclose(
        logits.logsumexp(dim=1), torch.zeros(4), atol=1e-3
    )  # nor logarithms of a softmax


@pytest.mark.parametrize("transform", [None, ap.Identity()], ids=["plain", "transform"])
def test_mistake_5_fit_hands_logits_to_the_loss(transform):
    net = toy_linear()
    history = ap.fit(
        net, TRAIN, VALIDATION, transform=transform, epochs=1, batch_size=64, lr=1e-12, **QUIET
    )
    expected = cross_entropy(ap.predict(net, TRAIN.images), TRAIN.labels)
    assert history["loss" if transform is None else "E_p"] == pytest.approx([expected], rel=1e-5)


# 6. Raw and processed inputs in two separate passes

def test_mistake_6_one_pass_sees_the_processed_and_the_raw_images():
    net = Watched(TinyCNN())
    ap.fit(net, TRAIN, VALIDATION, transform=key(), epochs=1, batch_size=16, **QUIET)
    assert [len(batch) for batch in net.batches] == [32] * 4


def test_mistake_6_batch_normalization_sees_the_mixture():
    class Normalized(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn, self.fc = nn.BatchNorm2d(1, momentum=1.0), nn.Linear(64, 10)

        def forward(self, x):
            return self.fc(self.bn(x).flatten(1))

    net, transform = Normalized(), ap.Shift(0.5)
    ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=1, batch_size=64, **QUIET)
    mixture = torch.cat([TRAIN.images, transform(TRAIN.images)])
    assert net.bn.num_batches_tracked == 1
    torch.testing.assert_close(net.bn.running_mean, mixture.mean().reshape(1), rtol=1e-4, atol=1e-5)
    # The two clouds are half a pixel range apart: their common variance is 0.25² more than that
    # of either.
    torch.testing.assert_close(net.bn.running_var, mixture.var().reshape(1), rtol=1e-4, atol=1e-5)


# 7. Choosing by the test set

def test_mistake_7_fit_has_no_parameter_for_the_test_split():
    assert not [
        name for name in inspect.signature(ap.fit).parameters if "test" in name or "data" in name
    ]


def test_mistake_7_a_run_reads_the_test_split_only_after_fit_has_returned(monkeypatch, tmp_path):
    small, events, fit = toy_set(), [], experiments.runs.fit

    class Spy:
        """The data set, noting when its test split is read."""

        def __getattr__(self, name):
            if name in ("test", "sha256"):
                events.append(name)
            return getattr(small, name)

    def watched_fit(net, *splits, **options):
        assert all(value is not small.test for value in (*splits, *options.values()))
        assert splits == (small.train, small.validation)
        events.append("fit begins")
        history = fit(net, *splits, **options)
        events.append("fit returns")
        return history

    monkeypatch.setattr(ap.data, "load", lambda *name: Spy())
    monkeypatch.setattr(experiments.runs, "fit", watched_fit)
    name = experiments.checked_name("fashion_mnist", "resnet20", "fixed")
    experiments.run(
        name, tmp_path, "cpu", progress=False, recipe=experiments.Recipe(epochs=1, batch_size=20)
    )
    assert events[:2] == ["fit begins", "fit returns"] and "test" in events[2:]


def test_mistake_7_history_is_that_of_the_validation_split():
    net = Blind()  # answers 0 to every image
    ones = ap.Split(VALIDATION.images, torch.ones(32, dtype=torch.int64), VALIDATION.indices)
    zeros = ap.Split(VALIDATION.images, torch.zeros(32, dtype=torch.int64), VALIDATION.indices)
    for validation, expected in ((ones, 0.0), (zeros, 1.0)):
        assert ap.fit(net, TRAIN, validation, epochs=1, **QUIET)["accuracy"] == [expected]


# 8. Augmenting after the key is applied

def test_mistake_8_augmentation_never_moves_the_key():
    net, transform = Watched(TinyCNN()), key()
    ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        augment=ap.Augment(crop=2, flip=True),
        epochs=2,
        batch_size=32,
        **QUIET,
    )
    for batch in net.batches:
        processed, raw = batch.chunk(2)
        torch.testing.assert_close(processed - raw, transform.key.expand_as(raw))


def test_mistake_8_augmentation_is_given_raw_images():
    given = []

    def augment(images, generator):
        given.append(images)
        return images

    ap.fit(
        TinyCNN(),
        TRAIN,
        VALIDATION,
        transform=key(),
        augment=augment,
        epochs=1,
        batch_size=64,
        **QUIET,
    )
    raw = {image.numpy().tobytes() for image in TRAIN.images}
    assert len(given) == 1 and {image.numpy().tobytes() for image in given[0]} == raw


# 9. Normalization outside the model

def test_mistake_9_images_normalized_outside_are_refused():
    images, labels = TRAIN.images, TRAIN.labels
    normalizing, scaling = "pass pixels, not normalized values", "Divide pixels of 0 … 255 by 255"
    for normalized, hint in (
        ((images - 0.5) / 0.5, normalizing),
        ((images - 0.2860) / 0.3530, normalizing),
        (images * 255, scaling),
    ):
        with pytest.raises(ap.DataError, match=f"pixels must lie in .0, 1..*{hint}"):
            ap.from_arrays(normalized, labels)
        with pytest.raises(ValueError, match="pixels in .0, 1., found values"):
            ap.fgsm(toy_linear(), normalized, labels, 0.1)


@pytest.mark.parametrize(
    "make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"]
)
def test_mistake_9_the_networks_normalize_inside(make):
    net, x = make().eval(), torch.rand(3, 1, 8, 8)
    logits, inner = net(x), {}
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, args: inner.update(x=args[0]))
    torch.testing.assert_close(net(x), logits)
    torch.testing.assert_close(inner["x"], 2 * x - 1)


def test_mistake_9_sigma_is_in_pixels_and_processed_images_may_leave_the_range():
    x, transform = torch.full((1, 1, 8, 8), 0.95), key()
    assert (transform(x) - x).abs().max().item() == pytest.approx(0.1) and transform(x).max() > 1
    net = ap.SimpleCNN(image_size=8).eval()
    assert not torch.allclose(net(transform(x)), net(transform(x).clamp(0, 1)))
    assert softmax(net(transform(x)).detach()).shape == (1, 10)
