"""What a thief can try. He has the network, raw images and no label."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import TinyCNN, same, softmax, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import attacks

ATTACKS = {
    "direct": attacks.direct,
    "brightness": attacks.brightness,
    "input_only": lambda net, images: attacks.input_only(net, images, sigma=0.1, p=0.2, draws=3),
}


def test_no_attack_takes_labels():
    public = [function for name, function in inspect.getmembers(attacks, inspect.isfunction)
              if function.__module__ == attacks.__name__ and list(inspect.signature(function).parameters)[0] == "net"]
    assert {function.__name__ for function in public} >= {"direct", "brightness", "input_only"}
    allowed = {"net", "images", "shifts", "clip", "sigma", "p", "draws", "seed", "transforms"}
    for function in public:
        assert set(inspect.signature(function).parameters) <= allowed, function.__name__


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_images_are_left_as_they_were(attack, training):
    net, images = TinyCNN().train(training), toy_split(10).images
    before, pixels, random = state_of(net), images.clone(), torch.get_rng_state()
    attack(net, images)
    assert same(state_of(net), before), "weights or batch-normalization statistics changed"
    assert net.training == training and torch.equal(images, pixels) and torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_each_candidate_has_the_score_of_its_own_answers(attack):
    net, images = toy_linear(), toy_split(20).images
    found = attack(net, images)
    assert isinstance(found, ap.Candidates) and len(found.scores) == len(found)
    weight, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    expected = [information(transform(images).flatten(1).numpy() @ weight.T + bias) for transform in found.transforms]
    assert found.scores == pytest.approx(expected, rel=1e-4, abs=1e-6)


def information(logits):
    """The mutual information of image and answer as Σ q log (q / mean q), averaged over images; by NumPy."""
    q = softmax(logits)
    return np.mean(np.sum(q * np.log(q / q.mean(axis=0)), axis=1))


@given(st.integers(1, 20), st.integers(2, 8), st.integers(0, 10**6), st.floats(0.1, 10))
def test_decisiveness_is_the_mutual_information(count, classes, seed, scale):
    logits = scale * np.random.default_rng(seed).normal(size=(count, classes))
    found = attacks.decisiveness(torch.tensor(logits))
    assert found == pytest.approx(information(logits), abs=1e-9) and -1e-9 <= found <= math.log(classes) + 1e-9


def test_decisiveness_of_extreme_answers():
    sure = 1e4 * torch.eye(4)
    assert attacks.decisiveness(sure) == pytest.approx(math.log(4))  # sure, and every class occurs
    assert attacks.decisiveness(sure[[2, 2, 2]]) == pytest.approx(0)  # every image gets one class
    assert attacks.decisiveness(torch.zeros(3, 4)) == pytest.approx(0, abs=1e-6)  # nothing but doubt


def test_entropy():
    q = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
    expected = [math.log(2), 0, -(0.2 * math.log(0.2) + 0.3 * math.log(0.3) + 0.5 * math.log(0.5))]
    assert attacks.entropy(q).tolist() == pytest.approx(expected)


def test_direct_piracy_feeds_raw_images():
    split = toy_split(30)
    net = toy_linear()
    found = attacks.direct(net, split.images)
    assert len(found) == 1 and torch.equal(found.transforms[0](split.images), split.images)
    assert ap.access(net, split, found).best == ap.accuracy(net, split)


def test_brightness_covers_the_range_and_holds_no_shift_too():
    images = toy_split(4).images
    found = attacks.brightness(toy_linear(), images)
    values = [transform.value for transform in found.transforms]
    assert values[0] == -0.2 and values[-1] == 0.2 and 0.0 in values and values == sorted(values)
    torch.testing.assert_close(found.transforms[0](images), images - 0.2)
    assert not any(transform.clip for transform in found.transforms)


def test_brightness_with_other_shifts_and_clipped():
    found = attacks.brightness(toy_linear(), toy_split(4).images, shifts=[-0.5, 0.5], clip=True)
    assert [(transform.value, transform.clip) for transform in found.transforms] == [(-0.5, True), (0.5, True)]
    assert found.transforms[1](torch.ones(1, 1, 8, 8)).max() == 1


@pytest.mark.parametrize("clip", [False, True])
def test_input_only_draws_keys_of_the_known_sigma_and_p(clip):
    images = toy_split(4, channels=3).images
    found = attacks.input_only(toy_linear(192), images, sigma=0.3, p=0.25, draws=7, clip=clip)
    assert len(found) == 7
    for transform in found.transforms:
        assert isinstance(transform, ap.Fixed) and transform.clip == clip
        assert (transform.sigma, transform.p) == (0.3, 0.25) and transform.key.shape == (3, 8, 8)
    keys = {transform.key.numpy().tobytes() for transform in found.transforms}
    assert len(keys) == 7, "a key was drawn twice"


def test_input_only_follows_its_seed_and_more_draws_only_add_keys():
    net, images = toy_linear(), toy_split(4).images
    keys = lambda draws, seed: [transform.key for transform in  # noqa: E731
                                attacks.input_only(net, images, 0.1, 0.2, draws, seed).transforms]
    assert all(map(torch.equal, keys(3, 5), keys(3, 5)))
    assert all(map(torch.equal, keys(3, 5), keys(6, 5)))
    assert not torch.equal(keys(1, 5)[0], keys(1, 6)[0])


@settings(max_examples=50)
@given(st.integers(0, 2**63))
def test_with_the_owners_seed_the_thief_does_not_get_the_owners_key(seed):
    # Two independent keys of 784 pixels agree with probability (0.6² + 2·0.2²)^784 < 1e-278.
    owner = ap.Fixed((1, 28, 28), 0.1, 0.2, seed=seed)
    found = attacks.input_only(toy_linear(784), torch.zeros(1, 1, 28, 28), 0.1, 0.2, draws=5, seed=seed)
    assert not any(torch.equal(owner.key, guess.key) for guess in found.transforms)


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        attacks.input_only(toy_linear(), toy_split(2).images, 0.1, 0.2, draws=0)


def test_the_pick_uses_no_label():
    """The same candidates are picked whatever the labels: access alone sees those."""
    net, split = toy_linear(), toy_split(30)
    found = attacks.input_only(net, split.images, 0.1, 0.2, draws=6)
    relabelled = ap.Split(split.images, (split.labels + 1) % 10, split.indices)
    place = int(np.argmax(found.scores))
    for labelled in (split, relabelled):
        result = ap.access(net, labelled, found)
        assert result.picked == result.accuracies[place] == ap.accuracy(net, labelled, found.transforms[place])
