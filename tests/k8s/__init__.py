"""Tests of the manifests and of what builds the images."""
