"""Tests of bentos.model.explanation."""
