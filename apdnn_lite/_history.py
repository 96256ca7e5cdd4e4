"""What a training run leaves: its epochs in numbers, and the weights of the best one."""

from dataclasses import dataclass, field

from ._checkpoint import tensors_under

ACCURACIES = ("accuracy", "authorized", "unauthorized")


@dataclass
class History:
    """What happened in training.

    epochs: one dict per finished epoch, with the means of the loss terms over the training images
        and the accuracies on the validation split ("authorized" and "unauthorized", or "accuracy"
        for a plain network).
    seconds: spent in training and validation, the earlier parts of a resumed run included.
    training_seconds: the same without validation.
    images_per_second: training images per second of training; an image counts once, though the
        network sees it raw and processed.
    interrupted: whether training was stopped with Ctrl-C.
    best: the weights of the :attr:`selected` epoch, as tensors by name; :meth:`load_selected` takes
        them.
    """

    epochs: list = field(default_factory=list)
    seconds: float = 0.0
    training_seconds: float = 0.0
    images_per_second: float = 0.0
    interrupted: bool = False
    best: dict = field(default_factory=dict, repr=False)

    @property
    def selected(self):
        """The epoch, from 0, that was best on the validation split; of equals the first.

        Best by accuracy, or by authorized less unauthorized accuracy.
        Raises ValueError if no epoch is finished.
        """
        if not self.epochs:
            raise ValueError("no epoch is finished, so none can be selected: train at least one")
        scores = [row["accuracy"] if "accuracy" in row else row["authorized"] - row["unauthorized"]
                  for row in self.epochs]
        return scores.index(max(scores))

    def load_selected(self, net, transform=None):
        """Put the weights of the selected epoch into ``net`` and ``transform``.

        ``fit`` leaves those of the last. Raises ValueError if no epoch is finished.
        """
        if not self.best:
            raise ValueError("no epoch is finished, so none can be loaded: train at least one")
        net.load_state_dict(tensors_under("net.", self.best))
        if transform is not None:
            transform.load_state_dict(tensors_under("transform.", self.best))

    def __getitem__(self, name):
        """One column: ``history["authorized"]`` lists the value of each epoch."""
        return [row[name] for row in self.epochs]

    def __str__(self):
        if not self.epochs:
            return "no epoch finished"
        shown = ", ".join(f"{name} {value:.1%}" for name, value in self.epochs[-1].items()
                          if name in ACCURACIES)
        return f"{len(self.epochs)} epochs; on the validation split: {shown}"
