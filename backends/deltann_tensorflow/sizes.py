"""Sizes of a tensor whose shape may be known in part only."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def sizes(x: Any) -> list[Any]:
    """Each axis' size: a number where it is known while tracing, else a scalar tensor. The rank must be known."""
    shape = tf.shape(x)
    return [shape[i] if size is None else size for i, size in enumerate(x.shape.as_list())]


def static(x: Any) -> list[int] | None:
    """The shape as numbers, or None where a part of it is unknown."""
    return x.shape.as_list() if x.shape.is_fully_defined() else None
