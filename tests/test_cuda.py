"""What only a CUDA device can show; skipped where there is none."""

import warnings

import pytest
import torch
from toys import OWNERS, QUIET, TinyCNN, max_norm, press_ctrl_c, same, state_of, toy_split
from tqdm import tqdm

import apdnn_lite as ap
from apdnn_lite import training
from apdnn_lite._graph import attach_graph
from apdnn_lite.training import Settings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_CUDA = QUIET | {"device": "cuda"}
TRAIN, VALIDATION = toy_split(64, seed=1), toy_split(32, seed=2)
RECIPES = {"sgd": (ap.ResNet20, 0.1), "adam": (lambda: ap.SimpleCNN(image_size=8), 2e-3)}
# Nets that forget rounding: a change of 1e-7 in the first weights of ResNet-20 grows to 0.3 in nine
# steps at this rate.
STEADY = {"sgd": (TinyCNN, 0.05), "adam": RECIPES["adam"]}


def trained(make_transform, optimizer, **settings):
    """State of network and transform, and the history, after three epochs on the toys."""
    make_net, lr = STEADY[optimizer]
    torch.manual_seed(0)
    net, transform = make_net(), make_transform()
    history = ap.fit(
        net,
        TRAIN,
        VALIDATION,
        transform=transform,
        epochs=3,
        batch_size=24,
        lr=lr,
        optimizer=optimizer,
        transform_max_norm=max_norm(transform),
        augment=ap.Augment(1),
        **ON_CUDA | settings,
    )
    state = state_of(net) | ({} if transform is None else state_of(transform))
    return {name: tensor.cpu() for name, tensor in state.items()}, history


@pytest.mark.parametrize("graph", [False, True], ids=["kernels", "graph"])
@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize("make_transform", OWNERS.values(), ids=OWNERS)
def test_the_host_waits_for_the_device_twice_an_epoch(make_transform, optimizer, graph):
    """For the order of the images before the first batch, and for the means after the last."""
    make_net, lr = RECIPES[optimizer]
    transform = make_transform()
    settings = Settings(
        optimizer=optimizer,
        lr=lr,
        transform_max_norm=max_norm(transform),
        epochs=2,
        batch_size=8,
        augment=ap.Augment(),
        precision="bfloat16",
    )
    run = training.Run(
        make_net(), TRAIN, transform, ap.AntiPiracyLoss(), settings, torch.device("cuda")
    )
    if graph:
        attach_graph(run)
    run.one_epoch(tqdm(disable=True))  # libraries are loaded in the first
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.one_epoch(tqdm(disable=True))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([warning for warning in caught if "synchroniz" in str(warning.message)]) == 2


@pytest.mark.parametrize("graph", [False, True], ids=["kernels", "graph"])
@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize("make_transform", OWNERS.values(), ids=OWNERS)
def test_training_stopped_and_resumed_ends_close_to_training_in_one_go(
    tmp_path, monkeypatch, make_transform, optimizer, graph
):
    """Not bit for bit: some sums on the device have no fixed order."""
    one_go, _ = trained(make_transform, optimizer, cuda_graph=graph)
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, at=5)  # in the second of three batches of the second epoch
        _, history = trained(
            make_transform, optimizer, cuda_graph=graph, checkpoint=tmp_path / "run.safetensors"
        )
        assert history.interrupted and len(history.epochs) == 1
    resumed, history = trained(
        make_transform, optimizer, cuda_graph=graph, checkpoint=tmp_path / "run.safetensors"
    )
    assert len(history.epochs) == 3
    for name, tensor in one_go.items():
        torch.testing.assert_close(
            resumed[name],
            tensor,
            rtol=1e-2,
            atol=1e-3,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("graph", [False, True], ids=["kernels", "graph"])
@pytest.mark.parametrize("make_transform", OWNERS.values(), ids=OWNERS)
def test_training_is_the_same_as_on_the_cpu_but_for_rounding(make_transform, graph):
    """With batches of 24 of 64 images the last of an epoch is not full: no graph fits it."""
    ends, losses = [], []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        net, transform = TinyCNN(), make_transform()
        history = ap.fit(
            net,
            TRAIN,
            VALIDATION,
            transform=transform,
            epochs=3,
            batch_size=24,
            optimizer="sgd",
            lr=0.05,
            augment=ap.Augment(1),
            cuda_graph=graph,
            **QUIET | {"device": device},
        )
        ends.append(state_of(net) | ({} if transform is None else state_of(transform)))
        losses.append(history["loss"])
    torch.manual_seed(0)
    start = state_of(TinyCNN())
    moved = sum((ends[0][name] - start[name]).double().square().sum() for name in start).sqrt()
    apart = sum((ends[0][name] - ends[1][name]).double().square().sum() for name in start).sqrt()
    assert moved > 0 and apart < 1e-2 * moved
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_network_comes_back_to_the_device_it_was_on():
    for device in ("cpu", "cuda"):
        net, transform = TinyCNN().to(device), OWNERS["generator"]()
        history = ap.fit(net, TRAIN, VALIDATION, transform=transform, epochs=1, **ON_CUDA)
        assert {tensor.device.type for tensor in net.state_dict().values()} == {device}
        assert {tensor.device.type for tensor in transform.state_dict().values()} == {"cpu"}
        history.load_selected(net, transform)
        transform(TRAIN.images)


def test_recording_a_graph_leaves_no_trace():
    net, transform = TinyCNN().cuda(), OWNERS["generator"]().cuda()
    before = [state_of(net), state_of(transform)]
    settings = Settings(optimizer="sgd", lr=0.1, epochs=1, batch_size=8, precision="float32")
    attach_graph(
        training.Run(net, TRAIN, transform, ap.AntiPiracyLoss(), settings, torch.device("cuda"))
    )
    assert all(map(same, before, [state_of(net), state_of(transform)]))


@pytest.mark.parametrize("there, back", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_checkpoint_goes_on_on_another_device(tmp_path, monkeypatch, there, back):
    """The random state of a device that the first part did not have is drawn from the seed."""
    checkpoint = tmp_path / "run.safetensors"
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, at=5)
        _, history = trained(OWNERS["generator"], "adam", checkpoint=checkpoint, device=there)
        assert history.interrupted and len(history.epochs) == 1
    resumed, history = trained(OWNERS["generator"], "adam", checkpoint=checkpoint, device=back)
    one_go, _ = trained(OWNERS["generator"], "adam", device=there)
    assert len(history.epochs) == 3
    for name, tensor in one_go.items():
        torch.testing.assert_close(
            resumed[name],
            tensor,
            rtol=0.1,
            atol=0.05,
            msg=lambda text, name=name: f"{name}: {text}",
        )
