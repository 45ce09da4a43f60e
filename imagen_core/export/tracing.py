"""From a module to a checked ONNX graph with float16 weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..types import UserError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Loggers that speak of the exporter's own parts; where anybody listens, torch.__trace takes longer than the export.
REMARKS = ("torch.onnx", "torch.__trace", "onnxscript")
# Arrays below this stay float32: halving them saves nothing.
FEW = 256
# Free sizes that share a name are equal in all inputs.
MOST = {"b": 64, "n": 512, "h": 4096, "w": 4096}

Inputs = Mapping[str, Tensor | list[Tensor]]


@dataclass(frozen=True)
class Traced:
    """A module to export, and what it is called with.

    ``forward`` takes the inputs in this order, all of them tensors or lists of tensors; it returns a tuple in the order
    of ``outputs``. ``free`` names the sizes of an input that may change, by axis. ``other`` are inputs of other sizes,
    for the check. An error up to ``allowed``, relative to the largest value of an output, is accepted.
    """

    module: nn.Module
    inputs: Inputs
    free: Mapping[str, Mapping[int, str]]
    outputs: Sequence[str]
    other: Inputs
    allowed: float = 1e-4
    exact: bool = True


def check_packages() -> None:
    """Refuse to begin without the packages of requirements-web.txt.

    Raises:
        UserError: one is missing.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"export: {missing[0]} is missing; pip install -r requirements-web.txt (Python 3.11 or newer)")


def graph(traced: Traced) -> tuple[bytes, float]:
    """The module as an ONNX file, and its largest error against torch, relative to the largest value of an output.

    The error is that of the file as it is stored, at the inputs it was traced with and at the ``other`` ones.

    Raises:
        UserError: the error is above what is allowed.
    """
    data = _halved(_trace(traced), exact=traced.exact)
    error = max(_error(data, traced.module, inputs) for inputs in (traced.inputs, traced.other))
    if not error <= traced.allowed:
        name = type(traced.module).__name__.lower()
        raise UserError(
            f"export: the graph of {name} is off by {error:.1g} of its range, {traced.allowed:g} is allowed"
        )
    return data, error


@torch.no_grad()
def _trace(traced: Traced) -> Any:
    from torch.export import Dim, export

    dims = {name: Dim(name, min=1, max=most) for name, most in MOST.items()}
    free = {name: {axis: dims[size] for axis, size in axes.items()} for name, axes in traced.free.items()}
    shapes = {
        name: [free.get(name)] * len(value) if isinstance(value, list) else free.get(name)
        for name, value in traced.inputs.items()
    }
    with _quiet(), _plain_layers():
        # Without strict, torch takes the batch that it was traced with for the only one.
        program = export(traced.module, (), dict(traced.inputs), dynamic_shapes=shapes, strict=True)
        names = list(flat(traced.inputs))
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=names, output_names=list(traced.outputs)
        )
    assert made is not None
    return made.model_proto


def flat(inputs: Inputs) -> dict[str, Tensor]:
    """The tensors by name; those of a list are numbered."""
    named: dict[str, Tensor] = {}
    for name, value in inputs.items():
        named |= {f"{name}_{i}": x for i, x in enumerate(value)} if isinstance(value, list) else {name: value}
    return named


def _halved(model: Any, *, exact: bool) -> bytes:
    """The file with its large float32 arrays as float16, cast back when it is opened.

    With ``exact`` only those that float16 holds without a loss. Notes on where a node comes from are left out.
    """
    import onnx
    from onnx import numpy_helper

    arrays, casts = [], []
    for array in model.graph.initializer:
        values = numpy_helper.to_array(array)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        fits = np.array_equal(halves.astype(np.float32), values) if exact else bool(np.isfinite(halves).all())
        if values.dtype != np.float32 or values.size < FEW or not fits:
            arrays.append(array)
            continue
        arrays.append(numpy_helper.from_array(halves, f"{array.name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{array.name}.half"], [array.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
    made = onnx.helper.make_graph(nodes, "graph", model.graph.input, model.graph.output, arrays)
    for value in (*made.input, *made.output):
        del value.metadata_props[:]
    whole = onnx.helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(whole)
    data: bytes = whole.SerializeToString()
    return data


@torch.no_grad()
def _error(data: bytes, module: nn.Module, inputs: Inputs) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in flat(inputs).items()}
    found = session.run(None, {own.name: given[own.name] for own in session.get_inputs()})
    with _plain_layers():
        expected = module(**inputs)
    errors = [0.0]
    for array, tensor in zip(found, expected, strict=True):
        wanted = tensor.numpy().astype(np.float64)
        if array.shape != wanted.shape:
            return float("inf")
        difference = np.abs(array.astype(np.float64) - wanted).max(initial=0.0)
        errors.append(float(difference / max(1.0, np.abs(wanted).max(initial=0.0))))
    return max(errors)


@contextmanager
def _plain_layers() -> Iterator[None]:
    """torch's fused transformer layers, which no graph can hold, switched off."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about its own parts."""
    logs = [logging.getLogger(name) for name in REMARKS]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, before):
            log.setLevel(level)
