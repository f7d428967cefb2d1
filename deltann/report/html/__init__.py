"""A comparison as one HTML file: it opens from disk, asks no network, and holds all that it shows."""

from deltann.report.html.page import check, policy, to_html

__all__ = ["check", "policy", "to_html"]
