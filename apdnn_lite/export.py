"""A network and its transform as one ONNX file, for the playground of the book or any other ONNX runtime.

The file takes raw images and says itself what the owner's transform makes of them, so that whoever
runs it needs nothing of this package.
"""

import copy
import warnings
from pathlib import Path

import torch
from torch import nn

from .transforms import Identity, checked_shape


class Exported(nn.Module):
    """What the ONNX file computes: a network with its transform before it, which ``authorized`` switches on.

    images: raw, (n, C, H, W) in pixels of [0, 1]. authorized: a scalar, 0 for raw, 1 for processed.
    Returns logits (n, num_classes) of the processed images and those images, (n, C, H, W):
    x + authorized · (T(x) − x).
    """

    def __init__(self, net, transform):
        super().__init__()
        self.net, self.transform = net, transform

    def forward(self, images, authorized):
        processed = images + authorized * (self.transform(images) - images)
        return self.net(processed), processed


def to_onnx(net, transform, path, image_shape):
    """Write a network and its transform to one self-contained ONNX file, and return its path.

    net: maps images (n, C, H, W) to logits (n, num_classes). It is exported in evaluation mode; the
        module itself stays as it is.
    transform: maps raw images to processed ones of the same shape; None for a plain network.
    path: of the file, which is replaced if it is there.
    image_shape: (C, H, W).

    Inputs of the file: ``images`` (n, C, H, W), float32 pixels in [0, 1], and ``authorized``, a float32
    scalar, 0 for raw and 1 for processed. Outputs: ``logits`` (n, num_classes) and ``processed``
    (n, C, H, W). Any number n of images will do.

    Raises ValueError if the shape is none, or if the network or the transform does not take such
    images or returns something else, and ImportError if the packages onnx and onnxscript are missing.
    """
    shape = checked_shape(image_shape)
    module = Exported(copy.deepcopy(net), copy.deepcopy(transform) if transform is not None else Identity())
    # Loaded networks are channels-last; the exporter would write that order down as transpositions.
    module = module.cpu().float().eval().to(memory_format=torch.contiguous_format).requires_grad_(False)
    example = torch.zeros(2, *shape), torch.tensor(1.0)
    check_output(module, *example)
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("exporting a network needs the packages onnx and onnxscript, and "
                          f"{error.name or 'one of them'} is not installed. Run: pip install onnx onnxscript") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated calls inside the exporter
        program = torch.onnx.export(module, example, dynamo=True, verbose=False, external_data=False,
                                    input_names=["images", "authorized"], output_names=["logits", "processed"],
                                    dynamic_shapes=({0: torch.export.Dim("n")}, None))
    model = program.model_proto
    forget_origin(model)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def forget_origin(model):
    """Remove the exporter's notes on where each node came from: they name folders of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@torch.no_grad()
def check_output(module, images, authorized):
    """Raises ValueError unless the module maps these images (n, C, H, W) to logits and processed images."""
    try:
        logits, processed = module(images, authorized)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"the network or the transform does not take images of shape {tuple(images.shape)}: "
                         f"{error}. Is image_shape={tuple(images.shape[1:])} what it was made for?") from error
    if processed.shape != images.shape:
        raise ValueError(f"expected a transform that returns images of shape {tuple(images.shape)}, as it was given; "
                         f"got {tuple(processed.shape)}")
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(images):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(f"expected a network that returns logits of shape ({len(images)}, num_classes), got {found}")
