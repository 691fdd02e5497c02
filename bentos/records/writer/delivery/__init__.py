"""From the spool to the store, in a process of its own beside each worker."""
