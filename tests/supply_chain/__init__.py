"""What is checked of the packages, secrets and workflows that tabserve depends on or holds."""
