"""What a thief can try. They have the network, raw images and no label."""

import copy
import inspect
import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from toys import Devices, Linear, TinyCNN, same, softmax, state_of, toy_linear, toy_split

import apdnn_lite as ap
from apdnn_lite import attacks

ATTACKS = {
    "direct": attacks.direct,
    "brightness": attacks.brightness,
    "input_only": lambda net, images: attacks.input_only(net, images, sigma=0.1, p=0.2, draws=3),
    "climb": lambda net, images: attacks.climb(net, images, tries=2, steps=3, batch_size=7),
    "pair": lambda net, images: attacks.pair(
        net, images, *pairs_of(ap.Shift(0.1)), width=2, tries=2, steps=3
    ),
    "pair_universal": lambda net, images: attacks.pair_universal(
        net, images, *pairs_of(ap.Shift(0.1))
    ),
}


def pairs_of(transform, count=4):
    """Raw images and what the owner makes of them."""
    raw = toy_split(count, seed=9).images
    with torch.no_grad():
        return raw, transform(raw)


def test_each_attack_takes_what_its_adversary_has_and_nothing_else():
    """The threat model: on the left what the thief was given, on the right how they go about it."""
    has = {
        "direct": ({"net", "images"}, set()),
        "brightness": ({"net", "images"}, {"shifts", "clip"}),
        "input_only": ({"net", "images", "sigma", "p"}, {"draws", "seed", "clip"}),
        "climb": (
            {"net", "images"},
            {"tries", "steps", "lr", "batch_size", "sigma", "seed", "clip"},
        ),
        "pair": (
            {"net", "images", "raw", "processed"},
            {"width", "activation", "form", "tries", "steps", "lr", "batch_size", "seed", "clip"},
        ),
        "pair_universal": ({"net", "images", "raw", "processed"}, {"clip"}),
    }
    found = {
        name: inspect.signature(function).parameters.values()
        for name, function in inspect.getmembers(attacks, inspect.isfunction)
        if function.__module__ == attacks.__name__
        and function not in (attacks.candidates, attacks.raise_score)
        and "net" in inspect.signature(function).parameters
    }
    assert found.keys() == has.keys()
    for name, parameters in found.items():
        given, own = has[name]
        assert {each.name for each in parameters if each.default is each.empty} == given, name
        assert {each.name for each in parameters if each.default is not each.empty} == own, name
        assert all(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters), (
            f"{name} takes anything"
        )


@pytest.mark.parametrize("images_on", ["cpu", "meta"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_network_may_be_on_another_device_than_the_images(monkeypatch, attack, images_on):
    monkeypatch.setattr(
        torch.Tensor, "item", lambda tensor: 0.5
    )  # the scores: "meta" has no values
    with Devices():
        tried = attack(TinyCNN().to("meta"), toy_split(8).images.to(images_on))
    assert tried.scores == [0.5] * len(tried.transforms)
    assert {
        tensor.device.type for each in tried.transforms for tensor in state_of(each).values()
    } <= {"meta"}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize(
    "given, found",
    [
        (toy_split(4), "Split"),
        (toy_split(4).images[0], r"\(1, 8, 8\)"),
        (toy_split(4).images[:0], r"\(0, 1, 8, 8\)"),
        (toy_split(4).images.numpy(), "ndarray"),
    ],
)
def test_what_holds_labels_or_is_no_batch_of_images_is_refused(attack, given, found):
    with pytest.raises(
        ValueError, match=rf"images must be a tensor \(N, C, H, W\) with N ≥ 1, got .*{found}"
    ):
        attack(toy_linear(), given)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_images_are_left_as_they_were(attack, training):
    net, images = TinyCNN().train(training), toy_split(10).images
    before, pixels, random = state_of(net), images.clone(), torch.get_rng_state()
    attack(net, images)
    assert same(state_of(net), before), "weights or batch-normalization statistics changed"
    assert (
        net.training == training
        and torch.equal(images, pixels)
        and torch.equal(torch.get_rng_state(), random)
    )
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_each_candidate_has_the_score_of_its_own_answers(attack):
    net, images = toy_linear(), toy_split(20).images
    found = attack(net, images)
    assert isinstance(found, ap.Candidates) and len(found.scores) == len(found)
    weight, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    expected = [
        information(transform(images).flatten(1).numpy() @ weight.T + bias)
        for transform in found.transforms
    ]
    assert found.scores == pytest.approx(expected, rel=1e-4, abs=1e-6)


def information(logits):
    """The mutual information of image and answer, by NumPy.

    It is Σ q log (q / mean q), averaged over images.
    """
    q = softmax(logits)
    return np.mean(np.sum(q * np.log(q / q.mean(axis=0)), axis=1))


@given(st.integers(1, 20), st.integers(2, 8), st.integers(0, 10**6), st.floats(0.1, 10))
def test_decisiveness_is_the_mutual_information(count, classes, seed, scale):
    logits = scale * np.random.default_rng(seed).normal(size=(count, classes))
    found = attacks.decisiveness(torch.tensor(logits))
    assert (
        found == pytest.approx(information(logits), abs=1e-9)
        and -1e-9 <= found <= math.log(classes) + 1e-9
    )


def test_decisiveness_of_extreme_answers():
    sure = 1e4 * torch.eye(4)
    assert attacks.decisiveness(sure) == pytest.approx(math.log(4))  # sure, and every class occurs
    assert attacks.decisiveness(sure[[2, 2, 2]]) == pytest.approx(0)  # every image gets one class
    assert attacks.decisiveness(torch.zeros(3, 4)) == pytest.approx(
        0, abs=1e-6
    )  # nothing but doubt


def test_the_score_can_be_climbed_from_answers_that_are_as_sure_as_float32_can_tell():
    logits = torch.tensor([[200.0, 0.0, -200.0], [0.0, 200.0, -200.0]], requires_grad=True)
    attacks.information(logits).backward()
    assert logits.grad.isfinite().all()


def test_entropy():
    q = torch.tensor([[0.5, 0.5, 1e-30], [1.0, 1e-30, 1e-30], [0.2, 0.3, 0.5]])
    expected = [math.log(2), 0, -(0.2 * math.log(0.2) + 0.3 * math.log(0.3) + 0.5 * math.log(0.5))]
    assert attacks.entropy(q.log()).tolist() == pytest.approx(expected)


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
    assert [(transform.value, transform.clip) for transform in found.transforms] == [
        (-0.5, True),
        (0.5, True),
    ]
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
    found = attacks.input_only(
        toy_linear(784), torch.zeros(1, 1, 28, 28), 0.1, 0.2, draws=5, seed=seed
    )
    assert not any(torch.equal(owner.key, guess.key) for guess in found.transforms)


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="draws must be a whole number, 1 or more, got 0"):
        attacks.input_only(toy_linear(), toy_split(2).images, 0.1, 0.2, draws=0)


def locked_linear(split, strength=12.0):
    """A linear network and its owner's transform.

    The network is right on processed images, and gives every raw one class 0. The owner adds a
    perturbation δ of his own with W·δ = −strength for class 0 and 0 for the others, which the bias
    undoes.
    """
    features = split.images.flatten(1)
    centered = features - features.mean(dim=0)
    weight = (
        torch.linalg.lstsq(
            centered, torch.nn.functional.one_hot(split.labels, 10).float()
        ).solution.T
        * 6
    )
    wanted = torch.zeros(10)
    wanted[0] = -strength
    key = ap.Learned((1, 8, 8)).requires_grad_(False)
    key.delta.copy_(torch.linalg.lstsq(weight, wanted[:, None]).solution.view(1, 8, 8))
    bias = -wanted - features.mean(dim=0) @ weight.T
    return Linear(weight.tolist(), bias.tolist()), key


def test_climbing_opens_a_lock_without_a_label_or_a_guess():
    split = toy_split(40)
    net, key = locked_linear(split)
    owner = ap.access(net, split, key)
    assert owner.unauthorized == 0.1 and owner.authorized > 0.9, "the toy is no lock"
    start = attacks.candidates(net, split.images, [ap.Learned((1, 8, 8), 0.03, seed=1)])
    found = attacks.climb(net, split.images, tries=3, steps=50, lr=0.02, batch_size=40)
    assert min(found.scores) > start.scores[0] + 0.5, "the score did not rise"
    assert ap.access(net, split, found).picked > 0.9


def test_climbing_goes_up_the_gradient_of_the_score():
    """One step of Adam moves each pixel by the learning rate, the way that raises the score."""
    net, images = toy_linear(), toy_split(12).images
    start = np.random.SeedSequence(3).spawn(1)[0]
    began = ap.Learned((1, 8, 8), 0.03, start).delta.detach()
    moved = (
        attacks.climb(net, images, tries=1, steps=1, lr=1e-3, batch_size=12, seed=3)
        .transforms[0]
        .delta
        - began
    )
    weight, bias = net.weight.detach().double().numpy(), net.bias.detach().double().numpy()

    def score(delta):
        return information((images.double().numpy() + delta).reshape(12, -1) @ weight.T + bias)

    for pixel in range(0, 64, 7):
        step = np.zeros((1, 8, 8))
        step.flat[pixel] = 1e-5
        slope = score(began.numpy() + step) - score(began.numpy() - step)
        assert moved.flatten()[pixel] == pytest.approx(1e-3 * np.sign(slope), rel=0.01)


def test_climbing_follows_its_seed_and_each_try_starts_anew():
    net, images = toy_linear(), toy_split(12).images

    def climbed(seed):
        found = attacks.climb(net, images, tries=2, steps=2, batch_size=5, seed=seed)
        return [thief.delta for thief in found.transforms]

    assert all(map(torch.equal, climbed(4), climbed(4))) and not torch.equal(
        climbed(4)[0], climbed(5)[0]
    )
    assert not torch.equal(*climbed(4))
    clipped = attacks.climb(net, images, tries=1, steps=1, sigma=2.0, clip=True).transforms[0]
    assert clipped.clip and clipped(images).min() >= 0


@pytest.mark.parametrize("options", [{"tries": 0}, {"steps": 0}, {"batch_size": 0}])
def test_nothing_to_climb_is_refused(options):
    with pytest.raises(
        ValueError, match=f"{next(iter(options))} must be a whole number, 1 or more, got 0"
    ):
        attacks.climb(toy_linear(), toy_split(4).images, **options)


def test_the_pick_uses_no_label():
    """The same candidates are picked whatever the labels: access alone sees those."""
    net, split = toy_linear(), toy_split(30)
    found = attacks.input_only(net, split.images, 0.1, 0.2, draws=6)
    relabeled = ap.Split(split.images, (split.labels + 1) % 10, split.indices)
    place = int(np.argmax(found.scores))
    for labeled in (split, relabeled):
        result = ap.access(net, labeled, found)
        assert (
            result.picked
            == result.accuracies[place]
            == ap.accuracy(net, labeled, found.transforms[place])
        )


# ---- pairs

@pytest.mark.parametrize(
    "transform",
    [ap.Fixed((1, 8, 8), 0.1, 0.2, seed=3), ap.Learned((1, 8, 8), 0.05, seed=3)],
    ids=["fixed", "learned"],
)
def test_one_pair_gives_a_universal_perturbation_away(transform):
    raw, processed = pairs_of(transform, 1)
    found = attacks.pair_universal(toy_linear(), raw, raw, processed)
    split = toy_split(50, seed=4)
    torch.testing.assert_close(
        found.transforms[0](split.images), transform(split.images).detach(), atol=1e-6, rtol=0
    )
    assert len(found) == 1 and not any(p.requires_grad for p in found.transforms[0].parameters())
    assert ap.access(toy_linear(), split, found).best == ap.accuracy(toy_linear(), split, transform)


def test_clipping_hides_a_part_of_the_perturbation_from_one_pair_but_not_from_many():
    owner = ap.Fixed((1, 8, 8), 0.3, 0.4, seed=3, clip=True)
    key = owner.key.flatten()
    raw, processed = pairs_of(owner, 200)
    guess = lambda count: attacks.pair_universal(  # noqa: E731
        toy_linear(), raw, raw[:count], processed[:count], clip=True).transforms[0]
    one, many = guess(1).delta.flatten(), guess(200).delta.flatten()
    hidden = (one - key).abs() > 1e-6
    assert hidden.any() and (one.abs() <= key.abs() + 1e-6).all() and (one * key >= 0).all()
    # With 200 random images no pixel is within 0.3 of the edge in all: 0.3^200.
    torch.testing.assert_close(many, key, atol=1e-6, rtol=0)
    split = toy_split(30, seed=5)
    torch.testing.assert_close(guess(200)(split.images), owner(split.images), atol=1e-6, rtol=0)


@pytest.mark.parametrize("form, width", [("convolutional", 4), ("dense", 48)])
def test_the_pair_attack_learns_what_the_owner_does(form, width):
    owner = ap.Generator(1, width=2, seed=5)
    raw, processed = pairs_of(owner, 32)
    unseen = toy_split(20, seed=6).images
    found = attacks.pair(
        toy_linear(), unseen, raw, processed, width=width, form=form, tries=2, steps=300
    )
    seen_error = [(thief(raw) - processed).square().mean().sqrt() for thief in found.transforms]
    assert max(seen_error) < 0.2 * ap.perturbation_size(owner, raw).rms
    if form == "convolutional":  # of the owner's shape: right on images they have not seen, too
        error = [
            (thief(unseen) - owner(unseen)).square().mean().sqrt() for thief in found.transforms
        ]
        assert max(error) < 0.2 * ap.perturbation_size(owner, unseen).rms
    for thief in found.transforms:
        assert (thief.form, thief.width, thief.training) == (form, width, False)
        assert not any(parameter.requires_grad for parameter in thief.parameters())


def test_one_pair_shows_a_generator_many_times_over():
    owner = ap.Generator(1, width=2, seed=5)
    raw, processed = pairs_of(owner, 1)
    unseen = toy_split(20, seed=6).images
    (thief,) = attacks.pair(
        toy_linear(), unseen, raw, processed, width=2, tries=1, steps=1000
    ).transforms
    error = (thief(unseen) - owner(unseen)).square().mean().sqrt().item()
    assert error < 0.5 * ap.perturbation_size(owner, unseen).rms


def test_the_pair_attack_follows_its_seed_and_each_try_starts_anew():
    raw, processed = pairs_of(ap.Generator(1, 2, seed=5))
    weights = lambda tries, seed: [state_of(thief) for thief in attacks.pair(  # noqa: E731
        toy_linear(), raw, raw, processed, width=2, tries=tries, steps=3, seed=seed).transforms]
    assert all(map(same, weights(2, 1), weights(2, 1))) and all(
        map(same, weights(1, 1), weights(2, 1))
    )
    one, other = weights(2, 1)
    assert not same(one, other) and not same(one, weights(1, 2)[0])


def test_with_the_owners_seed_the_thief_does_not_start_from_the_owners_weights():
    owner = ap.Generator(1, 2, seed=5)
    raw, processed = pairs_of(owner)
    (thief,) = attacks.pair(
        toy_linear(), raw, raw, processed, width=2, tries=1, steps=1, lr=1e-9, seed=5
    ).transforms
    assert not torch.allclose(thief.layers[0].weight, owner.layers[0].weight, atol=1e-3)


def test_pairs_that_do_not_match_are_refused():
    raw = toy_split(4).images
    for attack in (attacks.pair, attacks.pair_universal):
        with pytest.raises(
            ValueError, match=r"expected pairs, .* got \(4, 1, 8, 8\) and \(3, 1, 8, 8\)"
        ):
            attack(toy_linear(), raw, raw, raw[:3])
        with pytest.raises(
            ValueError, match=r"raw must be .* N ≥ 1, got Tensor of shape \(0, 1, 8, 8\)"
        ):
            attack(toy_linear(), raw, raw[:0], raw[:0])
    with pytest.raises(ValueError, match="tries must be a whole number, 1 or more, got 0"):
        attacks.pair(toy_linear(), raw, raw, raw, tries=0, steps=5)


@settings(max_examples=30)
@given(st.floats(1e-3, 1), st.floats(0.01, 0.5))
def test_a_matched_sigma_gives_keys_as_strong_as_the_owners_perturbation(rms, p):
    key = ap.Fixed((3, 200, 200), attacks.matched_sigma(rms, p), p, seed=0).key
    # The share of nonzero pixels of 120,000 is 2p up to 5 standard deviations, and the rms goes
    # with its root.
    spread = 5 * math.sqrt(2 * p * (1 - 2 * p) / key.numel()) / (2 * p)
    assert key.square().mean().item() == pytest.approx(rms ** 2, rel=spread + 1e-5)


# ---- numbers, step by step

def defaults_of(function):
    return {name: each.default for name, each in inspect.signature(function).parameters.items()
            if each.default is not each.empty}


def test_the_settings_of_the_book():
    shifts = defaults_of(attacks.brightness).pop("shifts")
    np.testing.assert_array_equal(shifts, np.linspace(-0.2, 0.2, 17))
    assert defaults_of(attacks.brightness)["clip"] is False
    assert defaults_of(attacks.input_only) == {"draws": 100, "seed": 0, "clip": False}
    assert defaults_of(attacks.climb) == {
        "tries": 10,
        "steps": 20,
        "lr": 0.01,
        "batch_size": 200,
        "sigma": 0.03,
        "seed": 0,
        "clip": False,
    }
    assert defaults_of(attacks.pair) == {
        "width": 16,
        "activation": "tanh",
        "form": "convolutional",
        "tries": 10,
        "steps": 500,
        "lr": 0.01,
        "batch_size": 16,
        "seed": 0,
        "clip": False,
    }
    assert defaults_of(attacks.pair_universal) == {"clip": False}


def test_the_keys_are_those_of_the_seeds_children():
    found = attacks.input_only(toy_linear(), toy_split(2).images, 0.1, 0.2, draws=3, seed=7)
    for child, transform in zip(np.random.SeedSequence(7).spawn(3), found.transforms, strict=True):
        assert torch.equal(transform.key, ap.Fixed((1, 8, 8), 0.1, 0.2, child).key)
    again = attacks.input_only(
        toy_linear(), toy_split(2).images, 0.1, 0.2, draws=3, seed=np.random.SeedSequence(7)
    )
    assert torch.equal(again.transforms[2].key, found.transforms[2].key)


def test_climbing_takes_the_steps_of_its_description():
    """Adam from the thief's own noise, on batches of the thief's own: by torch's own parts."""
    torch.manual_seed(0)
    net, images = TinyCNN().eval(), toy_split(30).images
    for batch_size in (7, 200):
        found = attacks.climb(
            net, images, tries=2, steps=4, lr=0.02, batch_size=batch_size, sigma=0.05, seed=3
        )
        for child, thief in zip(np.random.SeedSequence(3).spawn(2), found.transforms, strict=True):
            delta = ap.Learned((1, 8, 8), 0.05, child).delta.detach().clone().requires_grad_(True)
            optimizer = torch.optim.Adam([delta], lr=0.02)
            generator = torch.Generator().manual_seed(int(child.generate_state(1)[0]))
            for _ in range(4):
                q = net(
                    images[torch.randperm(30, generator=generator)[:batch_size]] + delta
                ).softmax(dim=1)
                score = (q * (q / q.mean(dim=0)).log()).sum(dim=1).mean()
                delta.grad, = torch.autograd.grad(-score, [delta])
                optimizer.step()
            torch.testing.assert_close(thief.delta, delta.detach(), atol=1e-4, rtol=0)
            assert not thief.delta.requires_grad and thief.delta.is_leaf and not thief.training
            assert (thief.delta - ap.Learned((1, 8, 8), 0.05, child).delta).abs().max() > 0.05


@pytest.mark.parametrize(
    "options",
    [{}, {"form": "dense", "batch_size": 3}, {"activation": "relu", "clip": True, "lr": 0.1}],
    ids=str,
)
def test_imitating_takes_the_steps_of_its_description(options):
    raw, processed = pairs_of(ap.Fixed((1, 8, 8), 0.3, 0.4, seed=1), 20)
    found = attacks.pair(
        toy_linear(), raw, raw, processed, width=3, tries=2, steps=6, seed=4, **options
    )
    form, activation, clip = (
        options.get("form", "convolutional"),
        options.get("activation", "tanh"),
        options.get("clip", False),
    )
    for child, thief in zip(np.random.SeedSequence(4).spawn(2), found.transforms, strict=True):
        own = ap.Generator(1, 3, activation, form, 8 if form == "dense" else None, child, clip)
        optimizer = torch.optim.Adam(own.parameters(), lr=0.5)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=options.get("lr", 0.01), total_steps=6
        )
        generator = torch.Generator().manual_seed(int(child.generate_state(1)[0]))
        for _ in range(6):
            index = torch.randint(20, (options.get("batch_size", 16),), generator=generator)
            loss = torch.nn.functional.mse_loss(own(raw[index]), processed[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        assert own.settings() == thief.settings()
        for name, tensor in state_of(own).items():
            torch.testing.assert_close(state_of(thief)[name], tensor, atol=1e-6, rtol=1e-5)


def test_a_batch_holds_no_more_pairs_than_there_are():
    sizes, imitate = [], attacks.imitate
    raw, processed = pairs_of(ap.Shift(0.1), 5)
    thief = ap.Generator(1, 2, seed=0)
    thief.register_forward_hook(lambda module, args, result: sizes.append(len(result)))
    imitate(thief, raw, processed, 2, 0.01, 16, np.random.SeedSequence(0))
    imitate(thief.requires_grad_(True), raw, processed, 1, 0.01, 3, np.random.SeedSequence(0))
    assert sizes == [5, 5, 3]


@given(st.floats(1e-3, 1), st.floats(0.01, 0.5))
def test_the_matched_sigma_by_the_formula(rms, p):
    assert attacks.matched_sigma(rms, p) == pytest.approx((rms * rms / (2 * p)) ** 0.5)


@pytest.mark.parametrize(
    "rms, p, name", [(0, 0.2, "rms"), (math.nan, 0.2, "rms"), (0.1, 0, "p"), (0.1, 0.6, "p")]
)
def test_a_sigma_of_impossible_numbers_is_refused(rms, p, name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0"):
        attacks.matched_sigma(rms, p)


# ---- scores

@pytest.mark.parametrize(
    "logits, expected",
    [
        (
            [[1.0, 2.0, -math.inf], [3.0, 0.0, -math.inf]],
            information(np.array([[1.0, 2.0], [3.0, 0.0]])),
        ),
        ([[0.0, -math.inf], [-math.inf, 0.0]], math.log(2)),
        ([[0.0, -math.inf], [0.0, -math.inf]], 0.0),
        ([[3e38, -3e38], [-3e38, 3e38]], math.log(2)),
        ([[math.nan, 1.0], [0.0, 1.0]], -math.inf),
        ([[math.inf, 1.0], [0.0, 1.0]], -math.inf),
        ([[-math.inf, -math.inf], [0.0, 1.0]], -math.inf),
    ],
)
def test_the_score_of_answers_at_the_edge(logits, expected):
    logits = torch.tensor(logits, requires_grad=True)
    assert attacks.decisiveness(logits) == pytest.approx(expected, abs=1e-6)
    if expected > -math.inf:
        slope, = torch.autograd.grad(attacks.information(logits), logits)
        assert slope.isfinite().all()


def test_a_candidate_without_answers_is_never_picked():
    net, images = toy_linear(), toy_split(6).images
    lost = ap.Shift(0.0)
    lost.value = math.nan
    found = attacks.candidates(net, images, [lost, ap.Shift(0.1), lost])
    assert found.scores[0] == found.scores[2] == -math.inf and found.picked == 1
    assert ap.access(net, toy_split(6), found).accuracies[::2] == (0.0, 0.0)


# ---- what is stolen stands for itself

@pytest.mark.parametrize("attack", [attacks.pair, attacks.pair_universal])
def test_the_stolen_transform_is_frozen_and_the_owners_has_no_gradient(attack):
    owner, images = ap.Learned((1, 8, 8), seed=1), toy_split(5).images.requires_grad_(True)
    options = {"tries": 1, "steps": 3, "width": 2} if attack is attacks.pair else {}
    thief, = attack(toy_linear(), images, images, owner(images), **options).transforms
    assert owner.delta.grad is None and images.grad is None
    for tensor in thief.parameters():
        assert tensor.is_leaf and not tensor.requires_grad
    copy.deepcopy(thief)
    pickle.dumps(thief)
    if attack is attacks.pair_universal:
        torch.testing.assert_close(thief.delta, owner.delta.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attacks_work_where_gradients_are_switched_off(attack):
    torch.manual_seed(0)
    net, images = TinyCNN(), toy_split(8).images
    expected = attack(net, images)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            found = attack(net, images + 0)
        assert found.scores == expected.scores
        assert all(map(same, map(state_of, found.transforms), map(state_of, expected.transforms)))
        assert not any(
            tensor.is_inference()
            for thief in found.transforms
            for tensor in thief.state_dict().values()
        )


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
    with ElsewhereByDefault():
        attack(TinyCNN(), toy_split(8).images)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("numbers", [torch.float64, torch.float16])
def test_a_network_and_images_in_other_types_of_numbers(attack, numbers):
    found = attack(toy_linear().to(numbers), toy_split(8).images.double())
    assert len(found) >= 1 and all(map(math.isfinite, found.scores))


# ---- what is refused

@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize(
    "change",
    [
        lambda x: (255 * x).byte(),
        lambda x: x > 0.5,
        lambda x: 255 * x,
        lambda x: 2 * x - 1,
        lambda x: x * math.nan,
    ],
)
def test_what_is_no_raw_image_is_refused(attack, change):
    asked = []
    net = toy_linear()
    net.register_forward_hook(lambda *call: asked.append(call))
    with pytest.raises(ValueError, match="images must"):
        attack(net, change(toy_split(8).images))
    assert not asked, "refused before anything is computed"


def test_other_pairs_are_refused():
    raw = toy_split(4).images
    for attack in (attacks.pair, attacks.pair_universal):
        with pytest.raises(ValueError, match="raw must be raw, with pixels in"):
            attack(toy_linear(), raw, raw + 0.5, raw)
        with pytest.raises(ValueError, match="processed must hold finite pixels"):
            attack(toy_linear(), raw, raw, raw * math.nan)
        with pytest.raises(ValueError, match="processed must be a tensor"):
            attack(toy_linear(), raw, raw, None)
    assert len(attacks.pair_universal(toy_linear(), raw, raw, raw + 0.5)) == 1, (
        "processed images may leave the range"
    )


def test_nothing_to_try_is_refused():
    images = toy_split(4).images
    for shifts in ([], ()):
        with pytest.raises(ValueError, match="at least one transform to try, got none"):
            attacks.brightness(toy_linear(), images, shifts=shifts)
    with pytest.raises(ValueError, match="at least one transform to try"):
        attacks.candidates(toy_linear(), images, iter(()))


@pytest.mark.parametrize(
    "options, name",
    [
        ({"tries": 0}, "tries"),
        ({"tries": 1.5}, "tries"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_other_options_are_refused(options, name):
    images = toy_split(4).images
    for attack in (
        partial(attacks.climb, toy_linear(), images),
        partial(attacks.pair, toy_linear(), images, images, images),
    ):
        with pytest.raises(ValueError, match=f"{name} must be"):
            attack(**options)
    if name == "seed":
        with pytest.raises(ValueError, match="seed must be"):
            attacks.input_only(toy_linear(), images, 0.1, 0.2, **options)
