import time
from pathlib import Path

import pytest

from labwright.adapters.transports.local import LocalTransport
from labwright.domain.errors import OutcomeUnknown
from labwright.testing.transport_suite import TransportSuite


class TestLocalTransport(TransportSuite):
    @pytest.fixture
    def transport(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTransport:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        (tmp_path / "home").mkdir()
        return LocalTransport(most=self.MOST)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        (tmp_path / "folder").mkdir()
        return str(tmp_path / "folder")


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
