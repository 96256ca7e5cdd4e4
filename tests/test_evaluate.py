"""Measurements, against counting by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import Linear, TinyCNN, same, squared_norm, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import evaluate


def answers(net, images):
    """What a toy_linear network answers to each image, by NumPy."""
    weight, bias = net.weight.detach().numpy().astype(float), net.bias.detach().numpy().astype(float)
    return [int(np.argmax(weight @ image.flatten() + bias)) for image in np.asarray(images, float)]


def brightness_reader():
    """Two classes of one-pixel images: answers 1 where the pixel is above 0.5."""
    return Linear([[0.0], [1.0]], [0.5, 0.0])


def pixels(values, labels):
    return ap.Split(torch.tensor(values).reshape(-1, 1, 1, 1), torch.tensor(labels), torch.arange(len(labels)))


def test_accuracy_and_confusion_by_brute_force():
    net, split = toy_linear(), toy_split(200)
    found, counts = answers(net, split.images), np.zeros((10, 10), int)
    for label, answer in zip(split.labels.tolist(), found):
        counts[label, answer] += 1
    right = sum(label == answer for label, answer in zip(split.labels.tolist(), found))
    assert 0 < right < 200
    assert evaluate.count_correct(net, split) == right and ap.accuracy(net, split) == right / 200
    np.testing.assert_array_equal(ap.confusion(net, split), counts)
    assert counts[0].sum() == 20  # rows are the true classes
    assert not np.array_equal(counts, counts.T)


def test_confusion_has_rows_for_classes_that_do_not_occur():
    split = pixels([0.1, 0.9, 0.8], [0, 0, 0])
    assert ap.confusion(brightness_reader(), split).tolist() == [[1, 2], [0, 0]]


def test_a_transform_comes_before_the_network():
    split = pixels([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1])
    net = brightness_reader()
    assert ap.accuracy(net, split) == 1
    assert ap.accuracy(net, split, ap.Shift(0.2)) == 0.75
    assert ap.confusion(net, split, ap.Shift(-0.2)).tolist() == [[2, 0], [1, 1]]
    torch.testing.assert_close(ap.predict(net, split.images, ap.Shift(0.2)), ap.predict(net, split.images + 0.2))


@pytest.mark.parametrize("batch_size", [1, 7, 20, 500])
def test_logits_do_not_depend_on_the_batch_size(batch_size):
    torch.manual_seed(0)
    net, images = TinyCNN().train(), toy_split(20).images
    torch.testing.assert_close(ap.predict(net, images, batch_size=batch_size), net.eval()(images).detach())


@pytest.mark.parametrize("training", [True, False])
def test_measuring_changes_nothing(training):
    net, split = TinyCNN().train(training), toy_split(30)
    before, images = state_of(net), split.images.clone()
    ap.access(net, split, ap.Fixed((1, 8, 8), 0.1, 0.2, seed=0))
    ap.confusion(net, split)
    assert net.training == training and net.bn.training == training
    assert same(state_of(net), before) and torch.equal(split.images, images)
    assert not ap.predict(net, split.images).requires_grad


def test_the_mode_comes_back_after_an_error():
    net = TinyCNN().train()
    with pytest.raises(RuntimeError):
        ap.predict(net, torch.zeros(2, 5, 8, 8))
    assert net.training and net.bn.training


def test_device_of():
    assert evaluate.device_of(torch.nn.Linear(2, 2, device="meta")).type == "meta"
    assert evaluate.device_of(torch.nn.BatchNorm1d(2, affine=False, device="meta")).type == "meta"
    assert evaluate.device_of(torch.nn.Identity()).type == "cpu"


@pytest.mark.parametrize("correct, images, low, high", [
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: Wilson's score without correction.
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_the_binomial_interval_has_the_published_values(correct, images, low, high):
    assert ap.binomial_interval(correct, images) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 5000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_the_ends_of_the_interval_are_where_the_score_test_just_rejects(numbers):
    correct, images = numbers
    low, high = ap.binomial_interval(correct, images)
    assert 0 <= low <= correct / images + 1e-12 and correct / images - 1e-12 <= high <= 1  # but for rounding
    for end in {low, high} - {0, 1}:
        if 1e-9 < end < 1 - 1e-9:
            assert abs(correct / images - end) == pytest.approx(1.96 * (end * (1 - end) / images) ** 0.5, rel=1e-6)
    mirrored = ap.binomial_interval(images - correct, images)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_access_with_the_owners_transform():
    split = pixels([0.1, 0.2, 0.6, 0.7], [1, 1, 1, 0])
    found = ap.access(brightness_reader(), split, ap.Shift(0.45))
    assert found == ap.Access(authorized=0.75, unauthorized=0.5 - 0.25, images=4)
    assert str(found) == "authorized 75.0%, unauthorized 25.0% (4 images)"


def test_access_with_candidates():
    split = pixels([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1])
    candidates = ap.Candidates([ap.Shift(0.2), ap.Shift(0.0), ap.Shift(0.5)], [0.3, 0.1, 0.4])
    found = ap.access(brightness_reader(), split, candidates)
    assert isinstance(found, ap.AttackResult)
    assert found.accuracies == (0.75, 1.0, 0.5)
    assert (found.mean, found.best, found.worst, found.picked, found.images) == (0.75, 1.0, 0.5, 0.5, 4)
    assert str(found) == ("3 candidates: mean 75.0%, best 100.0%, worst 50.0%, the thief's own pick 50.0% (4 images)")


@pytest.mark.parametrize("clip", [False, True])
def test_the_size_of_a_perturbation(clip):
    images = torch.rand(7, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    transform = ap.Fixed((2, 5, 5), 0.3, 0.4, seed=1, clip=clip)
    change = transform(images).double().numpy() - images.double().numpy()
    found = ap.perturbation_size(transform, images, batch_size=3)
    assert found.squared_norm == pytest.approx(squared_norm(change), rel=1e-5)
    assert found.largest == pytest.approx(np.abs(change).max(), rel=1e-5)
    assert found.rms == pytest.approx(np.sqrt(np.mean(change ** 2)), rel=1e-5)
    assert found.psnr == pytest.approx(10 * np.log10(1 / np.mean(change ** 2)), abs=1e-4)  # the peak is 1
    if not clip:  # then images do not matter
        assert found.squared_norm == pytest.approx(transform.key.square().sum().item(), rel=1e-5)


def test_no_change_has_no_size():
    found = ap.perturbation_size(ap.Identity(), torch.rand(3, 1, 4, 4))
    assert (found.squared_norm, found.largest, found.rms, found.psnr) == (0, 0, 0, float("inf"))
    assert str(ap.perturbation_size(ap.Shift(0.1), torch.zeros(2, 1, 2, 2))) == (
        "‖x_p − x_r‖₂² 0.04, largest 0.1, root mean square 0.1, PSNR 20.0 dB")


def test_a_transform_is_measured_in_evaluation_mode():
    class Doubtful(ap.Transform):
        def perturbation(self, x):
            return torch.full_like(x[:1], 1.0 if self.training else 0.5)
    transform = Doubtful()
    assert ap.perturbation_size(transform, torch.zeros(2, 1, 2, 2)).largest == 0.5
    net = brightness_reader()
    torch.testing.assert_close(evaluate.predict(net, torch.zeros(1, 1, 1, 1), transform),
                               net(torch.full((1, 1, 1, 1), 0.5)).detach())
    assert transform.training  # and left as it was


def test_the_interval_over_draws():
    """Against the standard error, which the bootstrap of a mean comes to for many draws."""
    values = np.random.default_rng(3).beta(8, 3, size=400)
    low, high = ap.AttackResult(tuple(values), 0.0, 1).interval
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert ap.AttackResult((0.5,) * 10, 0.0, 1).interval == (0.5, 0.5)
    assert ap.AttackResult((0.3, 0.9), 0.0, 1).interval == ap.AttackResult((0.3, 0.9), 0.0, 1).interval == (0.3, 0.9)


def test_the_interval_holds_the_mean_about_95_times_of_100():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = evaluate.bootstrap_interval(generator.beta(8, 3, size=100), resamples=400)
        held += low <= 8 / 11 <= high
    assert 178 <= held <= 200  # 190 wanted; 12 is four standard deviations
