"""Files of any size scored without a server, in parts that survive a kill. Not in the Bento."""
