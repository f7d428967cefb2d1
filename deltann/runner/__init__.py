"""Running cells: each environment in a worker process of its own."""
