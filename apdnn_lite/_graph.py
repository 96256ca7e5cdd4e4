"""A batch as one CUDA graph, attached to a training run: the loop does not know of it.

A small network's kernels take less time than their launches. A graph launches them all at once.
"""

import torch

from ._machine import training_mode


def attach_graph(run):
    """Let ``run.gradients`` replay a recorded graph for full batches, with the same results.

    Network, transform and loss must do the same for every batch and read no value on the host.
    """
    run.gradients = Replay(run)


class Replay:
    """What ``run.gradients`` does, as a graph that reads and writes the same memory each time."""

    def __init__(self, run):
        self.compute, self.size = run.gradients, run.settings.batch_size
        self.parameters = [each for group in run.optimizer.param_groups for each in group["params"]]
        self.inputs = [run.images[:1].expand(self.size, *run.images.shape[1:]).clone(),
                       run.labels[:1].expand(self.size).clone()]
        self.graph, self.outputs = self.record(run)
        self.gradients = [each.grad for each in self.parameters]

    def record(self, run):
        """The graph of one batch, and the loss terms it writes; the modules stay as they are."""
        modules = [module for module in (run.net, run.transform) if module is not None]
        before = [{name: tensor.clone() for name, tensor in module.state_dict().items()}
                  for module in modules]
        for module in modules:
            training_mode(module)
        aside = torch.cuda.Stream(run.device)
        aside.wait_stream(torch.cuda.current_stream(run.device))
        with torch.cuda.stream(aside):
            for _ in range(3):  # torch demands some passes for what is set up only once
                self.compute(*self.inputs)
        torch.cuda.current_stream(run.device).wait_stream(aside)
        run.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=aside):
            outputs = [term.detach() for term in self.compute(*self.inputs)]
        for module, state in zip(modules, before, strict=True):  # batch normalization counted
            module.load_state_dict(state)
        return graph, outputs

    def __call__(self, images, labels):
        """Loss terms of a batch, whose gradients lie in the parameters afterwards."""
        if len(labels) != self.size:  # the last batch of an epoch: no graph fits it
            return self.compute(images, labels)
        for tensor, new in zip(self.inputs, (images, labels), strict=True):
            tensor.copy_(new)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient  # the graph writes here, whatever was computed in between
        return self.outputs
