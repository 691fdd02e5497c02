"""What puts tabserve on Kubernetes."""
