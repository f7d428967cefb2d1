"""A lowered graph: straight-line steps over numbered values, run eagerly or traced into a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from deltann_tensorflow.table import Fn


@dataclass(frozen=True)
class Slot:
    """A value that the program's inputs or an earlier step gives."""

    index: int


@dataclass(frozen=True)
class Weight:
    """A constant of the program."""

    index: int


@dataclass(frozen=True)
class Literal:
    """A plain Python value."""

    value: Any


Argument = Slot | Weight | Literal | list[Any]  # a list of arguments stands for a sequence


@dataclass(frozen=True)
class Step:
    """One call, for the operator `name`. `late` are the arguments to be read as Python values while running.

    `python`: the outputs' `tf.TensorSpec`s where a graph has to leave the call to Python, which can read those values;
    None where the callable takes tensors in their place. `ended` are the slots that no later step reads.
    """

    name: str
    fn: Fn
    arguments: tuple[Argument, ...]
    outputs: tuple[int | None, ...]
    late: tuple[int, ...] = ()
    python: tuple[Any, ...] | None = None
    ended: tuple[int, ...] = ()

    def call(self, arguments: list[Any]) -> Any:
        """The results, a tuple where there are several."""
        if not self.late or (self.python is None and not tf.executing_eagerly()):
            return self.fn(*arguments)
        if self.python is None or tf.executing_eagerly():
            return self.fn(*self._read(arguments))
        present = [i for i, argument in enumerate(arguments) if tf.is_tensor(argument)]

        def eagerly(*values: Any) -> list[Any]:
            given = dict(zip(present, values, strict=True))
            return many(self.fn(*self._read([given.get(i, argument) for i, argument in enumerate(arguments)])))

        results = tf.py_function(eagerly, [arguments[i] for i in present], [spec.dtype for spec in self.python])
        return tuple(tf.ensure_shape(result, spec.shape) for result, spec in zip(results, self.python, strict=True))

    def _read(self, arguments: list[Any]) -> list[Any]:
        return [literal(a) if i in self.late and a is not None else a for i, a in enumerate(arguments)]


@dataclass(frozen=True, eq=False)  # tf.function hashes what it wraps
class Program:
    """Callable with the graph's inputs in order, in ONNX's layout; returns its outputs as a tuple.

    `specs` are those of the outputs: `tf.TensorSpec`s, a list of them for a sequence, None for an empty optional.
    `constants` are eager tensors. In a graph each becomes a node of it, so that TensorFlow folds and packs it, unless
    `embed` is false: a graph cannot hold 2 GB.
    """

    constants: tuple[Any, ...]
    steps: tuple[Step, ...]
    inputs: int
    outputs: tuple[Argument, ...]
    slots: int
    specs: tuple[Any, ...]
    embed: bool = True

    @property
    def in_python(self) -> tuple[Step, ...]:
        """The steps that a graph leaves to Python."""
        return tuple(step for step in self.steps if step.python is not None)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        if len(inputs) != self.inputs:
            raise ValueError(f"the program takes {self.inputs} inputs, not {len(inputs)}")
        slots: list[Any] = [*inputs, *[None] * (self.slots - self.inputs)]
        nodes: dict[int, Any] = {}
        eager = tf.executing_eagerly() or not self.embed

        def value(argument: Argument) -> Any:
            match argument:
                case Slot(index):
                    return slots[index]
                case Weight(index):
                    if eager:
                        return self.constants[index]
                    if index not in nodes:
                        constant = self.constants[index]
                        nodes[index] = tf.constant(constant.numpy(), constant.dtype)
                    return nodes[index]
                case Literal(plain):
                    return plain
            return [value(item) for item in argument]

        for step in self.steps:
            results = many(step.call([value(argument) for argument in step.arguments]))
            for output, result in zip(step.outputs, results, strict=False):
                if output is not None:
                    slots[output] = result
            for index in step.ended:
                slots[index] = None
        return tuple(value(argument) for argument in self.outputs)


def freed(steps: Sequence[Step], outputs: Sequence[Argument]) -> tuple[Step, ...]:
    """The same steps, each with the slots that may be dropped after it."""
    kept = set(_slots(outputs))
    result: list[Step] = []
    for step in reversed(steps):
        used = {*_slots(step.arguments), *(output for output in step.outputs if output is not None)}
        ended = tuple(sorted(used - kept))
        kept |= used
        result.append(replace(step, ended=ended))
    return tuple(reversed(result))


def _slots(arguments: Sequence[Argument]) -> list[int]:
    found = []
    for argument in arguments:
        if isinstance(argument, Slot):
            found.append(argument.index)
        elif isinstance(argument, list):
            found.extend(_slots(argument))
    return found


def many(result: Any) -> list[Any]:
    """The results of a callable as a list."""
    return list(result) if isinstance(result, tuple) else [result]


def literal(tensor: Any) -> Any:
    """An eager tensor as Python numbers in lists."""
    return tensor.numpy().tolist()
