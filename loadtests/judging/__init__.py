"""Recorded sessions held against budgets, and profiles against each other."""
