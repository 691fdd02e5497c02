"""Many rows of one contract, by column."""
