"""What a network runs on: device, precision, evaluation mode and memory layout.

Whatever is borrowed is given back: outside the ``with`` blocks of this module a network is as it was.
"""

import contextlib
import warnings

import torch

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# Devices that have read a tensor of the CPU when a copy without waiting returns. Apple's "mps" reads
# it later, when the tensor may be gone (pytorch/pytorch#189690).
COPIES_AT_ONCE = {"cuda"}


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
        here = ["cpu", *(kind for kind, module in (("cuda", torch.cuda), ("mps", torch.backends.mps))
                         if module.is_available())]
        raise ValueError(f"there is no device {device!r} here: expected 'auto' or one of "
                         f"{', '.join(here)}") from None
    return found


def device_of(module):
    """The device a module's tensors are on (the CPU for one that has none)."""
    tensors = (*module.parameters(), *module.buffers(), torch.empty(0, device="cpu"))
    return tensors[0].device


def send(tensor, device):
    """A copy of ``tensor`` on ``device``, without waiting for what that has yet to do, where this is safe."""
    return tensor.to(device, non_blocking=device.type in COPIES_AT_ONCE)


# ---- precision

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
            precision = "bfloat16" if device.type == "cpu" and cpu_gains_by_bfloat16() else "float32"
    return getattr(torch, precision)


def cpu_gains_by_bfloat16():
    """Whether this processor trains faster in bfloat16 than in float32.

    Decided by its name and instructions, not by a stopwatch, so that it is the same from run to run.
    Having the instructions is not enough: two threads of an Intel Xeon with AVX512-BF16 alone trained
    ResNet-20 at 317 images a second in bfloat16 and at 386 in float32; two of an AMD EPYC (Zen 5)
    trained about twice as fast in bfloat16. ``benchmarks/throughput.py`` measures both.
    """
    found = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot tell
    intel = "intel" in str(found.get("cpu_name", "")).lower()
    return bool(found.get("amx_bf16") or (found.get("avx512_bf16") and not intel))


# ---- mode

@contextlib.contextmanager
def evaluating(*modules):
    """Evaluation mode inside the ``with`` block; afterwards each part has the mode it had before."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


# ---- memory layout

def accepts_channels_last(net, images):
    """Whether a network takes images in the channels-last layout, which is the faster one.

    One that flattens with ``.view`` does not. The network is asked by a trial on two of the images,
    which leaves it as it was.
    """
    trial = images[:2].to(device_of(net)).contiguous(memory_format=torch.channels_last)
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    with evaluating(net), torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            net(trial)
        except RuntimeError:
            return False
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
    return True


@contextlib.contextmanager
def on_loan(*modules):
    """Modules (or None) may change device and layout inside the ``with`` block; they are given back."""
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
