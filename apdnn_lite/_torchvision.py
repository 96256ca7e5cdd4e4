"""One way to torchvision, used only where it is needed (downloads, image folders).

torchvision registers fake versions of its compiled operators while it is imported. Beside a
CPU-only torch an ordinary torchvision wheel cannot load its compiled part, two operator names are
then missing, and the import fails. Declaring the two names is enough: nothing here calls them.
"""

import sys

import torch

_library = None  # torch drops the declarations when the library object is collected


def import_torchvision():
    """Return the module ``torchvision``, imported now if it was not before."""
    global _library
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half-imported: begin again
        _library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            _library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        import torchvision
    return torchvision
