"""Rows after the model, by column: what is answered, counted and logged of them."""
