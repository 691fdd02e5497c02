"""The prediction log: its stores, and what must hold in each of them."""
