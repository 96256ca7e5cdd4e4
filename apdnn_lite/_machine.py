"""What a network runs on: device, precision, mode and memory layout.

Whatever is borrowed is given back: outside the ``with`` blocks below a network is as it was.
"""

import contextlib
import threading

import torch

from ._checks import describe

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# Devices that have read a tensor of the CPU when a copy without waiting returns. Apple's "mps"
# reads it later, when the tensor may be gone (pytorch/pytorch#189690).
COPIES_AT_ONCE = {"cuda"}
# torch has one random state for a process: two trainings at once would draw from each other's.
ONE_AT_A_TIME = threading.RLock()


# ---- device

def pick_device(device="auto"):
    """A torch.device; "auto" is CUDA if there is one, else the CPU.

    Raises ValueError if there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.empty(0, device=found)  # says if it is not there
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        others = {"cuda": torch.cuda, "mps": torch.backends.mps}
        here = ["cpu", *(kind for kind, module in others.items() if module.is_available())]
        raise ValueError(f"there is no device {device!r} here: expected 'auto' or one of "
                         f"{', '.join(here)}") from None
    return found


def check_module(module, kind=torch.nn.Module):
    """Raises ValueError for what is no network and no transform, or not of this kind."""
    if not isinstance(module, kind):
        wanted = ("network or a transform, a torch.nn.Module" if kind is torch.nn.Module
                  else kind.__name__)
        raise ValueError(f"expected a {wanted}, got {describe(module)}")


def device_of(module):
    """The device a module's tensors are on (the CPU for one that has none)."""
    check_module(module)
    tensors = (*module.parameters(), *module.buffers(), torch.empty(0, device="cpu"))
    return tensors[0].device


def send(tensor, device):
    """A copy of ``tensor`` on ``device``, without waiting for that where this is safe."""
    return tensor.to(device, non_blocking=device.type in COPIES_AT_ONCE)


# ---- precision

def pick_precision(precision, device):
    """A torch.dtype for the arithmetic inside a network; "auto" is the fastest on ``device``."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: expected one of "
                         f"{', '.join(PRECISIONS)}")
    cuda = device.type == "cuda"
    if precision == "float16" and not cuda:
        raise ValueError(f'precision "float16" is for CUDA devices, and this one is {device.type}: '
                         'try "bfloat16", or "auto"')
    if precision == "auto" and cuda:
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if has_it else "float16"
    elif precision == "auto":
        gains = device.type == "cpu" and cpu_gains_by_bfloat16()
        precision = "bfloat16" if gains else "float32"
    return getattr(torch, precision)


def cpu_gains_by_bfloat16():
    """Whether this processor trains faster in bfloat16 than in float32.

    Decided by its name and instructions, not by a stopwatch, so that it is the same from run to
    run. Having the instructions is not enough. Measured with two threads, bfloat16 against float32:
    an AMD EPYC (Zen 5) trained about twice as fast, an Intel Xeon with AMX 1.7 to 2.2 times as
    fast; a Xeon with AVX512-BF16 alone reached 0.8 of the speed, and so did the other one with AMX
    masked out. ``benchmarks/throughput.py`` measures both.
    """
    found = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot tell
    intel = "intel" in str(found.get("cpu_name", "")).lower()
    return bool(found.get("amx_bf16") or (found.get("avx512_bf16") and not intel))


# ---- mode

@contextlib.contextmanager
def evaluating(*modules):
    """Evaluation mode inside the ``with`` block; then each part has its own mode again."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def training_mode(module):
    """Training mode, except for frozen parts: in evaluation mode, with nothing to train."""
    frozen = [part for part in module.modules() if not part.training
              and any(True for _ in part.parameters())
              and not any(parameter.requires_grad for parameter in part.parameters())]
    module.train()
    for part in frozen:
        part.eval()


# ---- memory layout

def try_network(net, images):
    """The memory layout that a network takes, and its logits of a few images (N, C, H, W) in it.

    Channels-last is the faster one, but a network that flattens with ``.view`` does not take it.
    It is asked by a trial in evaluation mode, which leaves it as it was, random state included.
    Raises ValueError if it takes the images in no layout, or gives no logits (N, num_classes).
    """
    images = images.detach().to(device_of(net))
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    logits, reason = None, None
    asked = torch.random.fork_rng(devices=cuda_devices(images.device))
    with evaluating(net), torch.no_grad(), asked, on_loan(net):
        for layout in (torch.channels_last, torch.contiguous_format):
            try:
                net.to(memory_format=layout)  # what it gives depends on its weights' layout, too
                logits = net(images.contiguous(memory_format=layout).clone())  # it may write there
                break
            except (RuntimeError, IndexError, TypeError) as error:
                reason = error
            finally:
                for name, buffer in net.named_buffers():
                    buffer.copy_(before[name])
    if reason is not None and logits is None:
        dtypes = {str(parameter.dtype) for parameter in net.parameters()} - {str(images.dtype)}
        hint = f" Its parameters are {', '.join(sorted(dtypes))}: try net.float()."
        raise ValueError(f"the network does not take images of shape {tuple(images.shape)} and "
                         f"type {images.dtype}: {reason}.{hint if dtypes else ''}") from reason
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(images):
        raise ValueError(f"expected a network that returns logits, a tensor (N, num_classes); for "
                         f"{len(images)} images it returned {describe(logits)}")
    return layout, logits


def cuda_devices(device):
    """The devices, other than the CPU, whose random state work on ``device`` changes."""
    return [device] if device.type == "cuda" else []


@contextlib.contextmanager
def on_loan(*modules):
    """Modules (or None) may change device and layout inside; both are given back."""
    modules = [module for module in modules if module is not None]
    before = [(device_of(module), layouts(module)) for module in modules]
    try:
        yield
    finally:
        for module, (device, formats) in zip(modules, before, strict=True):
            module.to(device)
            for name, tensor in tensors_of(module):
                for each in (tensor, tensor.grad):
                    if each is not None and name in formats:
                        each.data = each.data.contiguous(memory_format=formats[name])


def tensors_of(module):
    """Names and tensors of a module's parameters and buffers, each tensor once."""
    return [*module.named_parameters(), *module.named_buffers()]


def layouts(module):
    """The memory layout of each tensor of a module that has one to choose, by its name."""
    return {name: torch.contiguous_format if tensor.is_contiguous() else torch.channels_last
            for name, tensor in tensors_of(module) if tensor.dim() == 4}


@contextlib.contextmanager
def at_work(*modules, device):
    """Training inside the ``with`` block, wherever it is called; what it borrows is given back.

    Gradients are on, the caller's random state is put aside, and the modules are :func:`on_loan`.
    """
    with (ONE_AT_A_TIME, torch.inference_mode(False), torch.enable_grad(),
          torch.random.fork_rng(devices=cuda_devices(device)), on_loan(*modules)):
        yield


def all_finite(tensors):
    """1.0 if every number in a dict of tensors is finite, else 0.0; a tensor (1,)."""
    checks = [tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point()]
    return torch.stack(checks).all().float()[None]
