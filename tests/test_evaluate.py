"""Measurements, against counting by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import Linear, TinyCNN, same, squared_norm, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import evaluate


def answers(net, images):
    """What a toy_linear network answers to each image, by NumPy."""
    weight, bias = (
        net.weight.detach().numpy().astype(float),
        net.bias.detach().numpy().astype(float),
    )
    return [int(np.argmax(weight @ image.flatten() + bias)) for image in np.asarray(images, float)]


def brightness_reader():
    """Two classes of one-pixel images: answers 1 where the pixel is above 0.5."""
    return Linear([[0.0], [1.0]], [0.5, 0.0])


def pixels(values, labels):
    return ap.Split(
        torch.tensor(values).reshape(-1, 1, 1, 1), torch.tensor(labels), torch.arange(len(labels))
    )


def test_accuracy_and_confusion_by_brute_force():
    net, split = toy_linear(), toy_split(200)
    found, counts = answers(net, split.images), np.zeros((10, 10), int)
    pairs = list(zip(split.labels.tolist(), found, strict=True))
    for label, answer in pairs:
        counts[label, answer] += 1
    right = sum(label == answer for label, answer in pairs)
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
    torch.testing.assert_close(
        ap.predict(net, split.images, ap.Shift(0.2)), ap.predict(net, split.images + 0.2)
    )


@pytest.mark.parametrize("batch_size", [1, 7, 20, 500])
def test_logits_do_not_depend_on_the_batch_size(batch_size):
    torch.manual_seed(0)
    net, images = TinyCNN().train(), toy_split(20).images
    torch.testing.assert_close(
        ap.predict(net, images, batch_size=batch_size), net.eval()(images).detach()
    )


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


@pytest.mark.parametrize(
    "correct, images, low, high",
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3: Wilson's score without
        # correction.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_binomial_interval_has_the_published_values(correct, images, low, high):
    assert ap.binomial_interval(correct, images) == pytest.approx((low, high), abs=6e-5)


@given(
    st.integers(1, 5000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images)))
)
def test_the_ends_of_the_interval_are_where_the_score_test_just_rejects(numbers):
    correct, images = numbers
    low, high = ap.binomial_interval(correct, images)
    assert (
        0 <= low <= correct / images + 1e-12 and correct / images - 1e-12 <= high <= 1
    )  # but for rounding
    for end in {low, high} - {0, 1}:
        if 1e-9 < end < 1 - 1e-9:
            assert abs(correct / images - end) == pytest.approx(
                1.96 * (end * (1 - end) / images) ** 0.5, rel=1e-6
            )
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
    assert (found.mean, found.best, found.worst, found.picked, found.images) == (
        0.75,
        1.0,
        0.5,
        0.5,
        4,
    )
    assert str(found) == (
        "3 candidates: mean 75.0%, best 100.0%, worst 50.0%, the thief's own pick 50.0% (4 images)"
    )


@pytest.mark.parametrize("clip", [False, True])
def test_the_size_of_a_perturbation(clip):
    images = torch.rand(7, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    transform = ap.Fixed((2, 5, 5), 0.3, 0.4, seed=1, clip=clip)
    change = transform(images).double().numpy() - images.double().numpy()
    found = ap.perturbation_size(transform, images, batch_size=3)
    assert found.squared_norm == pytest.approx(squared_norm(change), rel=1e-5)
    assert found.largest == pytest.approx(np.abs(change).max(), rel=1e-5)
    assert found.rms == pytest.approx(np.sqrt(np.mean(change ** 2)), rel=1e-5)
    assert found.psnr == pytest.approx(
        10 * np.log10(1 / np.mean(change**2)), abs=1e-4
    )  # the peak is 1
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
    assert (
        ap.AttackResult((0.3, 0.9), 0.0, 1).interval
        == ap.AttackResult((0.3, 0.9), 0.0, 1).interval
        == (0.3, 0.9)
    )


def test_the_interval_holds_the_mean_about_95_times_of_100():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = evaluate.bootstrap_interval(generator.beta(8, 3, size=100), resamples=400)
        held += low <= 8 / 11 <= high
    assert 178 <= held <= 200  # 190 wanted; 12 is four standard deviations


# ---- a reader's own network

class Viewing(torch.nn.Module):
    """A textbook's CNN: it flattens with .view, which the channels-last layout does not allow."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.layouts = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4 * 36, 5), []

    def forward(self, x):
        self.layouts.append(
            "last" if x.is_contiguous(memory_format=torch.channels_last) else "first"
        )
        x = self.conv(x).relu()
        return self.fc(x.view(x.size(0), -1))


class Answering(torch.nn.Module):
    """Answers what it is told to, whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        return self.logits


class Noting(torch.nn.Module):
    """Notes what it is given; answers with the first pixels."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(x)
        return x.flatten(1)[:, :4]


def test_a_network_that_flattens_with_view():
    torch.manual_seed(0)
    net, images = Viewing(), toy_split(7, channels=3).images
    expected = net(images).detach()
    net.layouts.clear()
    torch.testing.assert_close(ap.predict(net, images, batch_size=3), expected)
    assert net.layouts == ["last", "first", "first", "first"], "tried once, not with every batch"


def test_a_network_that_takes_the_faster_layout_gets_it():
    net = Noting()
    ap.predict(net, toy_split(6, channels=3).images, batch_size=4)
    assert [len(batch) for batch in net.batches] == [4, 2]
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in net.batches)


@pytest.mark.parametrize("device, sizes", [("cpu", [100, 100, 1]), ("meta", [201])])
def test_the_batch_size_on_each_device(monkeypatch, device, sizes):
    class Placed(Noting):
        def __init__(self):
            super().__init__()
            self.register_buffer("here", torch.zeros(1, device=device))

    net = Placed()
    evaluate.ask(net, torch.zeros(201, 1, 2, 2))
    assert [len(batch) for batch in net.batches] == sizes
    assert {batch.device.type for batch in net.batches} == {device}
    net.batches.clear()
    evaluate.ask(net, torch.zeros(2001, 1, 1, 1))
    assert [len(batch) for batch in net.batches] == (
        [2000, 1] if device == "meta" else [100] * 20 + [1]
    )


def test_an_error_of_the_network_is_its_own():
    with pytest.raises(RuntimeError, match="expected input"):
        ap.predict(TinyCNN(), torch.zeros(2, 5, 8, 8))


@pytest.mark.parametrize("numbers", [torch.float64, torch.float16])
def test_a_network_in_another_type_of_numbers(numbers):
    net, images = toy_linear().to(numbers), toy_split(5).images
    found = ap.predict(net, images, ap.Shift(0.1))
    assert found.dtype == numbers
    torch.testing.assert_close(found, net((images + 0.1).to(numbers)).detach())


def test_a_transform_in_another_type_of_numbers():
    key, net, images = ap.Generator(1, 2, seed=0).double(), toy_linear(), toy_split(5).images
    expected = net(key(images.double()).float()).detach()
    torch.testing.assert_close(ap.predict(net, images, key), expected)
    size = (key(images.double()) - images).detach().numpy()
    assert ap.perturbation_size(key, images).squared_norm == pytest.approx(squared_norm(size))


@pytest.mark.parametrize("answer, found", [
    ((torch.zeros(4, 3), None), "got tuple"), (torch.zeros(4), r"shape \(4,\)"),
    (torch.zeros(3, 10), r"shape \(3, 10\)"), (torch.zeros(4, 0), r"shape \(4, 0\)"),
    (torch.zeros(4, 2, 2), r"shape \(4, 2, 2\)")])
def test_a_network_that_returns_no_logits_is_refused(answer, found):
    with pytest.raises(
        ValueError, match=rf"must return logits, .*\(N, num_classes\) with N = 4, .*{found}"
    ):
        ap.predict(Answering(answer), toy_split(4).images)


def test_a_network_of_one_class_answers_it():
    assert ap.predict(Answering(torch.ones(4, 1)), toy_split(4).images).tolist() == [[1.0]] * 4


def test_no_image_and_one_image():
    net = TinyCNN(classes=3)
    assert ap.predict(net, torch.zeros(0, 1, 8, 8)).shape == (0, 3)
    assert ap.predict(net, torch.zeros(0, 1, 8, 8), ap.Shift(0.1)).shape == (0, 3)
    with pytest.raises(
        ValueError,
        match=r"must be a tensor \(N, C, H, W\) with N ≥ 1, got Tensor of shape \(1, 8, 8\)",
    ):
        ap.predict(net, torch.zeros(1, 8, 8))
    with pytest.raises(ValueError, match="got ndarray"):
        ap.predict(net, np.zeros((2, 1, 8, 8), np.float32))


def test_what_is_no_transform_is_refused():
    with pytest.raises(ValueError, match="transform must be a module such as Fixed, got float"):
        ap.predict(TinyCNN(), toy_split(2).images, 0.1)


@pytest.mark.parametrize("size", [0, 2.5])
def test_other_batch_sizes_are_refused(size):
    for measure in (
        lambda: ap.predict(TinyCNN(), toy_split(2).images, batch_size=size),
        lambda: ap.perturbation_size(ap.Identity(), toy_split(2).images, batch_size=size),
    ):
        with pytest.raises(ValueError, match="batch_size must be a whole number, 1 or more"):
            measure()


# ---- pixels

@pytest.mark.parametrize(
    "low, high, raw, processed",
    [
        (0.0, 1.0, True, True),
        (-0.01, 1.0, False, True),
        (0.0, 1.01, False, True),
        (-0.999, 1.999, False, True),
        (-1.0, 1.0, False, False),
        (0.0, 2.0, False, False),
        (0.0, 255.0, False, False),
        (-math.inf, 0.5, False, False),
        (0.5, math.nan, False, False),
    ],
)
def test_pixels_out_of_range_are_refused(low, high, raw, processed):
    net, images = toy_linear(), torch.full((2, 1, 8, 8), 0.5)
    images[0, 0, 0, 0], images[1, 0, 7, 7] = low, high
    for allowed, arguments in ((raw, (ap.Identity(),)), (processed, ())):
        if allowed:
            ap.predict(net, images, *arguments)
        else:
            with pytest.raises(ValueError, match="pixels"):
                ap.predict(net, images, *arguments)
    if not raw:
        with pytest.raises(ValueError, match="pixels"):
            ap.perturbation_size(ap.Identity(), images)


def test_pixels_of_255_say_what_to_do():
    with pytest.raises(
        ValueError, match=r"found values from 0 to 255: divide 8-bit pixels by 255, and leave norm"
    ):
        ap.predict(toy_linear(), torch.tensor([0.0, 255.0]).repeat(1, 1, 8, 4))
    with pytest.raises(ValueError, match="must hold floating-point pixels.*got torch.uint8"):
        ap.predict(toy_linear(), torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


# ---- answers that are not finite

INF, NAN = math.inf, math.nan


def test_answers_that_are_not_finite_are_reported():
    answers = torch.tensor([[1.0, 2.0], [NAN, 1.0], [INF, 0.0], [-INF, -INF], [-INF, 0.0]])
    split = toy_split(5, classes=2)
    for measure in (ap.accuracy, ap.confusion, evaluate.count_correct):
        with pytest.raises(
            ValueError,
            match="logits are NaN or infinite for 3 of 5 images: has its training diverged?",
        ):
            measure(Answering(answers), split)
    kept = torch.tensor([[1.0, 2.0], [-INF, 1.0]])
    assert torch.equal(ap.predict(Answering(kept), split.images[:2]), kept)


def test_a_candidate_whose_answers_are_not_finite_gets_nothing_right():
    split = pixels([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1])
    lost, half = ap.Shift(0.0), Half()
    lost.value = NAN
    candidates = ap.Candidates([lost, ap.Shift(0.2), half], [-INF, 0.1, 0.0])
    found = ap.access(brightness_reader(), split, candidates)
    assert found.accuracies == (0.0, 0.75, 0.5) and found.picked == 0.75


class Half(ap.Transform):
    """Loses the images that are darker than 0.5."""

    def perturbation(self, x):
        return torch.where(x < 0.5, NAN, 0.0)


def test_a_change_that_is_not_finite_is_reported():
    with pytest.raises(ValueError, match="changes some pixels by NaN or by infinity"):
        ap.perturbation_size(Half(), torch.full((1, 1, 2, 2), 0.2))


# ---- labels

def test_labels_that_the_network_cannot_answer():
    net, split = toy_linear(classes=4), toy_split(20)
    with pytest.raises(
        ValueError,
        match="labels from 0 to 3, because the network has 4 classes, found .* from 0 to 9",
    ):
        ap.confusion(net, split)
    found = answers(net, split.images)
    assert ap.accuracy(net, split) == np.mean(
        [a == b for a, b in zip(found, split.labels.tolist(), strict=True)]
    )
    for wrong in (-1, 4):
        labels = torch.tensor([0, wrong])
        with pytest.raises(ValueError, match="labels from 0 to 3"):
            ap.confusion(net, ap.Split(split.images[:2], labels, labels))


@pytest.mark.parametrize(
    "measure",
    [
        evaluate.count_correct,
        ap.accuracy,
        ap.confusion,
        lambda net, split: ap.access(net, split, ap.Identity()),
        lambda net, split: ap.access(net, split, ap.Candidates([ap.Identity()], [1.0])),
    ],
)
def test_splits_that_cannot_be_measured_are_refused(measure):
    split = toy_split(4)
    with pytest.raises(ValueError, match="the split holds no image"):
        measure(toy_linear(), ap.Split(split.images[:0], split.labels[:0], split.indices[:0]))
    with pytest.raises(ValueError, match="labels must be of type torch.int64, got torch.int32"):
        measure(toy_linear(), ap.Split(split.images, split.labels.int(), split.indices))
    with pytest.raises(ValueError, match="one label for each of 4 images"):
        measure(toy_linear(), ap.Split(split.images, split.labels[:, None], split.indices))


def test_no_image_has_no_perturbation():
    with pytest.raises(ValueError, match="N ≥ 1"):
        ap.perturbation_size(ap.Identity(), torch.zeros(0, 1, 8, 8))


# ---- what is measured stays as it is

def test_a_transform_on_another_device_stays_there():
    key, net = ap.Learned((1, 8, 8), seed=0), TinyCNN().to("meta")
    before = key.delta
    found = evaluate.ask(net, toy_split(3).images, key)
    assert found.device.type == "meta" and key.delta is before and before.device.type == "cpu"


def test_a_transform_of_the_same_device_is_called_itself():
    class Counting(ap.Transform):
        def perturbation(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return torch.zeros_like(x[:1])

    transform = Counting()
    ap.predict(toy_linear(), toy_split(6).images, transform, batch_size=2)
    assert transform.calls == 3


def test_each_part_keeps_its_mode_and_nothing_else_changes():
    net, key, split = TinyCNN().train(), ap.Learned((1, 8, 8), seed=0).train(), toy_split(8)
    net.bn.eval()
    modes = [part.training for part in net.modules()]
    random = torch.get_rng_state()
    ap.access(net, split, key)
    ap.perturbation_size(key, split.images)
    assert [part.training for part in net.modules()] == modes == [
        True,
        True,
        False,
        True,
    ] and key.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None and p.requires_grad for p in (*net.parameters(), *key.parameters()))


def test_measuring_records_no_gradients():
    class Asked(ap.Transform):
        def perturbation(self, x):
            self.recorded = torch.is_grad_enabled()
            return torch.zeros_like(x[:1])

    asked = Asked()
    ap.perturbation_size(asked, torch.zeros(1, 1, 2, 2))
    assert asked.recorded is False
    ap.predict(brightness_reader(), torch.zeros(1, 1, 1, 1), asked)
    assert asked.recorded is False


def test_a_perturbation_is_measured_in_batches():
    class Sizes(ap.Transform):
        def __init__(self):
            super().__init__()
            self.sizes = []

        def perturbation(self, x):
            self.sizes.append(len(x))
            return torch.zeros_like(x[:1])

    sizes = Sizes()
    ap.perturbation_size(sizes, torch.zeros(1001, 1, 2, 2))
    assert sizes.sizes == [1000, 1]


# ---- intervals

def test_the_intervals_of_known_lists():
    """Percentiles of 2,000 means of draws with replacement, by NumPy's own generator."""
    values = [0.1, 0.4, 0.4, 0.9]
    assert ap.AttackResult(tuple(values), 0.0, 1).interval == evaluate.bootstrap_interval(values)
    for resamples, arguments in ((2000, ()), (50, (50,))):
        draws = np.random.default_rng(0).integers(0, 4, (resamples, 4))
        means = np.sort(np.array(values)[draws].mean(axis=1))
        expected = [
            np.interp(share * (resamples - 1), np.arange(resamples), means)
            for share in (0.025, 0.975)
        ]
        assert evaluate.bootstrap_interval(values, *arguments) == pytest.approx(
            tuple(expected), abs=1e-12
        )
    assert all(type(end) is float for end in evaluate.bootstrap_interval(values))


@pytest.mark.parametrize("values", [[], [0.1, NAN], [0.1, INF], [[0.1]], 0.5])
def test_an_interval_of_no_numbers_is_refused(values):
    with pytest.raises(ValueError, match="at least one number, all finite"):
        evaluate.bootstrap_interval(values)
    with pytest.raises(ValueError, match="resamples must be a whole number, 1 or more"):
        evaluate.bootstrap_interval([0.5], resamples=0)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ((-1, 5), "correct"),
        ((6, 5), "correct"),
        ((0, 0), "images"),
        ((1, 2.5), "images"),
        ((1, 5, 0), "z"),
        ((NAN, 5), "correct"),
    ],
)
def test_a_binomial_interval_of_impossible_counts_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        ap.binomial_interval(*arguments)


def test_binomial_intervals_with_other_z():
    low, high = ap.binomial_interval(3, 10, z=1.0)
    for end in (low, high):
        assert abs(0.3 - end) == pytest.approx((end * (1 - end) / 10) ** 0.5)
    assert (
        low < 0.3 < high
        and ap.binomial_interval(0, 10)[0] == 0.0
        and ap.binomial_interval(10, 10)[1] == 1.0
    )
    assert ap.binomial_interval(1, 1, 0.5)[0] > 0.5


def test_results_cannot_be_changed():
    for result in (
        ap.Access(0.1, 0.2, 3),
        ap.AttackResult((0.1,), 0.1, 3),
        ap.PerturbationSize(1.0, 1.0, 1.0),
    ):
        with pytest.raises(AttributeError):
            result.images = 5
    assert "accuracies" not in repr(ap.AttackResult((0.1,), 0.1, 3))


def test_the_faster_layout_is_lent_and_given_back():
    """Images and weights lie channels-last while the network is asked, and never afterwards."""
    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.seen = nn.Conv2d(3, 4, 3), set()

        def forward(self, x):
            self.seen.add(tuple(tensor.is_contiguous(memory_format=torch.channels_last)
                                for tensor in (x, self.conv.weight)))
            return self.conv(x).mean(dim=(2, 3))

    net, images = Watched(), torch.rand(5, 3, 8, 8)
    ap.predict(net, images, batch_size=2)
    ap.fgsm(net, images, torch.zeros(5).long(), 0.1)
    ap.attacks.climb(net, images, tries=1, steps=2, batch_size=2)
    assert net.seen == {(True, True)} and net.conv.weight.is_contiguous()
