"""The table's entries, by family; importing this package fills the table."""

from deltann_torch.ops import activation as activation
from deltann_torch.ops import control as control
from deltann_torch.ops import convolution as convolution
from deltann_torch.ops import elementwise as elementwise
from deltann_torch.ops import indexing as indexing
from deltann_torch.ops import linear as linear
from deltann_torch.ops import normalisation as normalisation
from deltann_torch.ops import pooling as pooling
from deltann_torch.ops import quantise as quantise
from deltann_torch.ops import recurrent as recurrent
from deltann_torch.ops import reduction as reduction
from deltann_torch.ops import resize as resize
from deltann_torch.ops import sequence as sequence
from deltann_torch.ops import shape as shape
from deltann_torch.ops import signal as signal
from deltann_torch.ops import spatial as spatial
