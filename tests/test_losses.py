"""The loss, each term against NumPy, against its derivative by hand, and by finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import Devices, cross_entropy, softmax, squared_norm, true_probability

import apdnn_lite as ap


def batch(count=5, classes=4, channels=2, side=3, seed=0):
    """Logits for processed and raw images, labels, perturbation, in float64."""
    generator = np.random.default_rng(seed)

    def numbers(*shape):
        return torch.tensor(generator.normal(size=shape))

    labels = torch.tensor(generator.integers(classes, size=count))
    return (
        numbers(count, classes),
        numbers(count, classes),
        labels,
        numbers(count, channels, side, side),
    )


@given(
    st.integers(1, 9),
    st.integers(2, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 10**6),
    *[st.floats(0, 5)] * 3,
)
def test_each_term_and_the_total_as_numpy_computes_them(
    count, classes, channels, side, seed, alpha, beta, gamma
):
    processed, raw, labels, perturbation = batch(count, classes, channels, side, seed)
    terms = ap.AntiPiracyLoss(alpha, beta, gamma)(processed, raw, labels, perturbation)
    expected = (
        cross_entropy(processed, labels),
        true_probability(raw, labels),
        squared_norm(perturbation),
    )
    assert (terms.processed.item(), terms.raw.item(), terms.size.item()) == pytest.approx(expected)
    assert terms.total.item() == pytest.approx(np.dot((alpha, beta, gamma), expected))


def test_values_worked_out_by_hand():
    # Logits log 1, log 3 make q = (1/4, 3/4). The perturbation has 2×2×2 entries of 0.1.
    logits = torch.tensor([[0.0, np.log(3)]], dtype=torch.float64)
    terms = ap.AntiPiracyLoss(1, 2, 0.5)(
        logits, logits, torch.tensor([1]), torch.full((1, 2, 2, 2), 0.1)
    )
    assert terms.processed.item() == pytest.approx(np.log(4 / 3))
    assert terms.raw.item() == pytest.approx(3 / 4)
    assert terms.size.item() == pytest.approx(8 * 0.01)
    assert terms.total.item() == pytest.approx(np.log(4 / 3) + 2 * 3 / 4 + 0.5 * 0.08)


@pytest.mark.parametrize("term", ap.LossTerms._fields)
def test_gradcheck(term):
    processed, raw, labels, perturbation = batch()
    inputs = [tensor.requires_grad_() for tensor in (processed, raw, perturbation)]
    loss = ap.AntiPiracyLoss(0.7, 1.3, 0.2)
    assert torch.autograd.gradcheck(lambda p, r, d: getattr(loss(p, r, labels, d), term), inputs)


def test_gradients_derived_by_hand():
    processed, raw, labels, perturbation = batch()
    inputs = [tensor.requires_grad_() for tensor in (processed, raw, perturbation)]
    ap.AntiPiracyLoss(0.7, 1.3, 0.2)(processed, raw, labels, perturbation).total.backward()
    truth = np.eye(4)[labels]
    # d(−log q_c)/dz = q − truth;  d(q_c)/dz = q_c (truth − q);  d‖δ‖²/dδ = 2δ; each over N.
    q, count = softmax(raw.detach()), len(labels)
    by_hand = (0.7 * (softmax(processed.detach()) - truth) / count,
               1.3 * (q * truth).sum(axis=1, keepdims=True) * (truth - q) / count,
               0.2 * 2 * perturbation.detach().numpy() / count)
    for tensor, expected in zip(inputs, by_hand, strict=True):
        np.testing.assert_allclose(tensor.grad, expected, rtol=1e-9, atol=1e-12)


def test_a_weight_of_zero_switches_its_term_off_but_still_reports_it():
    terms = ap.AntiPiracyLoss(1, 0, 0)(*batch())
    assert torch.equal(terms.total, terms.processed)
    assert terms.raw > 0 and terms.size > 0


def test_huge_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4]])
    terms = ap.AntiPiracyLoss()(logits, logits, torch.tensor([1]), torch.zeros(1, 1, 2, 2))
    assert terms.processed.item() == pytest.approx(2e4) and terms.raw.item() == 0


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number at least 0, got {value}"):
        ap.AntiPiracyLoss(**{name: value})


@pytest.mark.parametrize(
    "position, wrong, message",
    [
        (
            0,
            torch.zeros(5, 3),
            (
                r"logits_raw must be a floating-point tensor of shape \(5, 3\), got Tensor of shape"
                r" \(5, 4\)"
            ),
        ),
        (
            0,
            torch.zeros(5),
            r"logits_processed must be .* of shape \(N, num_classes\), got Tensor of shape \(5,\)",
        ),
        (
            0,
            torch.zeros(0, 4),
            (
                r"logits_processed must be .* of shape \(N, num_classes\), got Tensor of shape"
                r" \(0, 4\)"
            ),
        ),
        (0, torch.zeros(5, 0), r"logits_processed must be"),
        (
            0,
            torch.zeros(5, 4, dtype=torch.int64),
            "logits_processed must be a floating-point .* and type torch.int64",
        ),
        (
            0,
            (torch.zeros(5, 4), torch.zeros(5, 2)),
            "logits_processed must be a floating-point tensor .*, got tuple",
        ),
        (
            1,
            torch.zeros(4, 4),
            r"logits_raw must be .* of shape \(5, 4\), got Tensor of shape \(4, 4\)",
        ),
        (
            1,
            torch.zeros(6, 4),
            r"logits_raw must be .* of shape \(5, 4\), got Tensor of shape \(6, 4\)",
        ),
        (
            1,
            torch.zeros(5, 5),
            r"logits_raw must be .* of shape \(5, 4\), got Tensor of shape \(5, 5\)",
        ),
        (1, [0.0], "logits_raw must be .*, got list"),
        (
            2,
            torch.zeros(4, dtype=torch.int64),
            r"labels must be a tensor with one label for each of 5 images, got .*\(4,\)",
        ),
        (
            2,
            torch.zeros(5, 1, dtype=torch.int64),
            "labels must be a tensor with one label for each of 5 images",
        ),
        (2, [0, 1, 2, 3, 0], "labels must be a tensor .*, got list"),
        (
            2,
            torch.zeros(5, dtype=torch.int32),
            "labels must be of type torch.int64, got torch.int32: convert them by labels.long",
        ),
        (2, torch.zeros(5), "labels must be of type torch.int64, got torch.float32"),
        (
            2,
            torch.tensor([0, 1, 2, 3, 4]),
            "labels must lie in 0 … 3, as the network has 4 classes; found 0 … 4",
        ),
        (
            2,
            torch.tensor([0, 1, 2, 3, -1]),
            "labels must lie in 0 … 3, as the network has 4 classes; found -1 … 3",
        ),
        (
            2,
            torch.tensor([0, -100, 2, 3, 3]),
            "labels must lie in",
        ),  # cross_entropy would leave it out in silence
        (
            3,
            torch.zeros(5, 9),
            r"perturbation must be .* of shape \(5, C, H, W\), got Tensor of shape \(5, 9\)",
        ),
        (3, torch.zeros(2, 3, 3), "perturbation"),
        (3, torch.zeros(1, 2, 3, 3), "perturbation"),
        (3, torch.zeros(6, 2, 3, 3), "perturbation"),
        (3, torch.zeros(5, 2, 3, 3, 1), "perturbation"),
        (3, torch.zeros(5, 2, 3, 3, dtype=torch.uint8), "perturbation must be a floating-point"),
        (3, None, "perturbation must be .*, got NoneType"),
    ],
)
def test_what_does_not_go_together_is_refused(position, wrong, message):
    arguments = list(batch())
    arguments[position] = wrong
    with pytest.raises(ValueError, match=message):
        ap.AntiPiracyLoss()(*arguments)


def test_the_smallest_batch_and_every_class():
    loss = ap.AntiPiracyLoss()
    for label in range(4):
        terms = loss(
            torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([label]), torch.zeros(1, 1, 1, 1)
        )
        assert terms.processed.item() == pytest.approx(
            np.log(4)
        ) and terms.raw.item() == pytest.approx(1 / 4)
    assert (
        loss(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([0]), torch.zeros(1, 1, 1, 1)).total
        == 1
    )


def test_what_counts_unless_one_says_otherwise():
    loss = ap.AntiPiracyLoss()
    assert (loss.alpha, loss.beta, loss.gamma) == (1.0, 1.0, 0.01)
    terms = loss(*batch())
    assert terms.total.item() == pytest.approx(
        (terms.processed + terms.raw + 0.01 * terms.size).item(), rel=1e-12
    )
    names = ap.AntiPiracyLoss(gamma=3, beta=2, alpha=np.float32(1.5))
    assert (names.alpha, names.beta, names.gamma) == (1.5, 2.0, 3.0)


def test_nothing_of_it_is_read_by_the_host():
    """So a graphics card can record it as a CUDA graph: on "meta" there are no values to read."""
    arguments = [tensor.to("meta") for tensor in batch()]
    with Devices():
        terms = ap.AntiPiracyLoss()(*arguments)
    assert all(term.is_meta and term.shape == () for term in terms)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_is_recorded_as_a_cuda_graph():
    loss, graph = ap.AntiPiracyLoss(), torch.cuda.CUDAGraph()
    arguments = [tensor.cuda() for tensor in batch()]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        loss(*arguments)
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        total = loss(*arguments).total
    graph.replay()
    assert total.item() == pytest.approx(ap.AntiPiracyLoss()(*batch()).total.item())


def test_its_text_names_the_weights():
    assert repr(ap.AntiPiracyLoss(1, 2, 0.01)) == "AntiPiracyLoss(alpha=1, beta=2, gamma=0.01)"
