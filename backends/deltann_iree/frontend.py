"""ONNX to MLIR to IREE's module format, by IREE's own importer and compiler."""

from __future__ import annotations

import io
import re
import tempfile
from functools import cache
from pathlib import Path

import onnx

from deltann.errors import Unsupported, one_line

ENTRY = "main"
"""How the module's one function is called, whatever the graph is."""
_OPERATOR = re.compile(r'name = "onnx\.(\w+)"')
_CPU = re.compile(r'cpu = "([^"]*)", cpu_features = "([^"]*)"')
_DIAGNOSTIC = re.compile(r"error: (?:loc\([^)]*\): )?(.*)")


def to_mlir(proto: onnx.ModelProto) -> bytes:
    """The model, changed in its name alone, as MLIR bytecode: torch-mlir's dialect of ONNX, weights included.

    Raises:
        Unsupported: what the importer refuses.
    """
    from iree.compiler.extras import onnx_importer
    from iree.compiler.ir import Context

    proto.graph.name = ENTRY
    try:
        info = onnx_importer.ModelInfo(proto)
        module = info.create_module(context=Context()).operation
        onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
    except onnx_importer.OnnxImportError as error:
        raise Unsupported(f"IREE's importer: {one_line(str(error))}") from error
    module.verify()
    with io.BytesIO() as buffer:
        module.write_bytecode(buffer)
        return buffer.getvalue()


def compile_mlir(bytecode: bytes, level: str | None, file: Path) -> None:
    """Compile for this machine's CPU, in the compiler's own process, into `file`.

    Raises:
        Unsupported: what the compiler refuses with a diagnostic; how it dies otherwise is let out.
    """
    from iree.compiler.tools import CompilerToolError, compile_file

    arguments = ["--iree-llvmcpu-target-cpu=host", "--iree-llvmcpu-debug-symbols=false"]
    if level is not None:
        arguments.append(f"--iree-opt-level={level}")
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        source = Path(folder) / "module.mlirbc"
        source.write_bytes(bytecode)
        try:
            compile_file(
                str(source),
                output_file=str(file),
                target_backends=["llvm-cpu"],
                input_type="onnx",
                extra_args=arguments,
            )
        except CompilerToolError as error:
            if "Error code: 1\n" not in str(error) or (reason := _refusal(str(error))) is None:
                raise
            raise Unsupported(f"IREE: {reason}") from error


def _refusal(message: str) -> str | None:
    """The first diagnostic, with the ONNX operator that it is about."""
    found = _DIAGNOSTIC.search(message)
    if found is None:
        return None
    said, _, operation = found[1].partition(": %")
    operator = _OPERATOR.search(operation)
    return one_line(f"{operator[1]}: {said}" if operator else f"{said}: %{operation}" if operation else said)


@cache
def host_cpu() -> tuple[str, str]:
    """The CPU for which `host` stands, as LLVM names it, and its features."""
    from iree.compiler.tools import compile_str

    text = compile_str(
        "module {}",
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=host", "--compile-to=preprocessing"],
    ).decode()
    found = _CPU.search(text)
    if found is None:
        raise RuntimeError(f"IREE does not say what it takes the host CPU for: {one_line(text)}")
    return found[1], found[2]
