"""Networks as ONNX files, run by onnxruntime and compared with PyTorch."""

import builtins

import numpy as np
import pytest
import torch
from torch import nn

import apdnn_lite as ap
from apdnn_lite import __main__ as cli
from apdnn_lite import export

onnxruntime = pytest.importorskip("onnxruntime")
SHAPE = (1, 8, 8)


def answers(path, images, authorized):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits, processed = session.run(["logits", "processed"], {"images": images.numpy(),
                                                              "authorized": np.array(authorized, np.float32)})
    return torch.from_numpy(logits), torch.from_numpy(processed)


def trained_a_little(in_channels=1):
    """A network whose BatchNorm has seen something, so that evaluation and training mode differ."""
    torch.manual_seed(0)
    net = nn.Sequential(ap.Normalize(), nn.Conv2d(in_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(),
                        nn.Flatten(), nn.Linear(144, 4))
    net(torch.rand(16, in_channels, 8, 8))
    return net


@pytest.mark.parametrize("transform", [
    None, ap.Fixed(SHAPE, sigma=0.1, p=0.2, seed=1), ap.Fixed(SHAPE, sigma=0.3, p=0.5, seed=1, clip=True),
    ap.Learned(SHAPE, sigma=0.1, seed=1), ap.Generator(1, seed=1), ap.Generator(1, form="dense", image_size=8, seed=1),
], ids=lambda transform: "none" if transform is None else repr(transform)[:24])
def test_the_file_computes_what_pytorch_does(transform, tmp_path):
    net = trained_a_little()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    path = ap.export.to_onnx(net, transform, tmp_path / "new" / "net.onnx", SHAPE)
    assert path == tmp_path / "new" / "net.onnx" and net.training, "the network was put into another mode"
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    for count in (1, 5):
        images = torch.rand(count, *SHAPE)
        for authorized in (0.0, 1.0):
            used = transform if authorized else None
            logits, processed = answers(path, images, authorized)
            assert torch.allclose(logits, ap.predict(net, images, used), atol=1e-4)
            expected = images if used is None else used(images).detach()
            assert torch.allclose(processed, expected, atol=1e-6)


def test_a_network_in_another_memory_layout_with_colour(tmp_path):
    net = trained_a_little(3).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 8, 8)
    logits, _ = answers(ap.export.to_onnx(net, None, tmp_path / "net.onnx", (3, 8, 8)), images, 0.0)
    assert torch.allclose(logits, ap.predict(net, images), atol=1e-4)


def test_the_file_is_one_and_names_no_folder(tmp_path):
    path = ap.export.to_onnx(ap.SimpleCNN(image_size=8), ap.Generator(1), tmp_path / "net.onnx", SHAPE)
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
    assert b".py" not in path.read_bytes()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape, each.type) for each in session.get_inputs()] == [
        ("images", ["n", 1, 8, 8], "tensor(float)"), ("authorized", [], "tensor(float)")]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("logits", ["n", 10]), ("processed", ["n", 1, 8, 8])]


@pytest.mark.parametrize("net, transform, shape, message", [
    (ap.SimpleCNN(image_size=8), None, (8, 8), r"shape must be \(channels, height, width\)"),
    (ap.SimpleCNN(image_size=8), None, (1, 0, 8), r"shape must be \(channels, height, width\)"),
    (ap.SimpleCNN(image_size=8), None, (3, 8, 8), r"does not take images of shape \(2, 3, 8, 8\)"),
    (ap.SimpleCNN(image_size=8), ap.Learned((1, 4, 4)), SHAPE, "does not take images.*this key is for images"),
    (nn.Identity(), None, SHAPE, r"expected a network that returns logits of shape \(2, num_classes\), got \(2, 1, 8, 8\)"),
    (nn.Flatten(), nn.AvgPool2d(2), SHAPE, "does not take images"),
    (nn.Flatten(), nn.Conv2d(1, 3, 1), SHAPE, r"expected a transform that returns images of shape \(2, 1, 8, 8\)"),
])
def test_what_does_not_fit_is_refused_before_anything_is_written(net, transform, shape, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ap.export.to_onnx(net, transform, tmp_path / "net.onnx", shape)
    assert not list(tmp_path.iterdir())


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    really = builtins.__import__

    def no_onnx(name, *more, **named):
        if name == "onnxscript":
            raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")
        return really(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", no_onnx)
    with pytest.raises(ImportError, match="onnxscript is not installed. Run: pip install onnx onnxscript"):
        export.to_onnx(ap.SimpleCNN(image_size=8), None, tmp_path / "net.onnx", SHAPE)


def test_the_command_writes_a_shipped_network(tmp_path, capsys):
    path = tmp_path / "net.onnx"
    assert cli.main(["export", "fashion_mnist", "resnet20", "generator", "--to", str(path)]) == 0
    assert f"generator/seed0: {path}, {path.stat().st_size:,} bytes" in capsys.readouterr().out
    test = ap.load("fashion_mnist").test[:20]
    net, transform, _ = ap.pretrained("fashion_mnist", "resnet20", "generator", size="mini")
    assert torch.allclose(answers(path, test.images, 1.0)[0], ap.predict(net, test.images, transform), atol=1e-3)


def test_the_command_names_a_network_that_is_not_stored(tmp_path, capsys):
    assert cli.main(["export", "mnist", "resnet20", "fixed", "--to", str(tmp_path / "net.onnx")]) == 1
    assert capsys.readouterr().err.startswith("error: ") and not list(tmp_path.iterdir())


def test_the_command_writes_one_file_a_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "to_onnx", lambda net, transform, path, shape: path.write_bytes(b"") or path)
    assert cli.main(["export", "fashion_mnist", "resnet20", "fixed", "--seeds", "0", "2", "--to", str(tmp_path / "net.onnx")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-seed0.onnx", "net-seed2.onnx"]
