"""Payload formats: bytes in, plain values out, and back. Nothing else parses bytes."""
