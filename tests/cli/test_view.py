"""`deltann view`: a list of runs and their reports, for a browser on this machine and for nobody else."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from deltann.errors import UsageError
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.text import printable
from deltann.store import RunStatus, write_json
from deltann.testing.stored import write_run
from deltann.testing.times import write_times
from deltann.view.listing import Judged, Verdicts, runs_in
from deltann.view.server import Server

pytest.importorskip("matplotlib", reason="the HTML report's figures")
RNG = np.random.default_rng(3)
SCORES = RNG.standard_normal((12, 6)).astype(np.float32)
AGREEING = {"ort": {"y": SCORES}, "torch": {"y": SCORES}}
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "boom")
DIFFERING = {"ort": {"y": SCORES}, "torch": {"y": -SCORES}}


def dated(run, created):
    """Say that a run was made at another time."""
    write_json(run.folder / "run.json", {**run.document, "created": created})


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder with runs of every kind, and what is no run."""
    folder = tmp_path / "runs"
    dated(write_run(folder / "old", AGREEING, model="first.onnx"), "2026-01-01T00:00:00+00:00")
    dated(write_run(folder / "night" / "new", DIFFERING, model="second.onnx"), "2026-03-01T02:00:00+02:00")
    stopped = write_run(folder / "stopped", AGREEING, model="third.onnx").with_status(RunStatus.INTERRUPTED)
    dated(stopped, "2026-02-01T00:00:00+00:00")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "run.json").write_text('{"schema": 1, "mod')
    os.utime(folder / "damaged" / "run.json", (0, 0))
    (folder / "empty").mkdir()
    (folder / "note.txt").write_text("no run")
    return folder


@pytest.fixture
def served(runs) -> Iterator[Server]:
    """The folder, served."""
    with Server(runs, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Answer:
    """What a request got."""

    def __init__(self, server, path="/", method="GET", host=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        if host != "":
            connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        self.status, self.headers, self.text = response.status, response.headers, response.read().decode()
        connection.close()


def rows(page):
    """The texts of the list's rows."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    texts = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in body.split("</tr>")[:-1]]
    return [[unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in row] for row in texts]


def settled(server):
    """The list, once all verdicts are known."""
    for _ in range(60):
        answer = Answer(server)
        if "http-equiv=" not in answer.text:
            return answer
    raise AssertionError("the verdicts take for ever")


def test_runs_are_listed_newest_first(served):
    listed = rows(settled(served).text)
    assert [row[0] for row in listed] == ["night/new", "stopped", "old", "damaged"]
    assert listed[0][1:] == ["second.onnx", "2026-03-01 00:00 UTC", "ort, torch", "12", "DIFFER"]
    assert listed[1][5] == "not complete: interrupted"
    assert listed[2][5] == "AGREE"
    assert listed[3][2] == "damaged"
    assert "damaged (" in listed[3][1]


def test_what_is_added_is_there_at_the_next_look(served, runs):
    write_run(runs / "added", AGREEING)
    assert rows(settled(served).text)[0][0] == "added"


def test_a_run_that_changes_is_judged_anew(served, runs):
    assert {row[0]: row[5] for row in rows(settled(served).text) if len(row) > 5}["old"] == "AGREE"
    shutil.rmtree(runs / "old")
    write_run(runs / "old", DIFFERING)
    assert {row[0]: row[5] for row in rows(settled(served).text) if len(row) > 5}["old"] == "DIFFER"


def test_times_are_told_too(runs):
    write_times(write_run(runs / "timed", AGREEING), {"ort": 0.0, "torch": 0.5})
    (listed,) = [one for one in runs_in(runs) if one.name == "timed"]
    assert Verdicts().of((listed,), patience=60) == {"timed": Judged("AGREE; time REGRESSION", 1)}


def test_times_taken_since_are_told(runs):
    verdicts, run = Verdicts(), write_run(runs / "timed", AGREEING)

    def told():
        (listed,) = [one for one in runs_in(runs) if one.name == "timed"]
        return verdicts.of((listed,), patience=60)["timed"]

    assert told() == told() == Judged("AGREE", 0)
    before = (run.folder / "run.json").stat().st_mtime_ns
    write_times(run, {"ort": 0.0, "torch": 0.5}, complete=False)
    assert (run.folder / "run.json").stat().st_mtime_ns == before, "the times alone are newer"
    assert told().text.endswith("incomplete; time REGRESSION")


@pytest.mark.parametrize(
    ("torch", "text", "tone"),
    [
        ({"y": SCORES}, "AGREE", "good"),
        ({"y": -SCORES}, "DIFFER, 1 of 3 failed", "bad"),
        (CRASH, "NOT_COMPARED, 2 of 3 failed", "doubt"),
    ],
)
def test_the_colour_is_that_of_the_exit_code(served, runs, torch, text, tone):
    tvm = {"y": SCORES} if text == "AGREE" else CRASH
    write_run(runs / "one", {"ort": {"y": SCORES}, "torch": torch, "tvm": tvm})
    assert f'<td class="{tone}">{text}</td>' in settled(served).text


def test_agreement_beside_a_failure_is_not_green(served, runs):
    write_run(runs / "one", {**AGREEING, "tvm": CRASH})
    page = settled(served).text
    assert '<td class="doubt">AGREE, 1 of 3 failed</td>' in page
    assert page.count('class="good"') == 1, "the other run that agrees"


@pytest.mark.parametrize(
    "when", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "0001-01-01T00:00:00", "99999999", "soon"]
)
def test_a_run_of_no_time_is_listed_as_any(served, runs, when):
    dated(write_run(runs / "odd", AGREEING), when)
    found = {row[0]: row for row in rows(settled(served).text)}
    assert len(found) == 5
    assert found["odd"][5] == "AGREE"


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
@pytest.mark.parametrize("what", ["night", "night/new"])
def test_what_cannot_be_looked_into_is_listed_and_the_rest_with_it(runs, monkeypatch, error, what):
    """A folder of somebody else, or one that is removed while it is being read."""
    look = Path.is_file

    def refused(path):
        if path == runs / what / "run.json":
            raise error
        return look(path)

    monkeypatch.setattr(Path, "is_file", refused)
    found = {one.name: one for one in runs_in(runs)}
    assert found[what].problem == f"cannot be read ({error.strerror})"
    assert found[what].run is None
    assert set(found) == {what, "stopped", "old", "damaged"}


def test_a_page_leads_back_to_the_list_and_a_file_does_not(served, runs):
    from deltann.report.contents import load_contents
    from deltann.report.html import to_html

    assert Answer(served, "/run/old").text.count('<a href="/">All runs</a>') == 1
    assert 'href="/"' not in to_html(load_contents(runs / "old"))


def test_a_verdict_that_takes_long_is_left_for_later(runs, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(_folder):
        begun.set()
        assert go_on.wait(60)
        return Judged("AGREE", 0)

    monkeypatch.setattr("deltann.view.listing._verdict", slow)
    verdicts, listed = Verdicts(), tuple(one for one in runs_in(runs) if one.name == "old")
    assert verdicts.of(listed, patience=0.01) == {"old": None}
    assert begun.wait(60)
    go_on.set()
    assert verdicts.of(listed, patience=60) == {"old": Judged("AGREE", 0)}


def test_a_report_is_made_on_request(served):
    answer = Answer(served, "/run/night/new")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "second.onnx" in answer.text
    assert "DIFFER" in answer.text
    assert len(answer.text.encode()) == int(answer.headers["Content-Length"])


def test_a_report_of_an_interrupted_run_says_so(served):
    answer = Answer(served, "/run/stopped")
    assert answer.status == 200
    assert "interrupted" in answer.text


def test_each_listed_run_has_a_page_where_its_link_leads(served):
    links = re.findall(r'href="(/run/[^"]*)"', Answer(served).text)
    assert len(links) == 3
    assert {Answer(served, unescape(link)).status for link in links} == {200}


def test_a_damaged_run_has_none_and_says_why(served):
    answer = Answer(served, "/run/damaged")
    assert answer.status == 404
    assert "damaged" in answer.text


@pytest.mark.parametrize("path", ["/", "/run/old"])
def test_head_is_get_without_the_page(served, path):
    settled(served)
    get, head = Answer(served, path), Answer(served, path, "HEAD")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/run/old"])
def test_other_methods_are_refused(served, method, path):
    answer = Answer(served, path, method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "evil.example:{port}", "127.0.0.1:{port}.a.b"]
)
def test_another_host_is_refused(served, host):
    answer = Answer(served, "/run/old", host=host.format(port=served.server_port))
    assert answer.status == 421
    assert "first.onnx" not in answer.text


def test_this_host_has_two_names(served):
    assert Answer(served, host=f"localhost:{served.server_port}").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/run/",
        "/run/empty",
        "/run/night",
        "/run/../runs/old",
        "/run/old/../old",
        "/run/old/",
        "/run/./old",
        "/run//old",
        "/run/..%2fruns%2fold",
        "/run/%2e%2e/%2e%2e/etc/passwd",
        "/run/old/run.json",
        "/run/old%00",
        "/run/%ff",
        "/run/note.txt",
        "/old",
        "/favicon.ico",
        "http://127.0.0.1/run/old",
    ],
)
def test_a_path_that_is_no_run_is_not_found(served, path):
    assert Answer(served, path).status == 404


def test_an_absolute_path_is_not_found(served, runs):
    assert Answer(served, f"/run/{runs / 'old'}").status == 404
    assert Answer(served, f"/run/{quote(str(runs / 'old'), safe='')}").status == 404


def test_links_that_lead_out_are_no_runs(served, runs, tmp_path):
    outside = write_run(tmp_path / "outside", AGREEING).folder
    (runs / "link").symlink_to(outside)
    (runs / "part").mkdir()
    (runs / "part" / "run.json").symlink_to(outside / "run.json")
    (runs / "inside").symlink_to(runs / "old")
    (runs / "loop").symlink_to(runs)
    found = {row[0]: row for row in rows(settled(served).text)}
    assert "link" not in found
    assert "run.json leads out of the run" in found["part"][1]
    assert {Answer(served, f"/run/{name}").status for name in ("link", "part")} == {404}
    assert Answer(served, "/run/inside").status == 200


def test_a_folder_that_is_a_run_is_the_only_one(runs):
    assert [listed.name for listed in runs_in(runs / "old")] == ["old"]


def test_a_run_that_leads_to_its_neighbour_is_damaged(runs):
    (runs / "solo").mkdir()
    (runs / "solo" / "run.json").symlink_to(runs / "old" / "run.json")
    (listed,) = runs_in(runs / "solo")
    assert listed.run is None
    assert "leads out of the run" in listed.problem


def test_no_run_is_looked_for_inside_a_run(runs):
    write_run(runs / "old" / "inner", AGREEING)
    assert "old/inner" not in [listed.name for listed in runs_in(runs)]


def test_pages_allow_nothing_from_elsewhere(served):
    for path in ("/", "/run/old", "/nothing"):
        headers = Answer(served, path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "http:" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Cache-Control"] == "no-store"
    assert "'unsafe-inline'" not in Answer(served).headers["Content-Security-Policy"]


HOSTILE = "<script>alert(1)</script>'\"&{{7*7}} \x1b[2J \u202e"


def test_names_are_shown_and_not_obeyed(served, runs):
    folder = runs / f"{HOSTILE[:30]} %2e%2e ?#".replace("/", "_")
    write_run(folder, {"ort": {"y": SCORES}, "torch": Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, HOSTILE)},
              model=HOSTILE, source=HOSTILE)  # fmt: skip
    (link,) = [unescape(link) for link in re.findall(r'href="(/run/[^"]*)"', settled(served).text) if "script" in link]
    for path in ("/", link):
        answer = Answer(served, path)
        assert answer.status == 200
        assert "<script>alert" not in answer.text
        assert "\x1b" not in answer.text
        assert printable(HOSTILE) in unescape(answer.text)
        assert "49" not in re.sub(r"\d{3,}|[\d.:-]{4,}", "", rows(answer.text)[0][1] if path == "/" else "")


def test_a_name_of_any_bytes_has_a_page(served, runs):
    name = os.fsdecode(b"caf\xe9 \xff")
    try:
        write_run(runs / name, AGREEING)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    assert Answer(served, f"/run/{quote(os.fsencode(name))}").status == 200


def test_a_failure_of_ours_is_told_and_not_the_end(served, monkeypatch, capfd):
    def broken(_contents):
        raise RuntimeError("a mistake")

    monkeypatch.setattr("deltann.report.html.to_html", broken)
    answer = Answer(served, "/run/old")
    assert (answer.status, answer.text) == (500, "deltann itself failed: a mistake\n")
    assert "RuntimeError: a mistake" in capfd.readouterr().err
    assert Answer(served).status == 200


def test_it_listens_on_this_machine_alone(served):
    assert served.server_address[0] == "127.0.0.1"


def test_a_folder_without_runs_is_told_how_to_get_one(tmp_path):
    with Server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        text = Answer(server).text
        server.shutdown()
        thread.join()
    assert "There is no run here yet" in text


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused(cli, tmp_path, name):
    (tmp_path / "file").write_text("")
    assert "name a folder of runs" in cli("view", tmp_path / name, "--port", "0").error


def test_a_port_in_use_is_refused(cli, runs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = cli("view", runs, "--port", port).error
    assert error == f"cannot listen on port {port}: it is in use; choose another --port (0: any)"
    with pytest.raises(UsageError, match="no-such"):
        Server(runs / "no-such", 0)


def test_without_matplotlib_it_says_how_to_get_it(cli, runs, monkeypatch):
    monkeypatch.setattr("deltann.report.html.page.find_spec", lambda _name: None)
    assert "pip install 'deltann[html]'" in cli("view", runs, "--port", "0").error


def test_it_prints_where_it_is_and_ends_with_ctrl_c(launch, runs):
    started = launch("view", runs, "--port", "0")
    line = started.stdout.readline()
    match = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert match, line
    with socket.create_connection(("127.0.0.1", int(match[1])), timeout=30) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\nHost: 127.0.0.1:{match[1]}\r\n\r\n".encode())
        assert connection.recv(15) == b"HTTP/1.0 200 OK"
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == 0
    assert errors == ""
