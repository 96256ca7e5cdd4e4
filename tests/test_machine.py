"""Device, precision, mode and memory layout; what is borrowed of a network is given back."""

import copy

import pytest
import torch
from torch import nn

import apdnn_lite as ap
from apdnn_lite import _machine

CPU = torch.device("cpu")
LAST, FIRST = torch.channels_last, torch.contiguous_format


# ---- device

def test_auto_is_cuda_if_there_is_one_and_else_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _machine.pick_device() == _machine.pick_device("auto") == CPU
    tried = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda size, device: tried.append((size, device)))
    assert _machine.pick_device("auto") == torch.device("cuda") == _machine.pick_device("cuda")
    assert tried == [(0, torch.device("cuda"))] * 2  # it was asked to hold something


def test_a_device_may_be_named_or_given():
    assert _machine.pick_device("cpu") == _machine.pick_device(CPU) == CPU


@pytest.mark.parametrize("device", ["nonsense", "", "cuda:99", 1.5, None, [], "meta:x"])
def test_a_device_that_is_not_here_is_refused(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError) as caught:
        _machine.pick_device(device)
    assert str(caught.value) == (
        f"there is no device {device!r} here: expected 'auto' or one of cpu")


def test_the_message_names_what_is_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ValueError, match="one of cpu, cuda, mps$"):
        _machine.pick_device("nonsense")


def test_the_device_of_a_module():
    assert _machine.device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
    assert _machine.device_of(nn.Linear(1, 1)) == CPU
    buffers = nn.Module()
    buffers.register_buffer("b", torch.zeros(1, device="meta"))
    assert _machine.device_of(buffers) == torch.device("meta")
    assert _machine.device_of(nn.ReLU()) == CPU


def test_only_cuda_is_copied_to_without_waiting():
    asked = []

    class Tensor:
        def to(self, device, non_blocking):
            asked.append((device.type, non_blocking))

    for kind in ("cpu", "cuda", "mps", "meta"):
        _machine.send(Tensor(), torch.device(kind))
    assert asked == [("cpu", False), ("cuda", True), ("mps", False), ("meta", False)]


# ---- precision

@pytest.mark.parametrize("capabilities, gains", [
    ({"cpu_name": "AMD EPYC 9575F", "avx512_bf16": True, "amx_bf16": False}, True),  # Zen 5
    ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": False}, False),
    ({"cpu_name": "GENUINEINTEL", "avx512_bf16": True}, False),
    ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": True}, True),
    ({"cpu_name": "Intel(R) Xeon(R)", "amx_bf16": True}, True),
    ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, False),
    ({"cpu_name": "AMD EPYC"}, False),
    ({"avx512_bf16": True}, True),  # a processor that tells no name
    ({"cpu_name": None, "avx512_bf16": True}, True),
    ({}, False)])
def test_bfloat16_is_taken_where_it_is_faster(capabilities, gains, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert _machine.cpu_gains_by_bfloat16() is gains
    expected = torch.bfloat16 if gains else torch.float32
    assert _machine.pick_precision("auto", CPU) is expected


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert _machine.cpu_gains_by_bfloat16() is False
    assert _machine.pick_precision("auto", CPU) is torch.float32


def test_the_choice_is_the_same_each_time():
    assert len({_machine.pick_precision("auto", CPU) for _ in range(5)}) == 1


@pytest.mark.parametrize("has_it, expected", [(True, torch.bfloat16), (False, torch.float16)])
def test_on_cuda_auto_is_the_half_precision_that_is_there(has_it, expected, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported",
                        lambda including_emulation: asked.append(including_emulation) or has_it)
    assert _machine.pick_precision("auto", torch.device("cuda")) is expected
    assert asked == [False]


def test_other_devices_compute_in_float32(monkeypatch):
    monkeypatch.setattr(_machine, "cpu_gains_by_bfloat16", lambda: True)
    assert _machine.pick_precision("auto", torch.device("mps")) is torch.float32
    assert _machine.pick_precision("auto", CPU) is torch.bfloat16


def test_a_precision_may_be_named():
    for name in ("float32", "bfloat16"):
        assert _machine.pick_precision(name, CPU) is getattr(torch, name)
    assert _machine.pick_precision("float16", torch.device("cuda")) is torch.float16
    with pytest.raises(ValueError, match='precision "float16" is for CUDA devices, and this one is '
                                         'cpu: try "bfloat16", or "auto"'):
        _machine.pick_precision("float16", CPU)
    for wrong in ("float64", "half", None, torch.float32):
        with pytest.raises(ValueError, match="unknown precision .*: expected one of auto, float32, "
                                             "bfloat16, float16"):
            _machine.pick_precision(wrong, CPU)


# ---- mode

def test_each_part_gets_its_own_mode_back():
    one = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(1)))
    other = nn.ReLU().eval()
    one[1].eval()
    one[1][0].train()
    before = [part.training for part in one.modules()]
    assert before == [True, True, False, True, False]
    with _machine.evaluating(one, other):
        assert not any(part.training for module in (one, other) for part in module.modules())
    assert [part.training for part in one.modules()] == before and not other.training


def test_modes_come_back_after_an_error():
    net = nn.Dropout()
    with pytest.raises(KeyError), _machine.evaluating(net):
        raise KeyError
    assert net.training


# ---- memory layout

class Flattens(nn.Module):
    """The network of a textbook: its ``.view`` fails on a channels-last batch."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout()
        self.linear = nn.Linear(3 * 6 * 6, 4)

    def forward(self, images):
        features = self.drop(self.norm(self.conv(images)))
        return self.linear(features.view(len(images), -1))


def state(net):
    """Everything about a network that may not change: values, layouts and modes."""
    tensors = {name: (tensor.clone(), tensor.is_contiguous())
               for name, tensor in net.state_dict().items()}
    return tensors, [part.training for part in net.modules()]


def same(one, other):
    assert one[1] == other[1] and one[0].keys() == other[0].keys()
    for name, (tensor, contiguous) in one[0].items():
        assert torch.equal(tensor, other[0][name][0]) and contiguous == other[0][name][1], name


@pytest.mark.parametrize("make, accepts", [(ap.SimpleCNN, True), (Flattens, False)])
@pytest.mark.parametrize("layout", [FIRST, LAST])
def test_a_network_is_asked_for_its_layout_and_stays_as_it_was(make, accepts, layout):
    torch.manual_seed(0)
    net, images = make(), torch.rand(4, 1, *((28, 28) if make is ap.SimpleCNN else (8, 8)))
    net.to(memory_format=layout)
    before, drawn, kept = state(net), torch.get_rng_state(), images.clone()
    layout, logits = _machine.try_network(net, images)
    assert (layout is torch.channels_last) == accepts and len(logits) == 4
    same(before, state(net))
    assert torch.equal(torch.get_rng_state(), drawn) and torch.equal(images, kept)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_network_that_changes_its_buffers_is_given_them_back():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, images):
            self.calls += 1
            return images.flatten(1)[:, :2] + torch.rand(())

    net, images = Counts(), torch.rand(3, 1, 2, 2)
    drawn = torch.get_rng_state()
    assert _machine.try_network(net, images)[0] is torch.channels_last
    assert net.calls == 0 and torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("layout", [FIRST, LAST])
def test_what_was_lent_comes_back_in_its_layout(layout):
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=layout)
    net(torch.rand(1, 2, 5, 5)).sum().backward()
    weight, gradient = net[0].weight.detach().clone(), net[0].weight.grad.clone()
    other = LAST if layout is FIRST else FIRST
    with _machine.on_loan(net, None):
        net.to(memory_format=other)
        net[0].weight.grad = net[0].weight.grad.contiguous(memory_format=other)
        assert net[0].weight.is_contiguous(memory_format=other)
    assert net[0].weight.is_contiguous(memory_format=layout)
    assert net[0].weight.grad.is_contiguous(memory_format=layout)
    assert torch.equal(net[0].weight, weight) and torch.equal(net[0].weight.grad, gradient)
    assert net[0].bias.is_contiguous()


def test_what_was_lent_comes_back_to_its_device_after_an_error():
    net = copy.deepcopy(nn.Linear(2, 2))
    with pytest.raises(KeyError), _machine.on_loan(net):
        net.to(torch.float64)  # a device of another kind is not at hand; values are kept, too
        net.to(torch.float32)
        raise KeyError
    assert _machine.device_of(net) == CPU

    moved = []

    class Module(nn.Linear):
        def to(self, *arguments):
            moved.append(arguments)
            return self

    with pytest.raises(KeyError), _machine.on_loan(Module(1, 1), None):
        raise KeyError
    assert moved == [(CPU,)]


def test_new_parameters_and_shared_ones_are_no_trouble():
    net = nn.Sequential(nn.Conv2d(1, 1, 3))
    net.append(net[0])  # tied
    with _machine.on_loan(net):
        net.to(memory_format=LAST)
        net.append(nn.Conv2d(2, 2, 3))
    assert net[0].weight is net[1].weight and net[0].weight.is_contiguous()
    assert len(_machine.tensors_of(net)) == 4


def test_fit_and_predict_give_a_textbook_network_back_as_it_was():
    torch.manual_seed(0)
    split = ap.Split(torch.rand(12, 1, 8, 8), torch.arange(12) % 4, torch.arange(12))
    net = Flattens()
    ap.fit(net, split, split, epochs=1, batch_size=6, progress=False, device="cpu")
    ap.predict(net, split.images)
    assert all(tensor.is_contiguous() for tensor in net.state_dict().values())
    assert net(split.images).shape == (12, 4)


# ---- what is no network

NO_NETWORKS = {"a function": lambda x: x, "nothing": None, "a pair": (nn.Identity(), None)}
ASKED = {
    "predict": lambda net, x, y: ap.predict(net, x),
    "predict, with it as transform": lambda net, x, y: ap.predict(nn.Flatten(), x, net or "key"),
    "access": lambda net, x, y: ap.access(net, ap.Split(x, y, y), ap.Fixed((1, 4, 4), 0.1, 0.2, 0)),
    "fgsm": lambda net, x, y: ap.fgsm(net, x, y, 0.1),
    "climb": lambda net, x, y: ap.attacks.climb(net, x),
    "size": lambda net, x, y: ap.perturbation_size(net, x),
    "fit": lambda net, x, y: ap.fit(net, ap.Split(x, y, y), ap.Split(x, y, y)),
}


@pytest.mark.parametrize("what", NO_NETWORKS)
@pytest.mark.parametrize("ask", ASKED)
def test_what_is_no_network_is_refused_by_its_kind(ask, what):
    x, y = torch.rand(3, 1, 4, 4), torch.arange(3)
    with pytest.raises(ValueError, match=r"(?i)module.*, got (function|NoneType|tuple|str)"):
        ASKED[ask](NO_NETWORKS[what], x, y)
