"""From an answer to a store: buffer, spool, delivery."""
