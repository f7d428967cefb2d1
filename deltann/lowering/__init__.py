"""What every adapter that lowers ONNX by itself shares, free of frameworks: numpy and onnx alone."""
