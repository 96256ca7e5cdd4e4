"""A network and its transform as one ONNX file, for the playground or any other ONNX runtime.

The file takes raw images and computes what the owner's transform makes of them, so that nobody
needs this package to run it.
"""

import copy
import warnings

import torch
from torch import nn

from ._checks import check_untouched, checked_shape, describe
from ._files import at_home, write_whole
from .transforms import Identity


class Exported(nn.Module):
    """What the ONNX file computes: a network, and before it a transform that can be switched on.

    images: raw, (n, C, H, W) in pixels of [0, 1]. authorized: a scalar, 0 for raw, 1 for processed.
    Returns logits (n, num_classes) of the processed images and those images, (n, C, H, W):
    x + authorized · (T(x) − x).
    """

    def __init__(self, net, transform):
        super().__init__()
        self.net, self.transform = net, transform

    def forward(self, images, authorized):
        processed = images + authorized * (self.transform(images) - images)
        return self.net(processed.clone()), processed  # a network may write into its input


def to_onnx(net, transform, path, image_shape):
    """Write a network and its transform to one self-contained ONNX file, and return its path.

    net: maps images (n, C, H, W) to logits (n, num_classes). It is exported in evaluation mode; the
        module itself stays as it is.
    transform: maps raw images to processed ones of the same shape; None for a plain network.
    path: of the file, which is replaced as a whole if it is there; ``~`` is the home folder.
    image_shape: (C, H, W).

    Inputs of the file: ``images`` (n, C, H, W), float32 pixels in [0, 1], and ``authorized``, a
    float32 scalar, 0 for raw and 1 for processed. Outputs: ``logits`` (n, num_classes) and
    ``processed`` (n, C, H, W). Any number n of images will do.

    Raises ValueError if the shape is none, or if the network or the transform does not take such
    images or returns something else, and ImportError if onnx or onnxscript is missing.
    """
    shape, path = checked_shape(image_shape), at_home(path)
    transform = Identity() if transform is None else transform
    module = Exported(copy.deepcopy(net), copy.deepcopy(transform)).cpu().float().eval()
    # Loaded networks are channels-last; the exporter would write that order down as transpositions.
    module = module.to(memory_format=torch.contiguous_format).requires_grad_(False)
    with torch.device("cpu"):  # whatever torch.set_default_device says
        example = torch.zeros(2, *shape).float(), torch.tensor(1.0).float()
        check_output(module, *example)
        model = converted(module, example)
    forget_origin(model)
    write_whole(path, model.SerializeToString())
    return path


def converted(module, example):
    """The ONNX model of an :class:`Exported` module, traced with example inputs."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("exporting a network needs the packages onnx and onnxscript, and "
                          f"{error.name or 'one of them'} is not installed. "
                          "Run: pip install onnx onnxscript") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated calls inside the exporter
        program = torch.onnx.export(
            module, example, dynamo=True, verbose=False, external_data=False,
            input_names=["images", "authorized"], output_names=["logits", "processed"],
            dynamic_shapes=({0: torch.export.Dim("n")}, None))
    return program.model_proto


def forget_origin(model):
    """Remove the exporter's notes on where each node came from: they name folders."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output,
                 *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@torch.no_grad()
def check_output(module, images, authorized):
    """Raises ValueError unless the module maps these images to logits and processed images."""
    shape = tuple(images.shape)
    try:
        before, given = images.clone(), images.clone()
        processed = module.transform(given)
        fits = isinstance(processed, torch.Tensor) and processed.shape == shape
        logits = module(images, authorized)[0] if fits else None
    except Exception as error:  # a reader's own network may raise anything
        raise ValueError(f"the network or the transform does not take images of shape {shape}: "
                         f"{error}. Is image_shape={shape[1:]} what it was made for?") from error
    check_untouched(before, given)
    if not fits:
        raise ValueError(f"expected a transform that returns images of shape {shape}, as it was "
                         f"given; got {describe(processed)}")
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(images):
        raise ValueError(f"expected a network that returns logits of shape ({len(images)}, "
                         f"num_classes), got {describe(logits)}")
