"""Secrets of deliveries, asked anew now and then: lab.yaml may name others, and a secret may have become another."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from labwright.domain.errors import LabError, Unavailable

Ask = Callable[[], Sequence[str]]
"""The secrets as they are now. May take its time: a command may print them. Raises LabError, which never names a value;
Unavailable where the ones known before go on to hold."""

LASTS_S = 60.0  # what was asked earlier is asked again before it is used
AGAIN_S = 10.0  # the least time between two questions because a signature did not fit
_MOMENT_S = 1.0  # the same while there is no secret at all
_PATIENCE_S = 2.0  # that a delivery waits for an answer


class Secrets:
    def __init__(self, ask: Ask, log: Any) -> None:
        self._ask, self._log = ask, log
        self._known: tuple[str, ...] = ()
        self._asked_at: float | None = None
        self._asking: asyncio.Future[None] | None = None
        self._said = ""
        self.told = False  # an answer came, be it that there are none

    async def current(self) -> tuple[str, ...]:
        return await self._no_older_than(LASTS_S if self._known else _MOMENT_S)

    async def renewed(self) -> tuple[str, ...]:
        """After a signature that does not fit: they may have been changed just now."""
        return await self._no_older_than(AGAIN_S)

    async def introduce(self) -> None:
        """Says it once where deliveries cannot be accepted at all."""
        while not self.told:
            await self._no_older_than(0.0)
            if not self.told:
                await asyncio.sleep(_MOMENT_S)
        if not self._known:
            self._log.warning(
                "no hook secret: every delivery is refused",
                hint="name one that is not empty in lab.yaml: `forge: {hook_secrets: '{{secret.HOOK}}'}`",
            )

    async def _no_older_than(self, seconds: float) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        if self._asking is None and (self._asked_at is None or loop.time() - self._asked_at >= seconds):
            self._asking, self._asked_at = loop.create_future(), loop.time()
            threading.Thread(target=self._work, args=(loop,), name="hook-secrets", daemon=True).start()
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=_PATIENCE_S)
        return self._known

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        found: tuple[str, ...] | Exception
        try:
            found = tuple(secret for secret in self._ask() if secret.strip())
        except Exception as error:  # noqa: BLE001  # whatever it is: without secrets nothing is accepted
            found = error
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(self._answered, found)

    def _answered(self, found: tuple[str, ...] | Exception) -> None:
        if isinstance(found, tuple):
            self._known, self.told, self._said = found, True, ""
        elif not isinstance(found, Unavailable):
            self._known, self.told = (), True
            said = str(found) if isinstance(found, LabError) else type(found).__name__
            if said != self._said:
                self._log.warning("hook secrets cannot be had: every delivery is refused", why=said)
                self._said = said
        if self._asking is not None:
            self._asking.set_result(None)
            self._asking = None
