"""The peers' own code: each module runs in the environment of one peer, and only there."""
