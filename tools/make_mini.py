"""Make apdnn_lite/assets/fashion_mnist_mini.npz again from the full Fashion-MNIST.

    python tools/make_mini.py

The images are 8-bit as in the original, compressed without loss. The rule that picks them is
``cut_mini`` in apdnn_lite/data.py. The file is the same to the byte each time with the same zlib;
its checksum stands in data.py as MINI_SHA256, and the script prints it.
"""

import hashlib
import io
import zipfile

import numpy as np

from apdnn_lite import data


def main():
    mini = data.cut_mini(data.load_full("fashion_mnist"))
    arrays = {}
    for part in data.MINI_PER_CLASS:
        split = getattr(mini, part)
        arrays[f"{part}_images"] = (split.images[:, 0] * 255).round().byte().numpy()
        arrays[f"{part}_labels"] = split.labels.byte().numpy()
        arrays[f"{part}_indices"] = split.indices.int().numpy()
    # np.savez_compressed would do, but it stores the time of writing and uses a weaker compression.
    with zipfile.ZipFile(data.MINI_FILE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
    content = data.MINI_FILE.read_bytes()
    print(f"{data.MINI_FILE.name}: {len(content) / 1e6:.2f} MB, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
