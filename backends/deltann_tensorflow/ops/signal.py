"""Fourier transforms and mel filters. A complex number is a last axis of size two."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann.lowering.mel import mel_weights
from deltann.lowering.shapes import axis_of
from deltann_tensorflow.call import Call
from deltann_tensorflow.ops.indexing import number
from deltann_tensorflow.table import Fn, op


def _computed(dtype: Any) -> Any:
    """The real type in which TensorFlow transforms values of `dtype`: it has no transforms of 16 bits."""
    return dtype if dtype in (tf.float32, tf.float64) else tf.float32


def _real(x: Any) -> Any:
    return tf.cast(x[..., 0], _computed(x.dtype))


def _complex(x: Any) -> Any:
    imaginary = _computed(x.dtype)
    return tf.complex(_real(x), tf.cast(x[..., 1], imaginary) if x.shape[-1] == 2 else tf.zeros_like(_real(x)))


def _pair(x: Any, dtype: Any) -> Any:
    return tf.cast(tf.stack([tf.math.real(x), tf.math.imag(x)], -1), dtype)


def _fitted(call: Call, x: Any, length: int | None) -> Any:
    """The last axis cut to `length`, or filled up with zeros."""
    size = x.shape[-1]
    if size is None:
        raise call.unsupported("a signal whose length only the data tells")
    if length is None or length == size:
        return x
    if length < size:
        return x[..., :length]
    return tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, length - size]])


def _dft(call: Call, x: Any, length: int | None, axis: int) -> Any:
    inverse, onesided = bool(call.get("inverse")), bool(call.get("onesided"))
    rank = x.shape.rank
    # TensorFlow transforms the last axis: here the last but that of the parts of a complex number.
    order = list(range(rank))
    at = axis_of(axis, rank)
    order[at], order[-2] = order[-2], order[at]
    turned = tf.transpose(x, order)
    if onesided and inverse:
        size = turned.shape[-2]
        if length is None and size is None:
            raise call.unsupported("a signal whose length only the data tells")
        samples = 2 * (size - 1) if length is None else length
        spectrum = _fitted(call, _complex(turned), samples // 2 + 1)
        y = tf.cast(tf.signal.irfft(spectrum, [samples])[..., None], x.dtype)
    elif turned.shape[-1] == 1 and not inverse:
        signal = _fitted(call, _real(turned), length)
        half = tf.signal.rfft(signal)
        # The spectrum of real numbers is its own mirror image.
        mirrored = tf.math.conj(half[..., (signal.shape[-1] - 1) // 2 : 0 : -1])
        y = _pair(half if onesided else tf.concat([half, mirrored], -1), x.dtype)
    else:
        transform = tf.signal.ifft if inverse else tf.signal.fft
        y = _pair(transform(_fitted(call, _complex(turned), length)), x.dtype)
    return tf.transpose(y, order)


@op("DFT", 17, host=(1,))
def _dft_attribute(call: Call) -> Fn:
    axis = call.get("axis", 1)
    return lambda x, length=None: _dft(call, x, number(length), axis)


@op("DFT", 20, host=(1, 2))
def _dft_input(call: Call) -> Fn:
    return lambda x, length=None, axis=None: _dft(call, x, number(length), -2 if axis is None else number(axis))


@op("STFT", host=(1, 3))
def _stft(call: Call) -> Fn:
    onesided = bool(call.get("onesided", 1))

    def run(x: Any, step: Any, frame_window: Any = None, length: Any = None) -> Any:
        size = frame_window.shape[0] if length is None else number(length)
        real = x.shape.rank == 2 or x.shape[-1] == 1
        signal = tf.cast(tf.reshape(x, [x.shape[0], -1]), _computed(x.dtype)) if real else _complex(x)
        frames = tf.signal.frame(signal, size, number(step), axis=1)
        if frame_window is not None:
            frames = frames * tf.cast(frame_window, frames.dtype)
        if onesided and real:
            return _pair(tf.signal.rfft(frames), x.dtype)
        return _pair(tf.signal.fft(tf.cast(frames, _complex_type(frames.dtype))), x.dtype)

    return run


def _complex_type(dtype: Any) -> Any:
    return tf.complex128 if dtype in (tf.float64, tf.complex128) else tf.complex64


@op("MelWeightMatrix", host=(0, 1, 2, 3, 4))
def _mel(call: Call) -> Fn:
    dtype = call.element(call.get("output_datatype", 1))
    return lambda *values: tf.cast(tf.constant(mel_weights(*values)), dtype)
