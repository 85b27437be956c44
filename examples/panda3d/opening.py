"""Opens a session beside the game: it compiles a network, and there may be no service yet."""

from __future__ import annotations

import threading

from protocol.errors import ServiceLostError, ServiceTimeoutError, UpscalerError


class Opening:
    """Calls `make`, which returns a client, on a thread until one is open or refused.

    When `done`, `client` is open and the caller's, or `error` says why the service refused it. A
    client belongs to one thread at a time: this one lets go of it before it is done.
    """

    def __init__(self, make):
        self.client = self.error = None
        self._make = make
        self._lock = threading.Lock()
        self._done = self._abandoned = False
        # A daemon: the game may end while nobody answers.
        threading.Thread(target=self._run, name="opening", daemon=True).start()

    @property
    def done(self):
        """Whether there is an answer."""
        with self._lock:
            return self._done

    def abandon(self):
        """Want nothing any more; a client that comes late is closed."""
        with self._lock:
            self._abandoned = True
            client, self.client = self.client, None
        if client is not None:
            client.close()

    def _run(self):
        while not self._abandoned:
            try:
                client = self._make()
            except (ServiceTimeoutError, ServiceLostError):
                continue  # nobody is there yet
            except UpscalerError as error:
                with self._lock:
                    self.error, self._done = error, True
                return
            except Exception:
                if self._abandoned:
                    return  # the program is ending, and its sockets have been closed
                raise
            with self._lock:
                wanted = not self._abandoned
                if wanted:
                    self.client, self._done = client, True
            if not wanted:
                client.close()
            return
