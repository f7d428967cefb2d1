"""Fourier transforms, windows and mel filters. A complex number is a last axis of size two."""

from __future__ import annotations

import math
from typing import Any

import torch

from deltann.lowering.mel import mel_weights
from deltann.lowering.shapes import axis_of
from deltann_torch.call import Call
from deltann_torch.table import Fn, op


def _complex(x: Any) -> Any:
    return torch.view_as_complex(x.contiguous()) if x.shape[-1] == 2 else x.squeeze(-1)


def _dft(x: Any, length: Any, axis: int, inverse: bool, onesided: bool) -> Any:
    at = axis_of(axis, x.dim())
    length = length[0] if isinstance(length, list) else length
    if onesided and inverse:
        return torch.fft.irfft(_complex(x), length, at).unsqueeze(-1)
    if onesided:
        return torch.view_as_real(torch.fft.rfft(x.squeeze(-1), length, at))
    transform = torch.fft.ifft if inverse else torch.fft.fft
    return torch.view_as_real(transform(_complex(x), length, at))


@op("DFT", 17, host=(1,))
def _dft_attribute(call: Call) -> Fn:
    axis, inverse, onesided = call.get("axis", 1), bool(call.get("inverse")), bool(call.get("onesided"))
    return lambda x, length=None: _dft(x, length, axis, inverse, onesided)


@op("DFT", 20, host=(1, 2))
def _dft_input(call: Call) -> Fn:
    inverse, onesided = bool(call.get("inverse")), bool(call.get("onesided"))
    return lambda x, length=None, axis=-2: _dft(x, length, -2 if axis is None else axis, inverse, onesided)


@op("STFT", host=(1, 3))
def _stft(call: Call) -> Fn:
    onesided = bool(call.get("onesided", 1))

    def run(x: Any, step: int, frame_window: Any = None, length: Any = None) -> Any:
        size = length if length is not None else frame_window.shape[0]
        signal = _complex(x)
        frames = signal.unfold(1, size, step)
        if frame_window is not None:
            frames = frames * frame_window
        if onesided and not frames.is_complex():
            return torch.view_as_real(torch.fft.rfft(frames))
        return torch.view_as_real(torch.fft.fft(frames))

    return run


@op("MelWeightMatrix", host=(0, 1, 2, 3, 4), made=True)
def _mel(call: Call) -> Fn:
    dtype = call.element(call.get("output_datatype", 1))
    return lambda *values: torch.from_numpy(mel_weights(*values)).to(dtype)


def _window(call: Call, *coefficients: float) -> Fn:
    """Σ (-1)^k a_k cos(2πkn / N) in float64; at other precisions None, which leaves it to the function's body.

    The body has π and the coefficients rounded to float32.
    """
    if call.precision != torch.float64:
        return None
    periodic, dtype = call.get("periodic", 1), call.element(call.get("output_datatype", 1))

    def run(size: Any) -> Any:
        n = torch.arange(int(size), dtype=torch.float64, device=size.device)
        angle = 2 * math.pi * n / (n.numel() if periodic else n.numel() - 1)
        return sum((-1) ** k * a * torch.cos(k * angle) for k, a in enumerate(coefficients)).to(dtype)

    return run


@op("HannWindow")
def _hann(call: Call) -> Fn:
    return _window(call, 0.5, 0.5)


@op("HammingWindow")
def _hamming(call: Call) -> Fn:
    return _window(call, 25 / 46, 21 / 46)


@op("BlackmanWindow")
def _blackman(call: Call) -> Fn:
    return _window(call, 0.42, 0.5, 0.08)
