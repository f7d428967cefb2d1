"""Inference time: measured side by side in fresh processes, estimated with an interval, judged at known error rates."""
