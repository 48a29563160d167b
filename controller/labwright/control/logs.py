"""What jobs print, kept by the controller: one file an attempt, appended as it comes, secrets masked."""

import os
from collections.abc import Sequence
from pathlib import Path

from labwright.control.masks import cut, mask
from labwright.ports.provider import Chunk

LINE = 64 << 10  # an unfinished line longer than this is taken as it is
TAIL = 16 << 10


class Logs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, job: str, attempt: int) -> Path:
        return self.folder / job / f"{attempt}.txt"

    def append(self, job: str, attempt: int, chunk: Chunk, secrets: Sequence[bytes], *, last: bool) -> int:
        """How many bytes of the chunk were taken. Whole lines only, or of a very long one as much as cuts no secret in two."""
        whole = chunk.data.rfind(b"\n") + 1
        if last or not secrets:
            take = len(chunk.data)
        else:
            take = cut(chunk.data, secrets) if len(chunk.data) - whole > LINE else whole
        text = mask(chunk.data[:take], secrets)
        path = self.path(job, attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() > chunk.offset:  # written before a crash, not yet noted
                text = text[file.tell() - chunk.offset :]
            file.write(text)
        return take

    def tail(self, job: str, attempt: int, size: int = TAIL) -> str:
        """The end of the log as text; whole lines where it was cut."""
        path = self.path(job, attempt)
        try:
            with path.open("rb") as file:
                length = file.seek(0, os.SEEK_END)
                file.seek(max(0, length - size))
                data = file.read(size)
        except FileNotFoundError:
            return ""
        if length > size and b"\n" in data:
            data = data[data.index(b"\n") + 1 :]
        return data.decode("utf-8", "replace")
