"""Commands that work on models: one module each, not shipped in the Bento.

They may use every other room. What a command says and its exit code live here; what it does
lives in the room that owns it.
"""
