"""Models: their cards, where they are found, and how they are fitted to a frame."""
