"""The networks against the source's tables."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import apdnn_lite as ap


def outputs(net, kinds, x):
    """(channels, height) of what each module of ``kinds`` puts out, in the order of computation."""
    sizes = []
    for module in net.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda module, args, out: sizes.append(tuple(out.shape[1:])))
    net.eval()(x)
    return [size[:2] if len(size) == 3 else size[0] for size in sizes]


def test_simple_cnn_has_the_layers_of_the_table():
    assert outputs(ap.SimpleCNN(), (nn.Conv2d, nn.MaxPool2d, nn.Linear), torch.rand(1, 1, 28, 28)) == [
        (32, 28), (32, 14), (64, 14), (64, 7), 1024, 10]
    net = ap.SimpleCNN()
    assert net.dropout.p == 0.5 and net.conv1.kernel_size == net.conv2.kernel_size == (3, 3)


def test_resnet20_has_the_layers_of_the_table():
    sizes = outputs(ap.ResNet20(), (nn.Conv2d, nn.Linear), torch.rand(1, 1, 28, 28))
    # One convolution; three blocks of two convolutions for each width; one linear layer: 20 layers.
    assert sizes == [(16, 28)] + 6 * [(16, 28)] + 6 * [(32, 14)] + 6 * [(64, 7)] + [10]
    assert outputs(ap.ResNet20(), nn.Sequential, torch.rand(1, 1, 28, 28)) == [(16, 28), (32, 14), (64, 7)]


@pytest.mark.parametrize("channels, classes, side", [(1, 10, 28), (3, 10, 32), (2, 7, 21)])
def test_parameters_of_simple_cnn(channels, classes, side):
    table = [(3 * 3 * channels + 1) * 32, (3 * 3 * 32 + 1) * 64, (64 * (side // 2 // 2) ** 2 + 1) * 1024,
             (1024 + 1) * classes]
    assert ap.count_parameters(ap.SimpleCNN(channels, classes, side)) == sum(table)


@pytest.mark.parametrize("channels, classes", [(1, 10), (3, 10), (5, 3)])
def test_parameters_of_resnet20(channels, classes):
    count, before = 0, channels
    for width, convolutions in ((16, 7), (32, 6), (64, 6)):
        for _ in range(convolutions):
            count += 3 * 3 * before * width + 2 * width  # no bias; scale and shift of the batch normalization
            before = width
    assert ap.count_parameters(ap.ResNet20(channels, classes)) == count + (64 + 1) * classes


def test_resnet20_has_the_published_size():
    """0.27 M in He et al. (2016), table 6; 269,722 for CIFAR-10 with the parameter-free shortcut."""
    assert ap.count_parameters(ap.ResNet20(3, 10)) == 269_722


@pytest.mark.parametrize("make", [
    lambda channels, classes, side: ap.SimpleCNN(channels, classes, side),
    lambda channels, classes, side: ap.ResNet20(channels, classes)], ids=["SimpleCNN", "ResNet20"])
@pytest.mark.parametrize("channels, classes, side", [(1, 10, 28), (3, 100, 32), (4, 2, 9), (1, 5, 4)])
def test_any_number_of_channels_and_classes_and_any_image_size(make, channels, classes, side):
    logits = make(channels, classes, side).eval()(torch.rand(2, channels, side, side))
    assert logits.shape == (2, classes) and logits.isfinite().all()


def test_an_image_too_small_for_two_poolings_is_refused():
    with pytest.raises(ValueError, match="image_size must be at least 4.*got 3"):
        ap.SimpleCNN(image_size=3)


def test_the_shortcut_takes_every_second_pixel_and_fills_with_zeros():
    net = ap.ResNet20()
    assert all(module.kernel_size == (3, 3) for module in net.modules() if isinstance(module, nn.Conv2d))
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
    h = F.max_pool2d(F.conv2d(2 * x - 1, net.conv1.weight, net.conv1.bias, padding=1).clamp_min(0), 2)
    h = F.max_pool2d(F.conv2d(h, net.conv2.weight, net.conv2.bias, padding=1).clamp_min(0), 2)
    h = (h.reshape(2, -1) @ net.fc1.weight.T + net.fc1.bias).clamp_min(0)
    torch.testing.assert_close(net(x), h @ net.fc2.weight.T + net.fc2.bias)


def test_dropout_acts_in_training_only():
    net, x = ap.SimpleCNN(image_size=8), torch.rand(4, 1, 8, 8)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize("make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"])
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


@pytest.mark.parametrize("make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"])
def test_pixels_outside_the_range_are_accepted_and_not_clipped(make):
    net = make().eval()
    inside, outside = torch.ones(1, 1, 8, 8), torch.full((1, 1, 8, 8), 1.3)
    assert net(outside).isfinite().all() and not torch.allclose(net(outside), net(inside))


@pytest.mark.parametrize("make", [lambda: ap.SimpleCNN(image_size=8), ap.ResNet20], ids=["SimpleCNN", "ResNet20"])
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
