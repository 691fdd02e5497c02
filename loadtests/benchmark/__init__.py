"""One server beside its peers: points, equality, overload, and the report of them."""
