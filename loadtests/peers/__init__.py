"""The servers that tabserve is compared with, each in an environment of its own."""
