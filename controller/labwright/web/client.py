"""Asking the running controller over its socket (web/socket.py)."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from labwright.domain.errors import Refused, Unavailable
from labwright.ports.records import QueryLimits
from labwright.web.address import short_path


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with short_path(self._path.absolute()) as address:
            self.sock.connect(address)


class SocketAnswer:
    """Rows that the controller sends; `truncated` is known after the last batch."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._reader = connection, pa.ipc.open_stream(response)
        self.truncated = False

    @property
    def schema(self) -> pa.Schema:
        return self._reader.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                batch, words = self._reader.read_next_batch_with_custom_metadata()
                said = {k.decode(): v.decode() for k, v in (words or {}).items()}
                if "error" in said:
                    raise Refused(said["error"], hint=said.get("hint", ""))
                self.truncated |= "truncated" in said
                if batch.num_rows:
                    yield batch
        except StopIteration:
            return
        except (OSError, pa.ArrowException, http.client.HTTPException) as error:
            raise Unavailable(f"The controller's answer broke off: {error}") from None
        finally:
            self.close()

    def close(self) -> None:
        self._connection.close()


def ask_sql(socket_path: Path, sql: str, limits: QueryLimits) -> SocketAnswer:
    """Raises Refused in the controller's words, Unavailable when nobody listens."""
    connection, response = _send(
        socket_path, "POST", "/sql", {"sql": sql, **asdict(limits)}, timeout=limits.seconds + 15
    )
    try:
        return SocketAnswer(connection, response)
    except (OSError, pa.ArrowException, http.client.HTTPException) as error:
        connection.close()
        raise Unavailable(f"The controller's answer broke off: {error}") from None


def wake(socket_path: Path) -> None:
    connection, response = _send(socket_path, "POST", "/wake", {})
    response.read()
    connection.close()


def status(socket_path: Path) -> Mapping[str, Any]:
    connection, response = _send(socket_path, "GET", "/status", None)
    try:
        answer: Mapping[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    return answer


def _send(
    path: Path, method: str, what: str, body: Mapping[str, Any] | None, timeout: float = 10.0
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = _Connection(path, timeout)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, what, body=data, headers={"Content-Type": "application/json"} if data else {})
        response = connection.getresponse()
        if response.status == 200:
            return connection, response
        told = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise Unavailable(f"No controller answers at {path}: {error}", hint="start it with `lab serve`") from None
    connection.close()
    kind = Unavailable if response.status == 503 else Refused
    raise kind(str(told.get("error", response.reason)), hint=str(told.get("hint", "")))
