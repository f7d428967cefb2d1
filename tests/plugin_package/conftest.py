"""The package is seldom installed here; `tests/docs/test_write_a_backend.py` installs it elsewhere and tests it."""

from __future__ import annotations

from deltann import registry

collect_ignore = [] if "numpy" in registry.names() else ["test_conformance.py"]
