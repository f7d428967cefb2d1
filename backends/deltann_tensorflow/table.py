"""The operator table of TensorFlow; `deltann.lowering.table` says what an entry is.

Traits of an entry:

`layout` says in which layout the callable takes and gives tensors of a batch, channels and one to three axes of space:
    ""       ONNX's own (channels second), the default;
    "last"   channels last, always: input 0, and every output of its rank;
    "either" as input 0 happens to be held: `call.last` tells, and all inputs and outputs of its rank are so;
    "same"   element by element: the builder brings all inputs into one layout.
`soft` lists host inputs that may also come as a tensor, where their values are not known before the model runs. An
entry whose host inputs are not soft runs in Python there (`tf.py_function`), which XLA and TFLite refuse.
"""

from __future__ import annotations

from deltann.lowering.table import Fn as Fn
from deltann.lowering.table import Table

TABLE = Table()
op = TABLE.op
plain = TABLE.plain
find = TABLE.find
