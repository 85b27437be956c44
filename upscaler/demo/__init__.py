"""The demo: a real game clip through a real service, and pictures of what came back."""
