"""go-judge's REST door over a real socket: stored files, and files of the host.

A test that has a counterpart in go-judge is marked: its behaviour was kept, or made better, for a reason;
the others are about what its clients never saw."""
import concurrent.futures
import hashlib
import json
import os
import re
import time

import pytest

from service import MIB, SANITIZED, accepted, collector, command, multipart, processes, refused, shell, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")
kept = pytest.mark.kept
better = pytest.mark.better

# ---- /file ----

@kept
def test_a_stored_file(service):
    answer = service.upload('a b\\".txt', b"some text\n")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    name = answer.json
    assert re.fullmatch("[A-Z2-7]{8}", name) and answer.body == b'"%s"' % name.encode()
    assert service.get("/file").json[name] == 'a b".txt'
    got = service.get("/file/" + name)
    assert (got.status, got.body) == (200, b"some text\n")
    assert got.headers["Content-Disposition"] == 'attachment; filename="a b\\".txt"'
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert got.headers["Content-Length"] == "10" and got.headers["Accept-Ranges"] == "bytes"
    for status in (200, 404):
        deleted = service.request("DELETE", "/file/" + name)
        assert (deleted.status, deleted.body) == (status, b"")
    gone = service.get("/file/" + name)
    assert (gone.status, gone.body) == (404, b"")
    assert name not in service.get("/file").json


@kept
def test_uploads_that_are_none(service):
    body, kind = multipart("a.txt", b"x")
    for answer in (
            service.upload("a.txt", b"x", field="other"),
            service.request("POST", "/file", body=body),
            service.request("POST", "/file", body=b"", headers={"Content-Type": kind}),
            service.request("POST", "/file", body=body[:-10], headers={"Content-Type": kind}),
            service.request("POST", "/file", body=body.replace(b'; filename="a.txt"', b""),
                            headers={"Content-Type": kind}),
            service.request("POST", "/file", body=body, headers={"Content-Type": "multipart/form-data"})):
        assert (answer.status, answer.body) == (400, b""), answer
    assert "a.txt" not in service.get("/file").json.values()


@kept
def test_the_first_file_part_counts(service):
    parts = [('name="x"', b"field"), ('name="file"; filename="dir/one.cc"', b"first"),
             ('name="file"; filename="two"', b"second")]
    body = b"".join(b'--B\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n' % (head.encode(), data)
                    for head, data in parts) + b"--B--\r\n"
    answer = service.request("POST", "/file", body=body, headers={"Content-Type": 'multipart/form-data; boundary="B"'})
    assert answer.status == 200
    got = service.get("/file/" + answer.json)
    assert got.body == b"first"
    assert got.headers["Content-Disposition"] == 'attachment; filename="one.cc"'


@kept
@pytest.mark.parametrize("name, content, kind", [
    ("a.html", b"\0", "text/html; charset=utf-8"), ("a.json", b"", "application/json"),
    ("a", b"", "text/plain; charset=utf-8"), ("a.bin", b"\x7fELF\0", "application/octet-stream"),
])
def test_types_of_stored_files(service, name, content, kind):
    got = service.get("/file/" + service.put(name, content))
    assert (got.headers["Content-Type"], got.body) == (kind, content)


@kept
def test_names_beyond_ascii(service):
    got = service.get("/file/" + service.put("ä 1.txt", b""))
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A4+1.txt"


@kept
def test_parts_of_a_stored_file(service):
    path = "/file/" + service.put("digits", b"0123456789")
    whole = service.get(path)
    for wanted, status, body, where in (
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"), ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=8-", 206, b"89", "bytes 8-9/10"), ("bytes=0-0,5-6", 200, b"0123456789", None)):
        got = service.get(path, Range=wanted)
        assert (got.status, got.body, got.headers["Content-Range"]) == (status, body, where)
    assert service.get(path, Range="bytes=10-").status == 416
    assert service.get(path, Range="bytes=10-").headers["Content-Range"] == "bytes */10"
    modified = whole.headers["Last-Modified"]
    not_modified = service.get(path, If_Modified_Since=modified)
    assert (not_modified.status, not_modified.body) == (304, b"")
    assert service.get(path, If_Range=modified, Range="bytes=0-1").status == 206
    assert service.get(path, If_Range="Thu, 01 Jan 1970 00:00:00 GMT", Range="bytes=0-1").status == 200
    assert service.get(path, If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT").status == 412


@kept
@pytest.mark.parametrize("name", [".", "..", "%2e%2e", "x" * 300, "%41%42"])
def test_ids_that_are_none(service, name):
    for method in ("GET", "DELETE"):
        answer = service.request(method, "/file/" + name)
        assert (answer.status, answer.body) == (404, b"")


@better(reason="outputs of a run in progress are nobody else's")
def test_outputs_are_not_listed_while_they_are_made(service):
    before = service.get("/file").json
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(service.run, shell("echo out; echo x > f; sleep 1", copyOutCached=["f"], files=[
            {"content": ""}, collector("stdout", pipe=True), collector("stderr", pipe=True)]))
        time.sleep(0.5)
        assert service.get("/file").json == before
        result = running.result()
    assert set(service.get("/file").json) - set(before) == {result["fileIds"]["f"]}


@kept
def test_stored_files_as_input_and_copies(service):
    name = service.put("data", b"stored\n")
    files = [{"fileId": name}, collector("stdout"), collector("stderr")]
    hostile = shell("cat; cat copy; echo x >> copy; echo x >> /proc/self/fd/0; chmod 777 /proc/self/fd/0; true",
                    files=files, copyIn={"copy": {"fileId": name}})
    assert accepted(service.run(hostile)) == "stored\nstored\n"
    assert service.get("/file/" + name).body == b"stored\n"
    pair = [command("/bin/cat", files=files), command("/bin/cat", files=files)]
    assert [accepted(r) for r in service.run_all(*pair)] == ["stored\n"] * 2


def test_a_file_that_a_waiting_request_names_may_go(serve):
    service = serve("-parallelism", 1)
    name = service.put("data", b"still here\n")
    word = f"gone-{os.getpid()}"
    first = service.begin_run(command("/bin/sh", "-c", "sleep 2; echo hi", word, clockLimit=10**10))
    wait_for(lambda: processes(word))
    second = service.begin_run(command("/bin/cat", files=[{"fileId": name}, collector("stdout"), collector("stderr")]))
    time.sleep(0.3)
    assert service.request("DELETE", "/file/" + name).status == 200
    assert accepted(first().json[0]) == "hi\n"
    assert accepted(second().json[0]) == "still here\n"


def test_uploads_do_not_grow_the_service(serve):
    service = serve("-parallelism", 1)
    block = os.urandom(MIB)
    begin, end = (part.encode() for part in (
        '--B\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n', "\r\n--B--\r\n"))
    count = 64
    service.reset_peak()
    before = service.peak()
    connection = service.connection()
    connection.putrequest("POST", "/file")
    connection.putheader("Content-Type", "multipart/form-data; boundary=B")
    connection.putheader("Content-Length", str(len(begin) + count * MIB + len(end)))
    connection.endheaders()
    connection.send(begin)
    for _ in range(count):
        connection.send(block)
    connection.send(end)
    response = connection.getresponse()
    name = json.loads(response.read())
    assert response.status == 200
    assert SANITIZED or service.peak() - before < 8 * MIB
    digest = service.run(command("/usr/bin/sha1sum", files=[{"fileId": name}, collector("stdout")], clockLimit=10**10))
    wanted = hashlib.sha1()
    for _ in range(count):
        wanted.update(block)
    assert accepted(digest).split()[0] == wanted.hexdigest()
    connection.close()


def test_an_upload_that_is_cut_off_leaves_nothing(serve):
    service = serve("-parallelism", 1)
    for _ in range(3):
        with service.socket() as client:
            client.sendall(b"POST /file HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
                           b"Content-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\n"
                           b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\npart of it')
            time.sleep(0.1)
    wait_for(lambda: service.get("/file").json == {})
    descriptors = service.descriptors()
    assert descriptors < 100


@kept
def test_stored_files_expire(serve):
    service = serve("-file-timeout", "1s", "-parallelism", 1)
    name = service.put("short-lived", b"x")
    assert service.get("/file/" + name).status == 200
    wait_for(lambda: service.get("/file").json == {}, 20)


@kept
def test_a_directory_of_files(serve, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "left.txt").write_text("from before")
    service = serve("-dir", folder, "-parallelism", 1)
    assert service.get("/config").json["fileStorePath"] == str(folder)
    assert service.get("/file").json == {"left.txt": ""}
    got = service.get("/file/left.txt")
    assert (got.body, got.headers["Content-Disposition"]) == (b"from before", 'attachment; filename="left.txt"')
    name = service.put("new", b"new")
    service.stop()
    assert (folder / name).read_bytes() == b"new"


def test_a_full_store_says_so(serve):
    service = serve("-file-store-limit", "1m", "-parallelism", 1)
    answer = service.upload("large", b"x" * (2 * MIB))
    assert answer.status == 500 and "full" in answer.json
    assert service.get("/file").json == {}
    assert service.upload("small", b"x").status == 200


# ---- src ----

@kept
def test_src_prefixes(serve, tmp_path):
    for name in ("data", "database"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "in").write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "database" / "in")
    service = serve("-src-prefix", f"{tmp_path}/link,/nonexist", "-parallelism", 1)

    def cat(path):
        return command("/bin/cat", files=[{"src": str(path)}, collector("stdout"), collector("stderr")])

    def copy(path):
        return shell("cat x", copyIn={"x": {"src": str(path)}})

    for good in (tmp_path / "data" / "in", tmp_path / "link" / "in", f"{tmp_path}/database/../data/in"):
        for make in (cat, copy):
            assert accepted(service.run(make(good))) == "data"
    for bad in (tmp_path / "database" / "in", "/etc/passwd", tmp_path / "data" / "out", f"{tmp_path}/link/../database/in"):
        for make in (cat, copy):
            refused(service.post_run({"cmd": [make(bad)]}), f"file ({bad}) does not under ([{tmp_path}/link /nonexist])")
    for make in (cat, copy):
        refused(service.post_run({"cmd": [make(tmp_path / "data" / "no")]}), "lstat", "no such file or directory")
