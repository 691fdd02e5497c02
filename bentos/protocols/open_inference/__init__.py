"""The Open Inference Protocol v2 over HTTP, as MLServer, KServe and Triton speak it."""
