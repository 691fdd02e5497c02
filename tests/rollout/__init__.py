"""Tests of rollouts: what decides, and what acts on a cluster."""
