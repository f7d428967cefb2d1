"""Preprocessing as declared data: from an image file to one row of a model's input."""

from deltann.preprocess.apply import apply
from deltann.preprocess.decode import BadImage, decode
from deltann.preprocess.pipeline import Pipeline, load_pipeline, preset_names
from deltann.preprocess.resolve import resolve

__all__ = ["BadImage", "Pipeline", "apply", "decode", "load_pipeline", "preset_names", "resolve"]
