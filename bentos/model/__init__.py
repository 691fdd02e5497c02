"""One model: its contract, validation, files and engines. Knows no HTTP."""
