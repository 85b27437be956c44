"""The live picture: its way through the service, its window, its recording and its page."""
