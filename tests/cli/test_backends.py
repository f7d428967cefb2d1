"""`deltann backends`, `backends show` and `doctor`."""

from __future__ import annotations

import pytest

from deltann import registry
from deltann.testing.registration import registered


def row(text, name):
    """The table's words after the name."""
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return line.split()[1:]


def test_the_list_tells_version_and_state(cli):
    done = cli("backends")
    assert done.code == 0
    assert row(done.out, "faulty")[1] == "available"
    assert row(done.out, "reference")[:2] == [registry.get("reference").version(), "available"]
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_missing_framework_shows_its_pip_line(cli):
    with registered(absent="ailing:AbsentBackend"):
        done = cli("backends")
        assert row(done.out, "absent")[:2] == ["-", "unavailable"]
        assert "pip install 'deltann[absent]'" in " ".join(done.out.split())


@pytest.mark.parametrize("entry", ["no_such_module:X", "recorder:NoSuchClass", "recorder:LOG"])
def test_a_broken_adapter_shows_as_broken_and_does_not_vanish(cli, entry):
    with registered(broken=entry):
        assert row(cli("backends").out, "broken")[:2] == ["-", "broken"]
        assert "does not load" in cli("backends", "show", "broken").error


def test_a_broken_adapter_is_a_failed_cell_and_not_a_usage_error(cli, models, tmp_path):
    with registered(broken="no_such_module:X"):
        done = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty,broken",
                   "--inputs", "random:2", "--out", tmp_path / "run", "--json", "-")  # fmt: skip
    assert done.code == 3
    assert done.json["cells"][2]["status"] == "FAILED"
    assert "no_such_module" in done.json["cells"][2]["reason"]


def test_a_missing_framework_is_an_unavailable_cell_with_its_pip_line(cli, models, tmp_path):
    with registered(absent="ailing:AbsentBackend"):
        done = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty,absent",
                   "--inputs", "random:2", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 3
    assert "UNAVAILABLE" in done.out
    assert "pip install 'deltann[absent]'" in done.out


def test_show_tells_variants_options_and_devices_of_each(cli):
    for name in registry.names():
        try:
            backend = registry.get(name)
        except registry.BrokenBackend:
            continue
        done = cli("backends", "show", name)
        assert done.code == 0
        assert f"devices: {', '.join(backend.devices())}" in " ".join(done.out.split())
        for variant in backend.variants:
            assert f"{name}-{variant}" in done.out
        for option in backend.options:
            assert option in done.out
        assert max(map(len, done.out.splitlines())) <= 80


def test_show_of_nothing_lists_what_exists(cli):
    assert "reference" in cli("backends", "show", "nothing").error


@pytest.fixture
def only(monkeypatch):
    """Let `doctor` look at some backends alone, since others take their time to start."""
    return lambda *names: monkeypatch.setattr(registry, "names", lambda: list(names))


def test_a_healthy_machine(cli, only):
    only("reference", "faulty")
    done = cli("doctor")
    assert done.code == 0, done.out
    assert "ok    reference: " in done.out
    assert "FAIL" not in done.out


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("no_such_module:X", "does not load"),
        ("ailing:LyingBackend", "outputs are wrong"),
        ("ailing:DyingBackend", "SIGSEGV while LOAD"),
    ],
)
def test_a_backend_that_does_not_work_is_found_and_has_a_fix(cli, only, entry, says):
    only("faulty")
    with registered(faulty=entry):
        done = cli("doctor")
    assert done.code == 3
    (failed, fix) = [line for line in done.out.splitlines() if "faulty" in line or line.startswith("      ")]
    assert failed.startswith("FAIL  faulty: ")
    assert says in failed
    assert "reinstall" in fix


def test_a_backend_that_is_not_installed_is_no_illness(cli, only):
    only("absent")
    with registered(absent="ailing:AbsentBackend"):
        done = cli("doctor")
    assert done.code == 0
    assert "not installed (pip install 'deltann[absent]')" in done.out


def test_a_cache_that_cannot_be_written_has_a_fix(cli, only, monkeypatch, tmp_path):
    only()
    (tmp_path / "file").touch()
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "file" / "below"))
    done = cli("doctor")
    assert done.code == 3
    assert "FAIL  cache: " in done.out
    assert "DELTANN_CACHE" in done.out
