"""The prediction log: what was asked, what was answered, and what came of it.

Only this package knows the log's schema; writers and readers live together. It needs
neither BentoML nor numpy, so that a drift job can read the log from an environment of
its own.
"""
