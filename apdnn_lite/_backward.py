"""The backward pass of an exported network, as ONNX nodes.

A program that runs ONNX files has no autograd. But the chain rule makes of each node of a
network one or two nodes of the same kind, so the gradient is a plain computation, too. It
uses the weights that the file already holds: what has to be added is small, and can be
stored by itself.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference


class Backward:
    """The nodes that carry a gradient back through a model, from its end to its start.

    A method such as ``_of_Relu`` takes what a node of this kind reads and returns, and the
    gradient in what it returns. It gives the gradients in what it reads: {name: name}.
    """

    def __init__(self, model):
        graph = shape_inference.infer_shapes(model).graph
        self.constants = {each.name: numpy_helper.to_array(each)
                          for each in graph.initializer}
        self.shapes = {each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
                       for each in (*graph.input, *graph.value_info, *graph.output)}
        self.nodes, self.initializers = [], []

    def add(self, kind, *inputs, **options):
        """Add a node; returns the name of its output. What is no name becomes a constant."""
        output, names = f"backward_{len(self.nodes)}", []
        for place, each in enumerate(inputs):
            if not isinstance(each, str):
                array, each = np.asarray(each), f"{output}_{place}"
                self.initializers.append(numpy_helper.from_array(array, each))
            names.append(each)
        self.nodes.append(helper.make_node(kind, names, [output], **options))
        return output

    def of(self, node, gradient):
        """The gradients in the inputs of a node; raises ValueError if none is known."""
        rule = getattr(self, f"_of_{node.op_type}", None)
        options = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        found = rule and rule(list(node.input), node.output[0], gradient, options)
        if not found:
            raise ValueError(f"the backward pass of the node {node.op_type} with the inputs "
                             f"{', '.join(node.input)} is not known: expected a network of "
                             "plain convolutions, ReLUs, sums, a mean and a linear layer")
        return found

    def _of_Gemm(self, inputs, output, gradient, options):
        if options.get("transB") and options.get("alpha", 1) == 1:
            return {inputs[0]: self.add("MatMul", gradient, inputs[1])}

    def _of_ReduceMean(self, inputs, output, gradient, options):
        if options.get("keepdims", 1) or sorted(self.constants[inputs[1]]) != [2, 3]:
            return None
        size = np.array([1, 1, *self.shapes[inputs[0]][2:]])
        share = self.add("Div", gradient, np.float32(size.prod()))
        return {inputs[0]: self.add("Expand", self.add("Unsqueeze", share, inputs[1]), size)}

    def _of_Relu(self, inputs, output, gradient, options):
        zero = np.float32(0)
        return {inputs[0]: self.add("Where", self.add("Greater", output, zero), gradient, zero)}

    def _of_Add(self, inputs, output, gradient, options):
        if all(self.shapes.get(each) == self.shapes[output] for each in inputs):
            return dict.fromkeys(inputs, gradient)

    def _of_Sub(self, inputs, output, gradient, options):
        if self.constants[inputs[1]].size == 1:
            return {inputs[0]: gradient}

    def _of_Div(self, inputs, output, gradient, options):
        if self.constants[inputs[1]].size == 1:
            return {inputs[0]: self.add("Div", gradient, inputs[1])}

    def _of_Conv(self, inputs, output, gradient, options):
        """A transposed convolution. Without a stride, a convolution is faster, reversed."""
        size, pads, strides = (options[name] for name in ("kernel_shape", "pads", "strides"))
        if options["group"] != 1 or set(options["dilations"]) != {1}:
            return None
        if set(strides) == {1}:
            kernel = self.add("Transpose", inputs[1], perm=[1, 0, 2, 3])
            kernel = self.add("Slice", kernel, [-1, -1], [-size[0] - 1, -size[1] - 1],
                              [2, 3], [-1, -1])
            rest = [length - 1 - pad for length, pad in zip(2 * size, pads, strict=True)]
            return {inputs[0]: self.add("Conv", gradient, kernel, pads=rest)}
        before, after = self.shapes[inputs[0]][2:], self.shapes[output][2:]
        missing = [before[i] + pads[i] + pads[i + 2] - (after[i] - 1) * strides[i] - size[i]
                   for i in range(2)]  # pixels at the edge that no kernel reached
        return {inputs[0]: self.add("ConvTranspose", gradient, inputs[1], strides=strides,
                                    pads=pads, output_padding=missing)}

    def _of_Pad(self, inputs, output, gradient, options):
        shape, pads = np.array(self.shapes[inputs[0]]), self.constants[inputs[1]]
        first = pads[:len(shape)]
        if first[0] == pads[len(shape)] == 0:
            axes = np.arange(1, len(shape))
            return {inputs[0]: self.add("Slice", gradient, first[1:], (first + shape)[1:],
                                        axes)}

    def _of_Slice(self, inputs, output, gradient, options):
        """Pixels that were taken get their gradient, those between them get zero."""
        starts, ends, axes, steps = (self.constants[each] for each in inputs[1:])
        shape, axis, step = list(self.shapes[inputs[0]]), axes[0], steps[0]
        if len(axes) > 1 or axis < 1 or starts[0] or step < 1 or ends[0] < shape[axis]:
            return None
        pads = np.zeros((2, len(shape) + 1), np.int64)
        pads[1, axis + 1] = step - 1
        wide = self.add("Pad", self.add("Unsqueeze", gradient, [axis + 1]), pads.flatten())
        whole = [0, *shape[1:]]  # 0: as many images as there are
        whole[axis] = step * self.shapes[output][axis]
        wide = self.add("Reshape", wide, whole)
        return {inputs[0]: self.add("Slice", wide, [0], [shape[axis]], axes)}


def inside(model, layers=()):
    """What an exported file lacks to show its inside: a fragment that completes it.

    model: the ONNX model of a file that :func:`~apdnn_lite.export.to_onnx` wrote.
    layers: names of values in it that shall be outputs, too.

    The fragment adds an input and an output. ``slope`` (n, num_classes) is the gradient of
    some function in the logits, and ``gradient`` (n, C, H, W) the gradient of the same
    function in the pixels that enter the network. ``model.MergeFrom(fragment)`` puts the
    two together; so does a file with the bytes of the model and, after them, those of the
    fragment.

    Raises ValueError if the network has a node whose backward pass is not known.
    """
    back, gradients = Backward(model), {"logits": "slope"}
    for node in reversed(model.graph.node):
        if node.output[0] == "processed":
            break  # before it comes the owner's transform
        if node.output[0] in gradients:
            for name, new in back.of(node, gradients[node.output[0]]).items():
                old = gradients.get(name)
                gradients[name] = new if old is None else back.add("Sum", old, new)
    back.nodes.append(helper.make_node("Identity", [gradients["processed"]], ["gradient"]))

    def batch(name, like):
        shape = ["n", *back.shapes[like][1:]]
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    outputs = [batch("gradient", "images"), *(batch(each, each) for each in layers)]
    return onnx.ModelProto(graph=onnx.GraphProto(
        node=back.nodes, initializer=back.initializers, input=[batch("slope", "logits")],
        output=outputs))
