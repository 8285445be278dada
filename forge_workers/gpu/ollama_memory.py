"""Ollama's memory as it lists it: every model, whoever loaded it.

The way to a model (``models/``) is for one model and under the lease; this looks at all of them and asks none. Belongs
here: ``/api/ps`` and unloading, through Ollama's own client. Does not belong here: what the answer means
(``residency.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import ollama

from forge_workers.errors import Transient
from forge_workers.gpu.residency import Loaded
from forge_workers.plain import plain

#: Seconds for a request that only looks.
_TIMEOUT_S = 10.0


class OllamaMemory:
    """The memory of one Ollama. Neither proxies nor redirects are followed: it is asked where the settings say.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._place = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._client = ollama.Client(host=url, timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)

    def loaded(self) -> tuple[Loaded, ...]:
        """Return every model in memory.

        Raises:
            Transient: No Ollama answers there, or not in its words.
        """
        with self._faults():
            found = []
            for model in self._client.ps().models:
                if model.name is None or model.size is None or model.expires_at is None:
                    raise ValueError(model)
                found.append(Loaded(plain(model.name, 200), int(model.size), model.expires_at.timestamp()))
            return tuple(found)

    def unload(self, name: str) -> None:
        """Ask for ``name`` to be unloaded; one that is not loaded is no fault.

        Raises:
            Transient: No Ollama answers there.
        """
        with self._faults():
            self._client.generate(name, keep_alive=0)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except ollama.ResponseError as error:
            raise Transient(f"Ollama at {self._place} refused with status {error.status_code}") from None
        except (ConnectionError, httpx.HTTPError):
            raise Transient(f"Ollama does not answer at {self._place}") from None
        except (ValueError, TypeError, AttributeError):
            raise Transient(f"what answers at {self._place} does not list models as Ollama does") from None
