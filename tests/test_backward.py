"""The backward pass that is added to an exported network, against autograd."""

import numpy as np
import pytest
import torch
from torch import nn

import apdnn_lite as ap
from apdnn_lite.models import Block

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402

from apdnn_lite._backward import inside  # noqa: E402

SIDE = 7  # odd, so that halving it leaves a pixel over: 7, 4, 2


class Small(nn.Module):
    """A part of ResNet-20 with every kind of node that the whole has."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.start = nn.Sequential(ap.Normalize(), nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.stage = nn.Sequential(Block(4, 4), Block(4, 6, 2), Block(6, 8, 2))
        self.fc = nn.Linear(8, 4)
        self(torch.rand(16, 1, SIDE, SIDE))  # BatchNorm sees something
        self.eval()

    def forward(self, x):
        return self.fc(self.stage(self.start(x)).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network, the bytes of its file and those of the fragment that completes it."""
    net = Small()
    path = tmp_path_factory.mktemp("backward") / "net.onnx"
    ap.export.to_onnx(net, ap.Generator(1, seed=0), path, (1, SIDE, SIDE))
    fragment = inside(onnx.load(path), ["relu", "relu_2"])
    return net, path.read_bytes(), fragment.SerializeToString()


def run(content, outputs, **inputs):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(outputs, inputs)


def test_the_gradient_is_that_of_autograd(exported):
    net, content, fragment = exported
    images = torch.rand(5, 1, SIDE, SIDE) + 0.1  # as a thief may process them
    slope = torch.randn(5, 4)
    found, logits, first, stage = run(
        content + fragment,
        ["gradient", "logits", "relu", "relu_2"],
        images=images.numpy(),
        authorized=np.array(0, np.float32),
        slope=slope.numpy(),
    )
    exact = Small().double()
    pixels = images.double().requires_grad_(True)
    expected, = torch.autograd.grad((exact(pixels) * slope).sum(), [pixels])
    assert torch.allclose(torch.from_numpy(found).double(), expected, rtol=1e-3, atol=1e-5)
    assert expected.abs().max() > 1e-2, "there is something to compare"
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(logits), net(images), atol=1e-4)
        layer = net.start(images)
        assert torch.allclose(torch.from_numpy(first), layer, atol=1e-4)
        assert torch.allclose(torch.from_numpy(stage), net.stage[0](layer), atol=1e-4)


def test_the_fragment_completes_the_file(exported):
    _, content, fragment = exported
    model = onnx.load_model_from_string(content)
    model.MergeFrom(onnx.load_model_from_string(fragment))
    onnx.checker.check_model(model)
    assert model == onnx.load_model_from_string(content + fragment)


def small_model(node, *constants):
    """A model of one node between the pixels that enter a network and its logits."""
    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [helper.make_node("Identity", ["images"], ["processed"]), node]
    graph = helper.make_graph(
        nodes, "net", [value("images", ["n", 4])], [value("logits", ["n", 4])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants])
    return helper.make_model(graph)


@pytest.mark.parametrize("node, constants", [
    (helper.make_node("Sin", ["processed"], ["logits"]), ()),
    (helper.make_node("Gemm", ["processed", "w"], ["logits"]), [("w", np.eye(4, dtype="f"))]),
    (helper.make_node("Div", ["processed", "w"], ["logits"]), [("w", np.ones(4, "f"))]),
    (helper.make_node("Add", ["processed", "w"], ["logits"]), [("w", np.ones(4, "f"))]),
], ids=lambda each: getattr(each, "op_type", ""))
def test_what_it_does_not_know_is_refused_by_name(node, constants):
    with pytest.raises(ValueError, match=f"the node {node.op_type} with the inputs processed.*"
                                         "is not known: expected a network"):
        inside(small_model(node, *constants))
