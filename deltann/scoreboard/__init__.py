"""The official test cases of onnx over many environments, and the table of how each did."""
