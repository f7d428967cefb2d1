"""Samples: where they come from, and the arrays made of them once that every environment then reads."""

from deltann.dataset.materialise import Materialised, materialise
from deltann.dataset.source import ArraySource, ImageSource, RandomSource, Source, parse_source

__all__ = ["ArraySource", "ImageSource", "Materialised", "RandomSource", "Source", "materialise", "parse_source"]
