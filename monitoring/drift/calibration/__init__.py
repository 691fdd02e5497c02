"""How often the job is wrong, and what it costs, measured: commands that write dated tables."""
