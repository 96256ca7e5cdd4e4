"""Train a network, plainly or together with the owner's transform.

``fit`` takes a training and a validation split and never sees the test split. A batch
of raw images and the same batch processed go through the network as one concatenated
batch: batch normalization then sees the same mixture throughout, and one large pass is
faster than two small ones.
"""

import math
import time
from functools import partial

import torch
from torch.nn import functional as F

from . import _machine
from ._checkpoint import Checkpoint, TrainingError, usable, way_on
from ._graph import attach_graph
from ._history import History
from ._settings import checked, made_of, must, setting
from ._task import check_task, progress_bar
from .evaluate import access, accuracy
from .losses import AntiPiracyLoss

# Adam with decoupled weight decay (Loshchilov and Hutter, 2019), and plain SGD. The
# one-cycle schedule moves the momentum of both from 0.95 to 0.85 and back.
OPTIMIZERS = {"adam": partial(torch.optim.AdamW, fused=True),
              "sgd": partial(torch.optim.SGD, momentum=0.95, nesterov=True)}


@checked
class Settings:
    """How a network is trained; all of it is our choice, for the source prints none."""

    epochs: int = setting(8, "passes over the training images", must.be_whole)
    batch_size: int = setting(128, "images of one step", must.be_whole)
    lr: float = setting(
        2e-3, "the peak of a one-cycle schedule (Smith and Topin, 2018)",
        must.be_positive)
    transform_lr: float | None = setting(
        None, "the peak for the transform, None for lr: a network's usual 0.1 is too "
        "much for a generator, whose biases move every pixel",
        must.be_none_or(must.be_positive))
    transform_max_norm: float | None = setting(
        None, "longer gradients of the transform are shortened to it (Pascanu et al., "
        "2013): one batch can throw a generator far off",
        must.be_none_or(must.be_positive))
    optimizer: str = setting(
        "adam", "adam, or sgd with Nesterov's momentum", must.be_one_of(*OPTIMIZERS))
    weight_decay: float = setting(
        0.0, "of the network alone: on a transform it would be a hidden γ",
        must.not_be_negative)
    augment: object = setting(
        None, "a function of raw images and a generator, such as Augment()",
        must.be_none_or(must.be_a_function))
    precision: str = setting(
        "auto", "of the arithmetic inside the network: float32, bfloat16, float16 (on "
        "CUDA), or auto, the fastest here; all that is measured is float32",
        must.be_one_of(*_machine.PRECISIONS))
    cuda_graph: bool = setting(
        False, "launch a batch on a CUDA device at once, as one graph: launching the "
        "kernels of a small network takes longer than computing them", must.be_bool)
    seed: int = setting(0, "of the order of the images, augmentation and dropout",
                        must.be_a_seed_of_torch)


def fit(net, train, validation, *, transform=None, loss=None, device="auto",
        checkpoint=None, progress=True, **settings):
    """Train ``net`` in place, return its :class:`History`, and leave it ready for use.

    net: any module from pixels (N, C, H, W) to logits (N, num_classes). Afterwards it
        is in evaluation mode, on the device and in the memory layout it had before.
        Parts that are frozen (no parameter requires a gradient) and in evaluation mode
        stay so: their batch normalization does not move.
    train, validation: splits; there is no parameter for the test split.
    transform: the owner's; its parameters, if it has any, are trained too. Without one
        the network is trained plainly, with cross-entropy.
    loss: an :class:`~apdnn_lite.losses.AntiPiracyLoss`, for training with a transform.
    device: "auto" takes a CUDA device if there is one.
    checkpoint: a file, written after each epoch. If it is there already, training goes
        on from it, and ends on a CPU with the same weights as without the stop.
    settings: those of :class:`Settings`, such as ``epochs=8`` or ``lr=0.1``.

    Ctrl-C stops training and keeps what was learned. Raises ValueError for what cannot
    be trained, before anything changes; TrainingError if the numbers are no longer
    finite, or the checkpoint is damaged or another run's.
    """
    settings, device = made_of(Settings, settings), _machine.pick_device(device)
    if loss is not None and transform is None:
        raise ValueError("a loss needs a transform: plain networks take cross-entropy")
    path = usable(checkpoint)
    with _machine.at_work(net, transform, device=device):
        layout = check_task(net, train, validation, transform)
        loss = AntiPiracyLoss() if loss is None else loss
        run = Run(net, train, transform, loss, settings, device, layout)
        if settings.cuda_graph and device.type == "cuda":
            attach_graph(run)
        torch.manual_seed(settings.seed)
        saved = Checkpoint(path, run, validation) if path is not None else None
        if saved is not None and path.exists():
            saved.resume()
        return run.train(validation.to(device), saved, progress)


class Run:
    """One training run: what ``fit`` sets up, and the loop."""

    def __init__(self, net, train, transform, loss, settings, device,
                 layout=torch.channels_last):
        self.net = net.to(device, memory_format=layout)
        self.transform = None if transform is None else transform.to(device)
        self.loss, self.settings = loss, settings
        self.device, self.layout = device, layout
        self.images = train.images.to(device)  # the whole split stays on the device
        self.labels = train.labels.to(device)
        self.precision = _machine.pick_precision(settings.precision, device)
        groups = [{"params": list(net.parameters()), "lr": settings.lr,
                   "weight_decay": settings.weight_decay}]
        if transform is not None and list(transform.parameters()):
            groups.append({"params": list(transform.parameters()), "weight_decay": 0.0,
                           "lr": settings.transform_lr or settings.lr})
        self.optimizer = OPTIMIZERS[settings.optimizer](groups, settings.lr)
        steps = settings.epochs * len(batches(self.labels, settings.batch_size))
        # A cycle of one step would be its end, where the rate is next to nothing.
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [group["lr"] for group in groups], max(2, steps))
        # float16 needs the loss scaled up; bfloat16 has float32's range and does not.
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=self.precision == torch.float16)
        self.generator = torch.Generator("cpu").manual_seed(settings.seed)
        self.history = History()

    def train(self, validation, saved, progress):
        """The epochs that are left, each with validation; returns the history."""
        history, epochs = self.history, self.settings.epochs
        per_epoch = len(batches(self.labels, self.settings.batch_size))
        bar = progress_bar(epochs, per_epoch, len(history.epochs), shown=progress)
        try:
            for epoch in range(len(history.epochs), epochs):
                bar.set_description(f"epoch {epoch + 1}/{epochs}", refresh=False)
                began = time.perf_counter()
                row = self.one_epoch(bar)
                history.training_seconds += time.perf_counter() - began
                history.epochs.append(row | self.validate(validation))
                if history.selected == epoch:
                    history.best = {name: tensor.clone()
                                    for name, tensor in self.weights().items()}
                history.seconds += time.perf_counter() - began
                if saved is not None:
                    saved.save()
        except KeyboardInterrupt:
            history.interrupted = True
            print(f"\nStopped in epoch {len(history.epochs) + 1} of {epochs}. "
                  f"The network keeps what it has learned.{way_on(saved)}")
        finally:
            bar.close()
            self.net.eval()
            if self.transform is not None:
                self.transform.eval()
        if history.epochs:
            images = len(history.epochs) * len(self.labels)
            history.images_per_second = images / history.training_seconds
        return history

    def one_epoch(self, bar):
        """Every training image once, in a new order; the means of the loss terms."""
        for module in (self.net, self.transform):
            if module is not None:
                _machine.training_mode(module)
        order = torch.randperm(len(self.labels), generator=self.generator, device="cpu")
        sums = 0.0
        for index in batches(order.to(self.device), self.settings.batch_size):
            images, labels = self.images[index], self.labels[index]
            if self.settings.augment is not None:  # before the transform: a key stays
                images = self.settings.augment(images, self.generator)
            terms = self.step(images, labels)
            sums = sums + torch.stack(tuple(terms)).detach() * len(index)
            bar.update()
        # The only numbers that the host waits for, once an epoch.
        finite = _machine.all_finite(self.weights())
        means = torch.cat([sums / len(order), finite]).tolist()
        if not means.pop() or not all(map(math.isfinite, means)):
            raise TrainingError(
                "the loss or the network is not finite any more (epoch "
                f"{len(self.history.epochs) + 1}): lower the learning rate, or check "
                "that the transform gives finite pixels.")
        return dict(zip(("loss", "E_p", "E_r", "size"), means, strict=False))

    def step(self, images, labels):
        """One step of the optimizer; returns the loss, or its four terms."""
        terms = self.gradients(images, labels)
        if self.transform is not None and self.settings.transform_max_norm is not None:
            self.scaler.unscale_(self.optimizer)  # gradients of their true size
            torch.nn.utils.clip_grad_norm_(self.transform.parameters(),
                                           self.settings.transform_max_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return terms

    def gradients(self, images, labels):
        """One forward and backward pass; returns the loss, or its four terms."""
        self.optimizer.zero_grad()
        if self.transform is None:
            terms = (F.cross_entropy(self.logits(images), labels),)
        else:
            processed = self.transform(images)
            logits = self.logits(torch.cat([processed, images]))
            terms = self.loss(*logits.chunk(2), labels, processed - images)
        self.scaler.scale(terms[0]).backward()
        return terms

    def logits(self, images):
        """The network's logits in float32, whatever the precision inside it."""
        images = images.contiguous(memory_format=self.layout)
        if self.precision == torch.float32:
            return self.net(images)
        with torch.autocast(self.device.type, self.precision):
            return self.net(images).float()

    def validate(self, validation):
        """The accuracies on the validation split."""
        try:
            if self.transform is None:
                return {"accuracy": accuracy(self.net, validation)}
            found = access(self.net, validation, self.transform)
        except ValueError as error:  # numbers that are finite, and answers that are not
            epoch = len(self.history.epochs) + 1
            raise TrainingError(f"after epoch {epoch}: {error}") from error
        return {"authorized": found.authorized, "unauthorized": found.unauthorized}

    def weights(self):
        """The tensors of network and transform, by name."""
        tensors = {f"net.{name}": t for name, t in self.net.state_dict().items()}
        if self.transform is not None:
            tensors |= {f"transform.{name}": t
                        for name, t in self.transform.state_dict().items()}
        return tensors


def batches(order, size):
    """Parts of ``order``; a last one of a single image joins the part before it.

    Batch normalization cannot normalize one image by itself.
    """
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
