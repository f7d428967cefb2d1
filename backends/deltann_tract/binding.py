"""A model's static shapes, as tract wants them told."""

from __future__ import annotations

from deltann.model import Model

# Element types that numpy and tract both have, by tract's names.
DTYPES = {
    "bool": "bool",
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"u{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"f{bits}" for bits in (16, 32, 64)},
}


def facts(model: Model) -> dict[str, str]:
    """Shape and type of each input, such as `1,3,224,224,f32`."""
    return {spec.name: ",".join([*map(str, spec.static_shape), DTYPES[spec.dtype]]) for spec in model.inputs}
