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
    logits, processed = session.run(
        ["logits", "processed"],
        {"images": images.numpy(), "authorized": np.array(authorized, np.float32)},
    )
    return torch.from_numpy(logits), torch.from_numpy(processed)


def trained_a_little(in_channels=1):
    """A network whose BatchNorm has seen something, so that evaluation and training mode differ."""
    torch.manual_seed(0)
    net = nn.Sequential(
        ap.Normalize(),
        nn.Conv2d(in_channels, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(144, 4),
    )
    net(torch.rand(16, in_channels, 8, 8))
    return net


@pytest.mark.parametrize(
    "transform",
    [
        None,
        ap.Fixed(SHAPE, sigma=0.1, p=0.2, seed=1),
        ap.Fixed(SHAPE, sigma=0.3, p=0.5, seed=1, clip=True),
        ap.Learned(SHAPE, sigma=0.1, seed=1),
        ap.Generator(1, seed=1),
        ap.Generator(1, form="dense", image_size=8, seed=1),
    ],
    ids=lambda transform: "none" if transform is None else repr(transform)[:24],
)
def test_the_file_computes_what_pytorch_does(transform, tmp_path):
    net = trained_a_little()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    path = ap.export.to_onnx(net, transform, tmp_path / "new" / "net.onnx", SHAPE)
    assert path == tmp_path / "new" / "net.onnx" and net.training, (
        "the network was put into another mode"
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    for count in (1, 5):
        images = torch.rand(count, *SHAPE)
        for authorized in (0.0, 1.0):
            used = transform if authorized else None
            logits, processed = answers(path, images, authorized)
            assert torch.allclose(logits, ap.predict(net, images, used), atol=1e-4)
            expected = images if used is None else used(images).detach()
            assert torch.allclose(processed, expected, atol=1e-6)


def test_a_network_in_another_memory_layout_with_color(tmp_path):
    net = trained_a_little(3).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 8, 8)
    logits, _ = answers(ap.export.to_onnx(net, None, tmp_path / "net.onnx", (3, 8, 8)), images, 0.0)
    assert torch.allclose(logits, ap.predict(net, images), atol=1e-4)


def test_the_file_is_one_and_names_no_folder(tmp_path):
    path = ap.export.to_onnx(
        ap.SimpleCNN(image_size=8), ap.Generator(1), tmp_path / "net.onnx", SHAPE
    )
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
    assert b".py" not in path.read_bytes()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape, each.type) for each in session.get_inputs()] == [
        ("images", ["n", 1, 8, 8], "tensor(float)"), ("authorized", [], "tensor(float)")]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("logits", ["n", 10]),
        ("processed", ["n", 1, 8, 8]),
    ]


class Aux(nn.Module):
    """Returns two things, as networks with an auxiliary classifier do."""

    def forward(self, x):
        return x.flatten(1), x


class Broken(nn.Module):
    def forward(self, x):
        raise KeyError("no such part")


@pytest.mark.parametrize(
    "net, transform, shape, message",
    [
        (ap.SimpleCNN(image_size=8), None, (8, 8), r"shape must be \(channels, height, width\)"),
        (ap.SimpleCNN(image_size=8), None, (1, 0, 8), r"shape must be \(channels, height, width\)"),
        (
            ap.SimpleCNN(image_size=8),
            None,
            (3, 8, 8),
            r"does not take images of shape \(2, 3, 8, 8\)",
        ),
        (
            ap.SimpleCNN(image_size=8),
            ap.Learned((1, 4, 4)),
            SHAPE,
            "does not take images.*this transform is for images",
        ),
        (
            nn.Identity(),
            None,
            SHAPE,
            (
                r"expected a network that returns logits of shape \(2, num_classes\), got Tensor of"
                r" shape \(2, 1, 8, 8\)"
            ),
        ),
        (
            nn.Flatten(),
            nn.AvgPool2d(2),
            SHAPE,
            (
                r"expected a transform that returns images of shape \(2, 1, 8, 8\), as it was"
                r" given; got Tensor of shape \(2, 1, 4, 4\)"
            ),
        ),
        (
            Aux(),
            None,
            SHAPE,
            r"expected a network that returns logits of shape \(2, num_classes\), got tuple",
        ),
        (
            nn.Flatten(),
            Aux(),
            SHAPE,
            "expected a transform that returns images of shape .* got tuple",
        ),
        (
            nn.Flatten(0, 1),
            None,
            SHAPE,
            r"logits of shape \(2, num_classes\), got Tensor of shape \(2, 8, 8\)",
        ),
        (
            nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, -1))),
            None,
            SHAPE,
            r"got Tensor of shape \(1, 128\)",
        ),
        (
            Broken(),
            None,
            SHAPE,
            (
                r"does not take images of shape \(2, 1, 8, 8\): 'no such part'. Is image_shape=\(1,"
                r" 8, 8\) what"
            ),
        ),
        (
            ap.ResNet20(),
            ap.Fixed((1, 28, 28), 0.1, 0.2),
            (1, 32, 32),
            r"\(N, 1, 28, 28\), got \(2, 1, 32, 32\)",
        ),
        (ap.SimpleCNN(), None, (1, 32, 32), r"\(N, 1, 28, 28\), got \(2, 1, 32, 32\)"),
        (
            ap.ResNet20(),
            None,
            28,
            r"shape must be \(channels, height, width\), three positive integers, got 28",
        ),
        (
            nn.Flatten(),
            nn.Conv2d(1, 3, 1),
            SHAPE,
            r"expected a transform that returns images of shape \(2, 1, 8, 8\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    net, transform, shape, message, tmp_path
):
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
    with pytest.raises(
        ImportError, match="onnxscript is not installed. Run: pip install onnx onnxscript"
    ):
        export.to_onnx(ap.SimpleCNN(image_size=8), None, tmp_path / "net.onnx", SHAPE)


def test_the_command_writes_a_shipped_network(tmp_path, capsys):
    path = tmp_path / "net.onnx"
    assert cli.main(["export", "fashion_mnist", "resnet20", "generator", "--to", str(path)]) == 0
    assert f"generator/seed0: {path}, {path.stat().st_size:,} bytes" in capsys.readouterr().out
    test = ap.load("fashion_mnist").test[:20]
    net, transform, _ = ap.pretrained("fashion_mnist", "resnet20", "generator", size="mini")
    assert torch.allclose(
        answers(path, test.images, 1.0)[0], ap.predict(net, test.images, transform), atol=1e-3
    )


def test_the_command_names_a_network_that_is_not_stored(tmp_path, capsys):
    assert (
        cli.main(["export", "mnist", "resnet20", "fixed", "--to", str(tmp_path / "net.onnx")]) == 1
    )
    assert capsys.readouterr().err.startswith("error: ") and not list(tmp_path.iterdir())


def test_the_command_writes_one_file_a_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        export, "to_onnx", lambda net, transform, path, shape: path.write_bytes(b"") or path
    )
    assert (
        cli.main(
            [
                "export",
                "fashion_mnist",
                "resnet20",
                "fixed",
                "--seeds",
                "0",
                "2",
                "--to",
                str(tmp_path / "net.onnx"),
            ]
        )
        == 0
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-seed0.onnx", "net-seed2.onnx"]


def test_a_float64_network_is_exported_as_a_float32_copy(tmp_path):
    net, key, images = (
        trained_a_little().eval().double(),
        ap.Generator(1, seed=1).double(),
        torch.rand(3, *SHAPE),
    )
    logits, _ = answers(
        ap.export.to_onnx(net, key, tmp_path / "net.onnx", np.array(SHAPE)), images, 1.0
    )
    assert all(tensor.dtype == torch.float64 for tensor in (net[1].weight, key.layers[0].weight))
    assert torch.allclose(logits.double(), net(key(images.double())), atol=1e-4)


def test_pytorchs_defaults_do_not_matter(tmp_path):
    net, key, images = trained_a_little(), ap.Fixed(SHAPE, 0.1, 0.2, seed=1), torch.rand(3, *SHAPE)
    try:
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        path = ap.export.to_onnx(net, key, tmp_path / "net.onnx", SHAPE)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert torch.allclose(answers(path, images, 1.0)[0], net.eval()(key(images)), atol=1e-4)


def test_a_path_at_home_and_a_file_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "net.onnx").write_bytes(b"before")
    path = ap.export.to_onnx(nn.Flatten(), None, "~/net.onnx", SHAPE)
    assert path == tmp_path / "net.onnx" and [each.name for each in tmp_path.iterdir()] == [
        "net.onnx"
    ]
    assert answers(path, torch.rand(2, *SHAPE), 0.0)[0].shape == (2, 64)


def test_a_network_and_its_transform_keep_their_gradients_modes_and_layout(tmp_path):
    net = trained_a_little().to(memory_format=torch.channels_last).train()
    key = ap.Generator(1, seed=1)
    net[2].eval()
    export.to_onnx(net, key, tmp_path / "net.onnx", SHAPE)
    assert all(
        parameter.requires_grad for module in (net, key) for parameter in module.parameters()
    )
    assert [part.training for part in net] == [
        True,
        True,
        False,
        True,
        True,
        True,
        True,
    ] and key.training
    assert net[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_what_the_file_computes_by_hand():
    module, images = export.Exported(nn.Flatten(), ap.Shift(0.5)), torch.rand(2, *SHAPE)
    for authorized in (0.0, 0.25, 1.0):
        logits, processed = module(images, torch.tensor(authorized))
        torch.testing.assert_close(processed, images + 0.5 * authorized)
        assert torch.equal(logits, processed.flatten(1))


def test_nothing_of_the_exporters_notes_is_left(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(
        ap.export.to_onnx(ap.ResNet20(), ap.Generator(1), tmp_path / "net.onnx", SHAPE)
    )
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.value_info,
        *graph.input,
        *graph.output,
        *graph.initializer,
    ):
        assert not part.doc_string and not part.metadata_props


def test_the_exporter_is_quiet(tmp_path, capfd, recwarn):
    export.to_onnx(nn.Flatten(), None, tmp_path / "net.onnx", SHAPE)
    assert capfd.readouterr().out == "" and not recwarn.list


@pytest.mark.parametrize("answer", [
    lambda logits: logits[:, 0],
    lambda logits: torch.cat([logits, logits]),
    lambda logits: logits[:1],
    lambda logits: logits[:, :, None],
], ids=["one dimension", "more rows", "fewer rows", "three dimensions"])
def test_what_are_no_logits_of_these_images_is_refused(answer, tmp_path):
    class Answers(nn.Module):
        def forward(self, x):
            return answer(x.flatten(1))

    with pytest.raises(ValueError, match=r"returns logits of shape \(2, num_classes\), got Tensor"):
        ap.export.to_onnx(Answers(), None, tmp_path / "net.onnx", (1, 4, 4))
    assert not list(tmp_path.iterdir())
