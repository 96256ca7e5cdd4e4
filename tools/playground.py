"""Make what the playground page loads: the trained networks as ONNX files, and images to try.

Everything goes to ``_vendor/playground``, which ``book/_ext/offline.py`` copies into the built
book; nothing of it is committed. It is made again only when the weights or the code behind it
changed. Needs ``python tools/vendor.py`` before.
"""

import gzip
import hashlib
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "_vendor" / "playground"
ENGINE = ROOT / "_vendor" / "vendor" / "onnxruntime"
PACKAGE = ROOT / "apdnn_lite"

SIZE = "full"  # the data set the networks were trained on: "mini" or "full"
DATASET, NETWORK, SEED = "fashion_mnist", "resnet20", 0
TRANSFORMS = ("baseline", "fixed", "learned", "generator", "mended")
MENDED = "unlikelihood-keys"  # the fixed key again, with the lock that the last part mends
# The layers whose feature maps can be seen: each ends with this ReLU of the network, from 0 on.
LAYERS = {"first convolution": 0, "stage 1": 6, "stage 2": 12, "stage 3": 18}
IMAGES = 256   # of the mini test set, its first ones; they come in no order of classes


def record_path(transform):
    mended = transform == "mended"
    folder = Path("beyond", MENDED) if mended else Path("records")
    transform = "fixed" if mended else transform
    return (
        PACKAGE
        / "assets"
        / folder
        / f"{DATASET}-{SIZE}"
        / NETWORK
        / transform
        / f"seed{SEED}.json"
    )


def recorded(transform):
    """The record of a network of the playground; the package, which loads torch, is not needed."""
    return json.loads(record_path(transform).read_text(encoding="utf-8"))


def fingerprint():
    """A checksum over everything that what is made depends on."""
    files = [
        Path(__file__),
        ROOT / "requirements.txt",
        PACKAGE / "assets" / f"{DATASET}_mini.npz",
        *ENGINE.glob("*"),
        *PACKAGE.glob("*.py"),
        *(PACKAGE / "experiments").glob("*.py"),
        *(PACKAGE / "experiments" / "beyond").glob("*.py"),
    ]
    for transform in TRANSFORMS:
        files += [record_path(transform), record_path(transform).with_suffix(".safetensors")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def sizes(path):
    """How large a file is, and how much of it a server sends that compresses; in bytes."""
    content = path.read_bytes()
    return {"bytes": len(content), "compressed": len(gzip.compress(content))}


def write_inside(path):
    """Write beside a network what the page appends to it to see inside; returns what it is told.

    That is the backward pass, for climbing, and the names of the layers that become outputs. The
    weights are those of the network's own file, so that this one is small.
    """
    import onnx

    from apdnn_lite._backward import inside

    model = onnx.load(path)
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    layers = {name: relus[place] for name, place in LAYERS.items()}
    target = path.with_suffix(".inside.bin")
    target.write_bytes(inside(model, layers.values()).SerializeToString())
    outputs = [{"name": name, "output": output} for name, output in layers.items()]
    return {"file": target.name, "layers": outputs, **sizes(target)}


def main():
    if not ENGINE.is_dir():
        sys.exit("playground: onnxruntime-web is missing. Run `python tools/vendor.py` first.")
    stamp = TARGET / ".stamp"
    expected = fingerprint()
    if stamp.is_file() and stamp.read_text() == expected:
        return
    print("writing the networks of the playground as ONNX files", flush=True)
    sys.path.insert(0, str(ROOT))
    import apdnn_lite as ap

    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    data = ap.load(DATASET, "mini")
    test = data.test[:IMAGES]
    # Pixels are stored as 8 bits and divided by 255 when they are loaded; the page does the same.
    pixels = (test.images * 255).round().byte()
    assert (pixels.float() / 255 == test.images).all(), "these images do not come from 8-bit pixels"
    (TARGET / "images.bin").write_bytes(
        pixels.numpy().tobytes() + test.labels.byte().numpy().tobytes()
    )

    shape = tuple(test.images.shape[1:])
    networks = []
    for transform in TRANSFORMS:
        if transform == "mended":
            net, owner = ap.experiments.beyond.mended_network(MENDED, "fixed", SIZE, SEED)
        else:
            net, owner, _ = ap.pretrained(DATASET, NETWORK, transform, SIZE, SEED)
        path = ap.export.to_onnx(net, owner, TARGET / f"{transform}.onnx", shape)
        networks.append(
            {
                "name": transform,
                "file": path.name,
                "clip": owner is not None and owner.clip,
                "recorded": recorded(transform)["came_out"]["test"],
                "inside": write_inside(path),
                **sizes(path),
            }
        )
    recipe = recorded("fixed")["asked"]["recipe"]
    contents = {
        "size": SIZE,  # of the set that the networks were trained on
        "classes": data.classes,
        "images": {
            "file": "images.bin",
            "count": len(test),
            "shape": shape,
            **sizes(TARGET / "images.bin"),
        },
        "sigma": recipe["sigma"],
        "p": recipe["p"],  # of the owner's fixed key
        "networks": networks,
        "engine": {path.name: sizes(path) for path in sorted(ENGINE.iterdir())},
    }
    (TARGET / "playground.json").write_text(
        json.dumps(contents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    stamp.write_text(expected)  # last, so that a run that was cut off starts again


if __name__ == "__main__":
    main()
