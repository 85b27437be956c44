"""The service: sessions on a ROUTER socket, one inference thread, fair turns."""
