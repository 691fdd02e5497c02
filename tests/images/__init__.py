"""Tests of finished images: `make test-images`. They need minutes and a container tool."""
