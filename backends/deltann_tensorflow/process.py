"""What TensorFlow takes from its process, once for all: oneDNN when it is imported, threads before its first tensor."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from deltann.backend import Value
from deltann.errors import Unavailable

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_KERAS = "TF_USE_LEGACY_KERAS"


def prepare(values: Mapping[str, Value | None]) -> None:
    """Import TensorFlow as the options `onednn` and `threads` ask.

    Raises:
        Unavailable: it has been imported, or has begun to compute, with others in this process.
    """
    onednn, threads = values["onednn"], values["threads"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if onednn is not None:
        if "tensorflow" in sys.modules and os.environ.get(_ONEDNN) != onednn:
            raise Unavailable(f"TensorFlow was imported without {_ONEDNN}={onednn}: ask for it in a process of its own")
        os.environ[_ONEDNN] = str(onednn)
    import_tensorflow()
    import tensorflow as tf

    try:
        if tf.config.get_visible_devices("GPU"):
            tf.config.set_visible_devices([], "GPU")  # this adapter's only device is the processor
        if threads is not None and tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise Unavailable(f"TensorFlow has begun to compute with other settings in this process: {error}") from error


def import_tensorflow() -> None:
    """Import it without Keras, which is nearly half of the time that takes; a lowered graph needs none of it.

    The variable has TensorFlow look for the older `tf_keras`, and go on where that is missing. It is read again when
    somebody first uses `tf.keras`, which is then as it would have been.
    """
    chosen = os.environ.get(_KERAS)
    if chosen is None and "tensorflow" not in sys.modules:
        os.environ[_KERAS] = "1"
    try:
        import tensorflow  # noqa: F401
    finally:
        if chosen is None:
            os.environ.pop(_KERAS, None)


def onednn_on() -> bool:
    """Whether TensorFlow, as it was imported, uses oneDNN's kernels."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def threads_used() -> int:
    """The size of the pool that operators are spread over; TensorFlow's own choice is a thread a processor."""
    import tensorflow as tf

    return int(tf.config.threading.get_intra_op_parallelism_threads()) or len(os.sched_getaffinity(0))
