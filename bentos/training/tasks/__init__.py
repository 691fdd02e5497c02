"""What differs between tasks: metrics, pictures, groups. One module each, and a registry line."""
