"""Train a network, plainly or together with the owner's transform.

``fit`` takes a training and a validation split and never sees the test split. A batch of raw images
and the same batch processed go through the network as one concatenated batch: batch normalization
then sees the same mixture throughout, and one large pass is faster than two small ones.
"""

import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F
from tqdm import tqdm

from .evaluate import access, accuracy, device_of
from .losses import AntiPiracyLoss

OPTIMIZERS = {
    "adam": lambda groups, lr: torch.optim.AdamW(groups, lr, fused=True),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True),
}
# Devices that have read a tensor of the CPU when a copy without waiting returns. Apple's "mps" reads it later, when the tensor
# may be gone (pytorch/pytorch#189690).
COPIES_AT_ONCE = {"cuda"}
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


@dataclass
class History:
    """What happened in training.

    epochs: one dict per finished epoch, with the means of the loss terms over the training images
        and the accuracies on the validation split ("authorized" and "unauthorized", or "accuracy"
        for a plain network).
    seconds: spent in training and validation, the earlier parts of a resumed run included.
    training_seconds: the same without validation.
    images_per_second: training images (each counted once, though the network sees it raw and
        processed) per second of training, validation left out.
    interrupted: whether training was stopped with Ctrl-C.
    best: the weights of the :attr:`selected` epoch, as tensors by name; :meth:`load_selected` takes them.
    """

    epochs: list = field(default_factory=list)
    seconds: float = 0.0
    training_seconds: float = 0.0
    images_per_second: float = 0.0
    interrupted: bool = False
    best: dict = field(default_factory=dict, repr=False)

    @property
    def selected(self):
        """The epoch, from 0, that was best on the validation split: by accuracy, or by authorized less unauthorized.

        Raises ValueError if no epoch is finished.
        """
        if not self.epochs:
            raise ValueError("no epoch is finished, so none can be selected: train for one at least")
        scores = [epoch["accuracy"] if "accuracy" in epoch else epoch["authorized"] - epoch["unauthorized"]
                  for epoch in self.epochs]
        return scores.index(max(scores))

    def load_selected(self, net, transform=None):
        """Put the weights of the selected epoch into ``net`` and ``transform``; ``fit`` leaves those of the last."""
        net.load_state_dict(tensors_under("net.", self.best))
        if transform is not None:
            transform.load_state_dict(tensors_under("transform.", self.best))

    def __getitem__(self, name):
        """One column: ``history["authorized"]`` lists the figure of each epoch."""
        return [epoch[name] for epoch in self.epochs]

    def __str__(self):
        if not self.epochs:
            return "no epoch finished"
        figures = ", ".join(f"{name} {value:.1%}" for name, value in self.epochs[-1].items()
                            if name in ("accuracy", "authorized", "unauthorized"))
        return f"{len(self.epochs)} epochs; on the validation split: {figures}"


def send(tensor, device):
    """A copy of ``tensor`` on ``device``, without waiting for what that has yet to do, where this is safe."""
    return tensor.to(device, non_blocking=device.type in COPIES_AT_ONCE)


@dataclass(frozen=True)
class Augment:
    """Random crops and flips of a batch of raw images (N, C, H, W); the owner's transform comes after.

    crop: each image moves by up to this many pixels each way; what comes in is black.
    flip: whether half of the images are mirrored (wrong for digits).
    """

    crop: int = 2
    flip: bool = True

    def __call__(self, images, generator):
        count, _, height, width = images.shape
        # drawn on the CPU, so that every device draws the same
        draw = lambda high: send(torch.randint(high, (count,), generator=generator), images.device)  # noqa: E731
        rows, columns, mirrored = draw(2 * self.crop + 1), draw(2 * self.crop + 1), draw(2).bool()
        padded = F.pad(images, (self.crop,) * 4)
        row = (rows[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        column = columns[:, None] + torch.arange(width, device=images.device)
        if self.flip:
            column = torch.where(mirrored[:, None], column.flip(1), column)
        batch = torch.arange(count, device=images.device)[:, None, None, None]
        channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        return padded[batch, channel, row, column[:, None, None, :]]


def fit(net, train, validation, *, transform=None, loss=None, epochs=8, batch_size=128, lr=2e-3, transform_lr=None,
        transform_max_norm=None, optimizer="adam", weight_decay=0.0, augment=None, device="auto", precision="auto",
        cuda_graph=False, seed=0, checkpoint=None, progress=True):
    """Train ``net`` in place and return its :class:`History`; the network is left in evaluation mode.

    Network and transform go to the device for the training and come back to the one they were on, so that what
    is done with them next needs no thought of it.

    net: any module from pixels (N, C, H, W) to logits (N, num_classes).
    train, validation: splits; there is no parameter for the test split.
    transform: the owner's; its parameters, if it has any, are trained too. Without one the network
        is trained plainly, with cross-entropy.
    loss: an :class:`~apdnn_lite.losses.AntiPiracyLoss`, for training with a transform.
    lr: the peak of a one-cycle schedule (Smith and Topin, 2018).
    transform_lr: the peak for the transform's parameters, by default ``lr``. SGD at a network's usual
        0.1 is too much for a generator: one bias of it moves every pixel, and ‖x_p − x_r‖₂² sums over them.
    transform_max_norm: a gradient of the transform's parameters that is longer is shortened to this norm
        (Pascanu, Mikolov and Bengio, 2013): a single batch can else throw a generator far off.
    optimizer: "adam" or "sgd" (Nesterov, momentum 0.9).
    weight_decay: of the network only; on a transform it would be a hidden γ.
    augment: a function of a batch of raw images and a generator, such as :class:`Augment`.
    device: "auto" takes a CUDA device if there is one.
    precision: of the arithmetic inside the network, "float32", "bfloat16" or "float16" (CUDA only);
        "auto" takes the fastest of them that the device computes in. Weights, logits and loss
        stay in float32, and so does all that is measured.
    cuda_graph: on a CUDA device, launch the forward and backward pass of a batch at once, as one CUDA graph,
        and not kernel by kernel: with small networks the launches are what takes the time. Network, transform
        and loss must then do the same for every batch and read no value on the host. On other devices it does nothing.
    checkpoint: a file, written after each epoch. If it is there already, training goes on from it;
        on the CPU it ends with the same weights, bit for bit, as without the stop.

    Ctrl-C stops training and keeps what was learned. Raises ValueError for settings that make no
    sense, TrainingError if the loss is no longer finite or the checkpoint belongs to another run.
    """
    if loss is not None and transform is None:
        raise ValueError("a loss needs a transform: a plain network is trained with cross-entropy")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}: expected one of {', '.join(OPTIMIZERS)}")
    transform_lr = lr if transform_lr is None else transform_lr
    if not (epochs >= 1 and batch_size >= 1 and lr > 0 and transform_lr > 0 and weight_decay >= 0):
        raise ValueError("expected epochs ≥ 1, batch_size ≥ 1, lr > 0, transform_lr > 0 and weight_decay ≥ 0, got "
                         f"{epochs}, {batch_size}, {lr}, {transform_lr} and {weight_decay}")
    if transform_max_norm is not None and not transform_max_norm > 0:
        raise ValueError(f"expected transform_max_norm > 0, or None for no limit, got {transform_max_norm}")
    device = pick_device(device)
    precision = pick_precision(precision, device)
    loss = loss or AntiPiracyLoss()
    with on_loan(net, transform), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        run = Run(net, train, transform, loss, optimizer, lr, transform_lr, transform_max_norm, weight_decay, epochs, batch_size,
                  augment, seed, device, precision)
        if cuda_graph and device.type == "cuda":
            run.capture()
        torch.manual_seed(seed)
        if checkpoint is not None and Path(checkpoint).exists():
            run.resume(Path(checkpoint))
        return run.train(validation.to(device), checkpoint, progress)


@contextlib.contextmanager
def on_loan(*modules):
    """Whatever happens inside the ``with`` block, the modules (or None) go back to the devices they were on."""
    devices = [None if module is None else device_of(module) for module in modules]
    try:
        yield
    finally:
        for module, device in zip(modules, devices):
            if module is not None:
                module.to(device)


def pick_device(device="auto"):
    """A torch.device; "auto" is CUDA if there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def pick_precision(precision, device):
    """A torch.dtype for the arithmetic inside a network on ``device``; "auto" is the fastest it has."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    cuda = device.type == "cuda"
    if precision == "float16" and not cuda:
        raise ValueError(f'precision "float16" is for CUDA devices, and this one is {device.type}: '
                         'try "bfloat16", or "auto"')
    if precision == "auto":
        if cuda:
            precision = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        else:
            precision = "bfloat16" if device.type == "cpu" and cpu_has_bfloat16() else "float32"
    return getattr(torch, precision)


def tensors_under(prefix, tensors):
    """Those of a dict of tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def cpu_has_bfloat16():
    """Whether this processor multiplies in bfloat16; where it does not, bfloat16 is slower than float32."""
    found = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot tell
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


class Run:
    """One training run and all of its state: what ``fit`` sets up, goes through and can save."""

    def __init__(self, net, train, transform, loss, optimizer, lr, transform_lr, transform_max_norm, weight_decay, epochs,
                 batch_size, augment, seed, device, precision):
        self.net = net.to(device, memory_format=torch.channels_last)
        self.transform = None if transform is None else transform.to(device)
        self.loss, self.augment, self.device, self.transform_max_norm = loss, augment, device, transform_max_norm
        self.images = train.images.to(device)  # the whole split stays on the device
        self.labels = train.labels.to(device)
        self.epochs, self.batch_size = epochs, batch_size
        self.steps_per_epoch = -(-len(train) // batch_size)
        groups = [{"params": list(net.parameters()), "weight_decay": weight_decay, "lr": lr}]
        if transform is not None and list(transform.parameters()):
            groups.append({"params": list(transform.parameters()), "weight_decay": 0.0, "lr": transform_lr})
        self.optimizer = OPTIMIZERS[optimizer](groups, lr)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, [group["lr"] for group in groups],
                                                            epochs * self.steps_per_epoch)
        self.precision = precision
        # float16, which older cards have, needs the loss scaled up; bfloat16 has float32's range and does not.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.generator = torch.Generator().manual_seed(seed)  # the order of the batches, and augmentation
        self.history = History()
        self.graph = None  # of a batch, on a CUDA device, if there is one: :meth:`capture`
        self.settings = {
            "net": repr(net), "transform": repr(transform), "loss": repr(loss), "optimizer": optimizer, "lr": lr,
            "transform_lr": transform_lr, "transform_max_norm": transform_max_norm, "weight_decay": weight_decay,
            "epochs": epochs, "batch_size": batch_size,
            "augment": repr(augment), "precision": str(precision), "seed": seed, "images": list(train.images.shape),
            "pixel_sum": float(train.images.double().sum()),
            "label_sum": int((train.labels.cpu() * torch.arange(1, len(train) + 1)).sum()),  # depends on their order
        }

    def train(self, validation, checkpoint, progress):
        before, start = self.history.seconds, time.perf_counter()
        first = len(self.history.epochs)
        bar = tqdm(total=self.epochs * self.steps_per_epoch, initial=first * self.steps_per_epoch, unit="batch",
                   desc=f"epoch {min(first + 1, self.epochs)}/{self.epochs}", disable=not progress, ncols=90,
                   file=sys.stdout, ascii=False, mininterval=0.5)  # a notebook shows standard error in red
        try:
            for epoch in range(first, self.epochs):
                bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
                began = time.perf_counter()
                row = self.one_epoch(bar)
                self.history.training_seconds += time.perf_counter() - began
                row |= self.validate(validation)
                self.history.epochs.append(row)
                if self.history.selected == epoch:
                    self.history.best = {name: tensor.clone() for name, tensor in self.weights().items()}
                self.history.seconds = before + time.perf_counter() - start
                if checkpoint is not None:
                    self.save(Path(checkpoint))
        except KeyboardInterrupt:
            self.history.interrupted = True
            print(f"\nStopped in epoch {len(self.history.epochs) + 1} of {self.epochs}. The network keeps what it has "
                  "learned." + (f" The same call goes on after the last finished epoch, from {checkpoint}."
                                if checkpoint is not None and Path(checkpoint).exists() else ""))
        finally:
            bar.close()
            self.net.eval()
            if self.transform is not None:
                self.transform.eval()
        self.history.seconds = before + time.perf_counter() - start
        trained = len(self.history.epochs) * len(self.labels)
        self.history.images_per_second = trained / self.history.training_seconds if trained else 0.0
        return self.history

    def one_epoch(self, bar):
        """Every training image once; returns the means of the loss terms."""
        self.net.train()
        if self.transform is not None:
            self.transform.train()
        order = torch.randperm(len(self.labels), generator=self.generator).to(self.device)
        sums = 0.0
        for index in order.split(self.batch_size):
            images, labels = self.images[index], self.labels[index]
            if self.augment is not None:
                images = self.augment(images, self.generator)  # before the transform: a key must not move
            terms = self.step(images, labels)
            sums = sums + torch.stack(terms).detach() * len(index)  # stays on the device: no waiting for it
            bar.update()
        means = (sums / len(self.labels)).tolist()
        if not all(map(torch.isfinite, torch.tensor(means))):
            raise TrainingError(f"the loss is not finite any more (epoch {len(self.history.epochs) + 1}): "
                                "lower the learning rate, or check that the transform gives finite pixels.")
        return dict(zip(("loss",) if self.transform is None else ("loss", "E_p", "E_r", "size"), means))

    def step(self, images, labels):
        """One forward and backward pass and one step of the optimizer; returns the loss, or its four terms."""
        if self.graph is not None and len(labels) == self.batch_size:
            terms = self.replay(images, labels)
        else:
            # a graph writes its gradients into the tensors it was recorded with: they stay
            self.optimizer.zero_grad(set_to_none=self.graph is None)
            terms = self.gradients(images, labels)
        if self.transform is not None and self.transform_max_norm is not None:
            self.scaler.unscale_(self.optimizer)  # gradients of their true size
            torch.nn.utils.clip_grad_norm_(self.transform.parameters(), self.transform_max_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return terms

    def gradients(self, images, labels):
        """One forward and backward pass; returns the loss, or its four terms."""
        if self.transform is None:
            terms = (F.cross_entropy(self.logits(images), labels),)
        else:
            processed = self.transform(images)
            logits_processed, logits_raw = self.logits(torch.cat([processed, images])).chunk(2)
            terms = self.loss(logits_processed, logits_raw, labels, processed - images)
        self.scaler.scale(terms[0]).backward()
        return terms

    def capture(self):
        """Record the forward and backward pass of a full batch as a CUDA graph, for :meth:`replay`.

        Some passes come first, as torch demands, for what is set up only once. They leave no trace in the network
        (batch normalization counts what it sees).
        """
        modules = [module for module in (self.net, self.transform) if module is not None]
        before = [{name: tensor.clone() for name, tensor in module.state_dict().items()} for module in modules]
        for module in modules:
            module.train()
        shape = (self.batch_size, *self.images.shape[1:])
        self.inputs = self.images[:1].expand(shape).clone(), self.labels[:1].expand(self.batch_size).clone()
        aside = torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.optimizer.zero_grad(set_to_none=True)
                self.gradients(*self.inputs)
        torch.cuda.current_stream(self.device).wait_stream(aside)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=aside):
            self.outputs = [term.detach() for term in self.gradients(*self.inputs)]
        self.graph = graph
        for module, state in zip(modules, before):
            module.load_state_dict(state)

    def replay(self, images, labels):
        """What :meth:`gradients` does, as the recorded graph: it reads and writes the same memory each time."""
        for tensor, new in zip(self.inputs, (images, labels)):
            tensor.copy_(new)
        self.graph.replay()
        return self.outputs

    def logits(self, images):
        """The network's logits in float32, whatever the precision inside it."""
        images = images.contiguous(memory_format=torch.channels_last)
        if self.precision == torch.float32:
            return self.net(images)
        with torch.autocast(self.device.type, self.precision):
            return self.net(images).float()

    def validate(self, validation):
        if self.transform is None:
            return {"accuracy": accuracy(self.net, validation)}
        measured = access(self.net, validation, self.transform)
        return {"authorized": measured.authorized, "unauthorized": measured.unauthorized}

    def weights(self):
        """The tensors of network and transform, by name."""
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        if self.transform is not None:
            tensors |= {f"transform.{name}": tensor for name, tensor in self.transform.state_dict().items()}
        return tensors

    # ---- the checkpoint: one safetensors file, with what is no tensor as JSON in its header

    def save(self, path):
        tensors = self.weights() | {f"best.{name}": tensor for name, tensor in self.history.best.items()}
        state = self.optimizer.state_dict()
        for number, slots in state["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in slots.items()}
        tensors |= {f"random.{name}": tensor for name, tensor in self.random_state().items()}
        header = {"settings": self.settings, "epochs": self.history.epochs,
                  "seconds": self.history.seconds, "training_seconds": self.history.training_seconds, "groups": state["param_groups"],
                  "schedule": self.schedule.state_dict(), "scaler": self.scaler.state_dict()}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished,
                  {"checkpoint": json.dumps(header)})
        os.replace(unfinished, path)  # a kill at any moment leaves the old checkpoint or the new one

    def resume(self, path):
        try:
            with safe_open(path, "pt", device=str(self.device)) as file:
                header = json.loads(file.metadata()["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except Exception as error:
            raise TrainingError(f"{path} is no checkpoint, or a damaged one ({error}). Remove it to start anew.") from error
        different = [f"{name} is {self.settings[name]}, was {value}" for name, value in header["settings"].items()
                     if self.settings.get(name) != value]
        if different:
            raise TrainingError(f"{path} is the checkpoint of another run: {'; '.join(different)}. "
                                "Remove it, or name another file.")
        self.net.load_state_dict(tensors_under("net.", tensors))
        if self.transform is not None:
            self.transform.load_state_dict(tensors_under("transform.", tensors))
        self.history.best = tensors_under("best.", tensors)
        slots, parameters = {}, [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for name, tensor in tensors_under("optimizer.", tensors).items():
            number, slot = name.split(".")
            like = parameters[int(number)]
            if tensor.shape == like.shape:  # channels-last again: a fused optimizer reads both in the order of memory
                tensor = torch.empty_like(like).copy_(tensor)
            slots.setdefault(int(number), {})[slot] = tensor
        self.optimizer.load_state_dict({"state": slots, "param_groups": header["groups"]})
        self.schedule.load_state_dict(header["schedule"])
        self.scaler.load_state_dict(header["scaler"])
        self.generator.set_state(tensors["random.generator"].cpu())
        torch.set_rng_state(tensors["random.torch"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"].cpu(), self.device)
        self.history.epochs, self.history.seconds = header["epochs"], header["seconds"]
        self.history.training_seconds = header.get("training_seconds", header["seconds"])  # older checkpoints

    def random_state(self):
        state = {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state
