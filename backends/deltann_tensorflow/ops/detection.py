"""NonMaxSuppression."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf

from deltann_tensorflow.call import Call
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op


@op("NonMaxSuppression")
def _nms(call: Call) -> Fn:
    centre = call.get("center_point_box", 0)

    def run(boxes: Any, scores: Any, limit: Any = None, iou: Any = None, least: Any = None) -> Any:
        # The operator is defined on float32 alone, and so is TensorFlow's; whatever the precision, these are its types.
        corners, rated = _corners(tf.cast(boxes, tf.float32), centre), tf.cast(scores, tf.float32)
        batches, labels, candidates = sizes(scores)
        if tf.is_tensor(batches) or tf.is_tensor(labels):
            raise call.unsupported("a number of images or classes that only the data tells")
        # No class has more than all boxes: a limit beyond 32 bits, which says "all", must not wrap.
        most = (
            0
            if limit is None
            else tf.cast(tf.minimum(tf.reshape(limit, []), tf.cast(candidates, limit.dtype)), tf.int32)
        )
        threshold = 0.0 if iou is None else tf.reshape(tf.cast(iou, tf.float32), [])
        floor = -np.inf if least is None else tf.reshape(tf.cast(least, tf.float32), [])
        chosen = [tf.zeros([0, 3], tf.int64)]
        for batch, label in product(range(batches), range(labels)):
            kept = tf.image.non_max_suppression(corners[batch], rated[batch, label], most, threshold, floor)
            # Rows of (batch, label, box), made so that XLA, too, knows how many there are.
            chosen.append(tf.cast(kept, tf.int64)[:, None] * [0, 0, 1] + [batch, label, 0])
        return tf.concat(chosen, 0)

    return run


def _corners(boxes: Any, centre: int) -> Any:
    """Boxes as two opposite corners, which may be given either way round."""
    if not centre:
        return boxes
    x, y, w, h = tf.unstack(boxes, axis=-1)
    return tf.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
