"""One worker: from an HTTP request to its answer."""
