"""Measuring changes no image, even if the network or the transform writes into what it is given."""

import dataclasses

import pytest
import torch
from torch import nn

import apdnn_lite as ap
from apdnn_lite import attacks
from apdnn_lite.beyond import labels as few
from apdnn_lite.beyond import thieves

KEY = ap.Fixed((1, 6, 6), sigma=0.1, p=0.2, seed=1)


class Net(nn.Module):
    """A network that centers its pixels: in place, as ``x -= 0.5`` does, or in a new tensor."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place, self.conv = in_place, nn.Conv2d(1, 4, 3)
        self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(64, 10)

    def forward(self, x):
        x = x.sub_(0.5) if self.in_place else x - 0.5
        return self.fc(self.norm(self.conv(x)).relu().flatten(1))


class AddInPlace(nn.Module):
    """A transform as beginners write it."""

    def forward(self, x):
        x += KEY.key
        return x


def twins():
    """Two networks that compute the same; the first writes into its input."""
    nets = []
    for in_place in (True, False):
        torch.manual_seed(0)
        nets.append(Net(in_place).eval())
    return nets


def some():
    numbers = torch.Generator().manual_seed(3)
    return ap.Split(torch.rand(40, 1, 6, 6, generator=numbers), torch.arange(40) % 10,
                    torch.arange(40))


def thief(guesses):
    return [each.state_dict() for each in guesses.transforms], guesses.scores


FUNCTIONS = {
    "predict": lambda net, data: ap.predict(net, data.images),
    "predict, with a key": lambda net, data: ap.predict(net, data.images, KEY),
    "access": lambda net, data: dataclasses.astuple(ap.access(net, data, KEY)),
    "confusion": lambda net, data: ap.confusion(net, data),
    "fgsm": lambda net, data: ap.fgsm(net, data.images, data.labels, 0.1),
    "pgd": lambda net, data: ap.pgd(net, data.images, data.labels, 0.1),
    "universal": lambda net, data: ap.universal(net, data.images, data.labels, 0.1),
    "guess": lambda net, data: thief(attacks.input_only(net, data.images, 0.1, 0.2, draws=3)),
    "brightness": lambda net, data: attacks.brightness(net, data.images).scores,
    "climb": lambda net, data: thief(attacks.climb(net, data.images, tries=2, steps=3)),
    "strong climb": lambda net, data: thief(thieves.strong_climb(
        net, data.images, temperatures=(4,), tries=1, steps=3)),
    "level climb": lambda net, data: thief(attacks.climb(thieves.Level(net), data.images,
                                                         tries=2, steps=3)),
    "renormalize": lambda net, data: thieves.renormalize(net, data.images).state_dict(),
    "read out": lambda net, data: ap.predict(few.read_out(net, data), data.images),
    "universal key": lambda net, data: few.universal_key(net, data, steps=3).delta,
    "fine-tune": lambda net, data: few.fine_tune(net, data, steps=2).state_dict(),
    "fit": lambda net, data: (ap.fit(net, data, data, transform=KEY, epochs=1, batch_size=8,
                                     progress=False).epochs, net.state_dict()),
    "fit, plain": lambda net, data: (ap.fit(net, data, data, epochs=1, batch_size=8,
                                            progress=False).epochs, net.state_dict()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_network_that_writes_into_its_input_changes_nothing_of_ours(name):
    found = []
    for net in twins():
        data = some()
        found.append(FUNCTIONS[name](net, data))
        assert torch.equal(data.images, some().images)
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_a_transform_that_adds_in_place_is_measured_as_one_that_does_not():
    net, data = twins()[1], some()
    assert ap.access(net, data, AddInPlace()) == ap.access(net, data, KEY)
    assert torch.equal(ap.predict(net, data.images, AddInPlace()),
                       ap.predict(net, data.images, KEY))
    sizes = [ap.perturbation_size(each, data.images) for each in (AddInPlace(), KEY)]
    assert sizes[0] == sizes[1] and sizes[0].rms > 0
    ap.figures.processed(data.images[:2], {"key": AddInPlace()})
    assert torch.equal(data.images, some().images)


def test_training_and_export_refuse_a_transform_that_adds_in_place(tmp_path):
    net, data = twins()[1], some()
    message = "the transform writes into the images .* x [+] key instead of x [+]= key"
    with pytest.raises(ValueError, match=message):
        ap.fit(net, data, data, transform=AddInPlace(), progress=False)
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match=message):
        ap.export.to_onnx(net, AddInPlace(), tmp_path / "net.onnx", (1, 6, 6))
    assert torch.equal(data.images, some().images)


def test_a_network_that_writes_into_its_input_is_exported_as_it_answers(tmp_path):
    onnx = pytest.importorskip("onnx.reference")
    path = ap.export.to_onnx(twins()[0], KEY, tmp_path / "net.onnx", (1, 6, 6))
    images = some().images[:3]
    logits, processed = onnx.ReferenceEvaluator(str(path)).run(
        None, {"images": images.numpy(), "authorized": torch.tensor(1.0).numpy()})
    torch.testing.assert_close(torch.from_numpy(processed), KEY(images))
    torch.testing.assert_close(torch.from_numpy(logits), ap.predict(twins()[1], images, KEY))
