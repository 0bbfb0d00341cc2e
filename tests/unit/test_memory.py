"""The memory of a node, as Linux tells it of machines and of containers."""

import pytest

from batch_endpoints.processes.memory import NodeMemory, node_memory

MEMINFO = "MemTotal:      1000 kB\nMemFree:        100 kB\nMemAvailable:   600 kB\nHugePages_Total:  0\n"
V2 = {
    "memory.max": "{limit}\n",
    "memory.current": "{used}\n",
    "memory.stat": "anon 7\ninactive_file 30\nactive_file 20\n",
}
V1 = {
    "memory/memory.limit_in_bytes": "{limit}\n",
    "memory/memory.usage_in_bytes": "{used}\n",
    "memory/memory.stat": "inactive_file 1\nactive_file 1\ntotal_inactive_file 30\ntotal_active_file 20\n",
}
MACHINE = NodeMemory(1000 << 10, 400 << 10)


@pytest.mark.parametrize("version", [V1, V2], ids=["version 1", "version 2"])
@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        pytest.param("1000", "950", NodeMemory(1000, 900), id="a container that is fuller than the machine"),
        pytest.param("1000", "250", MACHINE, id="a container that has room"),
        pytest.param("max", "250", MACHINE, id="no limit"),
        pytest.param("9223372036854771712", "250", MACHINE, id="no limit, as version 1 says it"),
    ],
)
def test_memory_is_that_of_the_machine_or_its_container(tmp_path, version, limit, used, expected):
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "memory").mkdir()
    for name, text in version.items():
        (tmp_path / name).write_text(text.format(limit=limit, used=used))

    assert node_memory(tmp_path, tmp_path) == expected


def test_without_proc_nothing_is_known(tmp_path):
    assert node_memory(tmp_path, tmp_path) is None
