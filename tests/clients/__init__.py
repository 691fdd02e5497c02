"""The peers' own clients against this service: `make test-clients`."""
