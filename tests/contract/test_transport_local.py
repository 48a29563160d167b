import time
from pathlib import Path

import pytest

from labwright.adapters.transports.local import LocalTransport
from labwright.domain.errors import OutcomeUnknown, Unavailable
from labwright.testing.transport_suite import TransportSuite


class TestLocalTransport(TransportSuite):
    @pytest.fixture
    def transport(self) -> LocalTransport:
        return LocalTransport()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return str(tmp_path)


def test_more_output_than_is_kept_ends_the_command() -> None:
    with pytest.raises(OutcomeUnknown, match="output"):
        LocalTransport(most=1000).run(["yes"])


def test_children_of_a_command_whose_time_is_up_end_with_it(tmp_path: Path) -> None:
    with pytest.raises(OutcomeUnknown):
        LocalTransport().run(
            ["sh", "-c", f"(sleep 60; touch {tmp_path}/late) & echo $! > {tmp_path}/pid; wait"], timeout=1
        )
    pid = (tmp_path / "pid").read_text().strip()
    state = Path(f"/proc/{pid}/stat")
    for _ in range(500):  # killed by now, but the kernel takes its time to bury it
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.01)
    else:
        pytest.fail(f"process {pid} outlived its command")


def test_a_path_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable):
        LocalTransport().put(b"", str(tmp_path / "file" / "below"))
