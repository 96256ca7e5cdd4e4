"""What a module of ours is made of: its settings travel with its state, and its seed draws it."""

import contextlib

import numpy as np
import torch


@contextlib.contextmanager
def drawn_by(seed):
    """PyTorch draws by a checked seed inside the ``with`` block, on the CPU and in float32.

    The caller's defaults and randomness stay as they are; torch.manual_seed would start a graphics
    card's anew.
    """
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    usual = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(int(sequence.generate_state(1)[0]))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)


def not_bipolar(key, sigma):
    """What contradicts that ``key`` holds −σ, 0 and σ, as a text; empty if nothing does."""
    size, sigma = key.detach().float().abs(), float(sigma)
    rounding = 2 ** -8 * sigma  # of a key that was kept in half precision
    if key.is_meta or ((size == 0) | ((size - sigma).abs() <= rounding)).all():
        return ""
    return f"its key has values up to {size.max().item():g} and not −σ, 0 and σ with σ = {sigma:g}"


class KnowsItsState(torch.nn.Module):
    """A module whose output depends on its ``settings()``, not on the tensors of its state alone.

    The settings travel beside the tensors, as PyTorch's version numbers do, and a state of other
    settings is refused: ``load_state_dict`` raises RuntimeError and loads nothing of it. The names
    in a state stay those of the tensors. Where bare tensors come back from a file, nothing is known
    of their settings, but ``_misfit`` looks at them.
    """

    STARTS = ("seed",)  # the settings that matter only until a state is loaded

    def _misfit(self, tensors):
        """What in a state, tensors by name, contradicts the settings; an empty text if nothing."""
        return ""

    def extra_repr(self):
        settings = self.settings().items()
        return ", ".join(f"{name}={value!r}" for name, value in settings if name != "kind")

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        getattr(destination, "_metadata", {}).setdefault(prefix[:-1], {})["made"] = self.settings()

    def _load_from_state_dict(self, state, prefix, beside, *more):
        mine, other = self.settings(), beside.get("made", {})
        differ = [f"{name}={other[name]!r}, not {mine.get(name)!r}" for name in other
                  if name not in self.STARTS and other[name] != mine.get(name)]
        problem = f"it was made with {'; '.join(differ)}" if differ else self._misfit(
            {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)})
        if problem:
            *_, errors = more  # PyTorch raises them in the end
            errors.append(f"the state is of another {type(self).__name__}: {problem}")
            state.update({prefix + name: own for name, own in self.state_dict().items()})  # stays
        super()._load_from_state_dict(state, prefix, beside, *more)
