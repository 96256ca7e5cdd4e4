"""The networks against the source's tables."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import apdnn_lite as ap
from apdnn_lite.models import Block, ResNet20, SimpleCNN


def outputs(net, kinds, x):
    """(channels, height) of what each module of ``kinds`` puts out, in the order of computation."""
    sizes = []
    for module in net.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(
                lambda module, args, out: sizes.append(tuple(out.shape[1:]))
            )
    net.eval()(x)
    return [size[:2] if len(size) == 3 else size[0] for size in sizes]


def test_simple_cnn_has_the_layers_of_the_table():
    assert outputs(
        ap.SimpleCNN(), (nn.Conv2d, nn.MaxPool2d, nn.Linear), torch.rand(1, 1, 28, 28)
    ) == [(32, 28), (32, 14), (64, 14), (64, 7), 1024, 10]
    net = ap.SimpleCNN()
    assert net.dropout.p == 0.5 and net.conv1.kernel_size == net.conv2.kernel_size == (3, 3)


def test_resnet20_has_the_layers_of_the_table():
    sizes = outputs(ap.ResNet20(), (nn.Conv2d, nn.Linear), torch.rand(1, 1, 28, 28))
    # One convolution; three blocks of two convolutions for each width; one linear layer: 20 layers.
    assert sizes == [(16, 28)] + 6 * [(16, 28)] + 6 * [(32, 14)] + 6 * [(64, 7)] + [10]
    assert outputs(ap.ResNet20(), nn.Sequential, torch.rand(1, 1, 28, 28)) == [
        (16, 28),
        (32, 14),
        (64, 7),
    ]


@pytest.mark.parametrize("channels, classes, side", [(1, 10, 28), (3, 10, 32), (2, 7, 21)])
def test_parameters_of_simple_cnn(channels, classes, side):
    table = [
        (3 * 3 * channels + 1) * 32,
        (3 * 3 * 32 + 1) * 64,
        (64 * (side // 2 // 2) ** 2 + 1) * 1024,
        (1024 + 1) * classes,
    ]
    assert ap.count_parameters(ap.SimpleCNN(channels, classes, side)) == sum(table)


@pytest.mark.parametrize("channels, classes", [(1, 10), (3, 10), (5, 3)])
def test_parameters_of_resnet20(channels, classes):
    count, before = 0, channels
    for width, convolutions in ((16, 7), (32, 6), (64, 6)):
        for _ in range(convolutions):
            count += (
                3 * 3 * before * width + 2 * width
            )  # no bias; scale and shift of the batch normalization
            before = width
    assert ap.count_parameters(ap.ResNet20(channels, classes)) == count + (64 + 1) * classes


def test_resnet20_has_the_published_size():
    """0.27 M in He et al. (2016), table 6; 269,722 for CIFAR-10 with parameter-free shortcuts."""
    assert ap.count_parameters(ap.ResNet20(3, 10)) == 269_722


@pytest.mark.parametrize("make", [
    lambda channels, classes, side: ap.SimpleCNN(channels, classes, side),
    lambda channels, classes, side: ap.ResNet20(channels, classes)], ids=["SimpleCNN", "ResNet20"])
@pytest.mark.parametrize(
    "channels, classes, side", [(1, 10, 28), (3, 100, 32), (4, 2, 9), (1, 5, 4)]
)
def test_any_number_of_channels_and_classes_and_any_image_size(make, channels, classes, side):
    logits = make(channels, classes, side).eval()(torch.rand(2, channels, side, side))
    assert logits.shape == (2, classes) and logits.isfinite().all()


def test_an_image_too_small_for_two_poolings_is_refused():
    with pytest.raises(ValueError, match="image_size must be a whole number, 4 or more, got 3"):
        ap.SimpleCNN(image_size=3)


def test_the_shortcut_takes_every_second_pixel_and_fills_with_zeros():
    net = ap.ResNet20()
    assert all(
        module.kernel_size == (3, 3) for module in net.modules() if isinstance(module, nn.Conv2d)
    )
    block = net.stage2[0].eval()
    nn.init.zeros_(block.bn2.weight)  # the two convolutions now contribute nothing
    x = torch.rand(2, 16, 6, 6)
    expected = torch.zeros(2, 32, 3, 3)
    for row in range(3):
        for column in range(3):
            expected[:, :16, row, column] = x[:, :, 2 * row, 2 * column]
    torch.testing.assert_close(block(x), expected)


def test_a_block_that_keeps_the_size_adds_its_input_as_it_is():
    block = ap.ResNet20().stage1[0].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 16, 6, 6)
    torch.testing.assert_close(block(x), x)


def test_simple_cnn_computes_what_the_table_says():
    net = ap.SimpleCNN(image_size=8).eval()
    x = torch.rand(2, 1, 8, 8)
    h = F.max_pool2d(
        F.conv2d(2 * x - 1, net.conv1.weight, net.conv1.bias, padding=1).clamp_min(0), 2
    )
    h = F.max_pool2d(F.conv2d(h, net.conv2.weight, net.conv2.bias, padding=1).clamp_min(0), 2)
    h = (h.reshape(2, -1) @ net.fc1.weight.T + net.fc1.bias).clamp_min(0)
    torch.testing.assert_close(net(x), h @ net.fc2.weight.T + net.fc2.bias)


def test_dropout_acts_in_training_only():
    net, x = ap.SimpleCNN(image_size=8), torch.rand(4, 1, 8, 8)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize(
    "make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"]
)
def test_pixels_go_in_and_the_network_normalizes(make):
    net, x = make().eval(), torch.rand(3, 1, 8, 8)
    logits = net(x)
    net.normalize = nn.Identity()
    torch.testing.assert_close(net(2 * x - 1), logits)
    assert not torch.allclose(net(x), logits)


def test_normalize_is_the_linear_map_it_says():
    x = torch.linspace(-0.5, 1.5, 9).reshape(1, 1, 3, 3)  # processed images may leave [0, 1]
    torch.testing.assert_close(ap.Normalize()(x), torch.linspace(-2, 2, 9).reshape(1, 1, 3, 3))
    torch.testing.assert_close(ap.Normalize(0.25, 0.2)(x), (x - 0.25) / 0.2)
    assert set(ap.Normalize().state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    "make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"]
)
def test_pixels_outside_the_range_are_accepted_and_not_clipped(make):
    net = make().eval()
    inside, outside = torch.ones(1, 1, 8, 8), torch.full((1, 1, 8, 8), 1.3)
    assert net(outside).isfinite().all() and not torch.allclose(net(outside), net(inside))


@pytest.mark.parametrize(
    "make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"]
)
def test_the_seed_decides_the_first_weights(make):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([tensor.flatten() for tensor in make().parameters()]))
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_count_parameters_leaves_out_what_is_frozen_and_buffers():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net[0].bias.requires_grad_(False)
    assert ap.count_parameters(net) == 6 + 4


# ---- values, exactly

def by_hand(block, x, stride):
    """A block's output from plain functions, in evaluation mode."""
    def normalized(x, bn):
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)

    out = F.conv2d(x, block.conv1.weight, stride=stride, padding=1)
    out = F.conv2d(normalized(out, block.bn1).clamp_min(0), block.conv2.weight, padding=1)
    shortcut = torch.zeros_like(out)
    shortcut[:, :x.shape[1]] = x[:, :, ::stride, ::stride]
    return (normalized(out, block.bn2) + shortcut).clamp_min(0)


@pytest.mark.parametrize("channels, width, stride", [(2, 2, 1), (2, 5, 2), (2, 3, 1), (2, 2, 2)])
def test_a_block_by_hand(channels, width, stride):
    block, x = Block(channels, width, stride), torch.randn(3, channels, 6, 6)
    block(x), block.eval()  # so that the batch normalization has seen something
    for bn in (block.bn1, block.bn2):
        nn.init.uniform_(bn.weight), nn.init.uniform_(bn.bias)
    torch.testing.assert_close(block(x), by_hand(block, x, stride))
    assert Block(2, 2).stride == 1


def test_resnet20_by_hand():
    torch.manual_seed(0)
    net, x = ResNet20(2, 3), torch.rand(4, 2, 8, 8)
    net(x), net.eval()
    h = F.conv2d(2 * x - 1, net.conv.weight, padding=1)
    h = F.batch_norm(
        h, net.bn.running_mean, net.bn.running_var, net.bn.weight, net.bn.bias
    ).clamp_min(0)
    for number, stage in enumerate((net.stage1, net.stage2, net.stage3)):
        for place, block in enumerate(stage):
            h = by_hand(block, h, 2 if number and not place else 1)
    torch.testing.assert_close(net(x), h.flatten(2).mean(2) @ net.fc.weight.T + net.fc.bias)


def test_convolutions_of_resnet20_start_as_he_et_al_say():
    """Normal with variance 2 / (kernel² × channels out).

    The sample's is near it, and far from PyTorch's own.
    """
    torch.manual_seed(0)
    net = ResNet20()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            n, fan_out = module.weight.numel(), 9 * module.out_channels
            # the variance of n normal values is off by 5 standard deviations, sqrt(2 / n) each,
            # once in a million
            assert module.weight.var().item() == pytest.approx(2 / fan_out, rel=5 * (2 / n) ** 0.5)
    wide = net.stage3[
        2
    ].conv2.weight  # 36,864 values: a uniform start would end at sqrt(3) standard deviations
    assert wide.abs().max() > 3.5 * (2 / 576) ** 0.5


def test_the_first_weights_are_these():
    """A seed makes the same network as ever: its layers are drawn in the order of the source."""
    torch.manual_seed(7)
    net = SimpleCNN(2, 7, 9)
    torch.manual_seed(7)
    layers = nn.Conv2d(2, 32, 3), nn.Conv2d(32, 64, 3), nn.Linear(256, 1024), nn.Linear(1024, 7)
    drawn = [parameter for layer in layers for parameter in layer.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), drawn, strict=True))


def test_names_of_the_state_stay():
    """Shipped weights are stored under these names."""
    assert list(SimpleCNN().state_dict()) == [
        "normalize.mean",
        "normalize.std",
        *(
            f"{layer}.{part}"
            for layer in ("conv1", "conv2", "fc1", "fc2")
            for part in ("weight", "bias")
        ),
    ]
    bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    block = [
        "conv1.weight",
        *(f"bn1.{part}" for part in bn),
        "conv2.weight",
        *(f"bn2.{part}" for part in bn),
    ]
    assert list(ResNet20().state_dict()) == [
        "normalize.mean",
        "normalize.std",
        "conv.weight",
        *(f"bn.{part}" for part in bn),
        *(
            f"stage{stage}.{place}.{name}"
            for stage in (1, 2, 3)
            for place in range(3)
            for name in block
        ),
        "fc.weight",
        "fc.bias",
    ]


# ---- what is given

def test_sizes_may_be_numpys():
    one, two = np.int64(1), np.int32(2)
    assert SimpleCNN(one, two, np.int64(4))(torch.rand(1, 1, 4, 4)).shape == (1, 2)
    assert ResNet20(one, two)(torch.rand(2, 1, 4, 4)).shape == (2, 2)
    assert SimpleCNN(1, 1, 4)(torch.rand(1, 1, 4, 4)).shape == (1, 1)  # the least of each
    assert ResNet20(1, 1)(torch.rand(2, 1, 4, 4)).shape == (2, 1)


def test_what_counts_unless_one_says_otherwise():
    assert SimpleCNN().eval()(torch.rand(1, 1, 28, 28)).shape == (1, 10)
    assert ResNet20().eval()(torch.rand(1, 1, 28, 28)).shape == (1, 10)


@pytest.mark.parametrize("make", [SimpleCNN, ResNet20])
@pytest.mark.parametrize("name", ["in_channels", "num_classes"])
@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None])
def test_sizes_that_cannot_be_are_refused(make, name, value):
    with pytest.raises(
        ValueError, match=f"{name} must be a whole number, 1 or more, got {value!r}"
    ):
        make(**{name: value})


@pytest.mark.parametrize("value", [28.0, "28", None, (28, 28)])
def test_an_image_size_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="image_size must be a whole number, 4 or more, got"):
        SimpleCNN(image_size=value)


@pytest.mark.parametrize(
    "net, x, message",
    [
        (SimpleCNN(), torch.rand(2, 1, 32, 32), r"shape \(N, 1, 28, 28\), got \(2, 1, 32, 32\)"),
        (SimpleCNN(), torch.rand(2, 1, 28, 29), r"shape \(N, 1, 28, 28\), got \(2, 1, 28, 29\)"),
        (
            SimpleCNN(image_size=9),
            torch.rand(2, 1, 8, 8),
            r"shape \(N, 1, 9, 9\), got \(2, 1, 8, 8\)",
        ),
        (SimpleCNN(), torch.rand(2, 3, 28, 28), r"shape \(N, 1, 28, 28\), got \(2, 3, 28, 28\)"),
        (ResNet20(3), torch.rand(2, 1, 8, 8), r"shape \(N, 3, H, W\), got \(2, 1, 8, 8\)"),
        (ResNet20(), torch.rand(1, 8, 8), r"shape \(N, 1, H, W\), got \(1, 8, 8\)"),
        (
            ResNet20(),
            torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
            "got torch.uint8: divide 8-bit pixels by 255",
        ),
        (SimpleCNN(image_size=8), torch.zeros(2, 1, 8, 8, dtype=torch.int64), "got torch.int64"),
    ],
)
def test_images_that_do_not_fit_are_refused(net, x, message):
    with pytest.raises(ValueError, match="this network .*" + message):
        net.eval()(x)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"std": 0}, "std must be a finite number above 0, got 0"),
        ({"std": -1}, "std must be"),
        ({"std": float("nan")}, "std must be"),
        ({"mean": float("inf")}, "mean must be a finite number"),
        ({"mean": (0.5, 0.5)}, "mean must be"),
        ({"mean": 99.1}, "at least -99 and at most 99, got 99.1"),
        ({"mean": -99.1}, "mean"),
    ],
)
def test_a_normalization_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ap.Normalize(**options)


def test_a_normalization_at_its_bounds():
    assert ap.Normalize(99).mean == 99 and ap.Normalize(-99, 1e-3).mean == -99


@pytest.mark.parametrize(
    "make", [lambda: SimpleCNN(image_size=8), ResNet20], ids=["SimpleCNN", "ResNet20"]
)
def test_networks_follow_pytorchs_defaults_and_conversions(make):
    """They are modules like any other: float64 and other devices are the reader's choice."""
    torch.manual_seed(0)
    net, x = make().eval(), torch.rand(2, 1, 8, 8)
    logits = net(x)
    torch.testing.assert_close(net.double()(x.double()).float(), logits)
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            other = make()
    finally:
        torch.set_default_dtype(torch.float32)
    floats = [tensor for tensor in other.state_dict().values() if tensor.is_floating_point()]
    assert {(tensor.dtype, tensor.device.type) for tensor in floats} == {(torch.float64, "meta")}
