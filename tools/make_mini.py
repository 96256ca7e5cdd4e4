"""Make apdnn_lite/assets/fashion_mnist_mini.npz again from the full Fashion-MNIST.

    python tools/make_mini.py

The images are 8-bit as in the original, compressed without loss. The rule that picks them is
``cut_mini`` in apdnn_lite/_sources.py. The file is the same to the byte each time with the same
zlib; its checksum stands in _sources.py as MINI_SHA256, and the script prints it.
"""

import hashlib
import io
import zipfile

import numpy as np

from apdnn_lite import _sources
from apdnn_lite._sources import MINI_FILE


def main():
    mini = _sources.cut_mini(_sources.cut_validation(*_sources.find("fashion_mnist")))
    arrays = {}
    for part, (images, labels, indices) in mini.items():
        arrays[f"{part}_images"] = images
        arrays[f"{part}_labels"] = labels
        arrays[f"{part}_indices"] = indices.astype(np.int32)
    # np.savez_compressed would do, but it stores the time of writing and uses a weaker compression.
    with zipfile.ZipFile(MINI_FILE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9
            )
    content = MINI_FILE.read_bytes()
    print(
        f"{MINI_FILE.name}: {len(content) / 1e6:.2f} MB, SHA-256"
        f" {hashlib.sha256(content).hexdigest()}"
    )


if __name__ == "__main__":
    main()
