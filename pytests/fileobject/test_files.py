"""Files and pipes: the interface, and what waits do to other greenlets."""
import errno
import io
import os
import threading
import tracemalloc

import gevent
import pytest

from gevent import _fileobjectposix, fileobject
from gevent._fileobjectcommon import FileObjectClosed, cancel_wait_ex
from gevent.fileobject import FileObjectPosix, FileObjectThread

TEXT = "first\nsecond \N{SNOWMAN}\nlast"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_text(TEXT, encoding="utf-8")
    return path


def parked(function, *args):
    """A greenlet that has run *function* up to its first wait."""
    greenlet = gevent.spawn(function, *args)
    gevent.sleep(0)
    assert not greenlet.ready()
    return greenlet


# -- the interface of open() ------------------------------------------------------

@pytest.mark.parametrize("buffering", [None, 0, 1, 2, 100])
@pytest.mark.parametrize("mode", ["r", "rt", "rb", "r+", "r+b", "rb+"])
def test_reads_what_open_reads(kind, path, mode, buffering):
    arguments = {} if "b" in mode else {"encoding": "utf-8"}
    expected = path.read_bytes() if "b" in mode else TEXT
    with kind(path, mode, buffering, **arguments) as file:
        assert file.read() == expected
        assert not file.closed
        assert file.readable()
    assert file.closed
    with kind(path, mode, buffering, **arguments) as file:
        assert list(file) == expected.splitlines(True)


@pytest.mark.parametrize("mode, start, end", [
    ("w", "", ""), ("wb", "", ""), ("w+", "", ""), ("a", TEXT, ""),
    ("ab", TEXT, ""), ("a+", TEXT, ""), ("r+", "", TEXT[3:]),
    ("r+b", "", TEXT[3:])])
@pytest.mark.parametrize("buffering", [None, 0, 1, 100])
def test_writes_what_open_writes(kind, path, mode, start, end, buffering):
    arguments = {} if "b" in mode else {"encoding": "utf-8"}
    with kind(str(path), mode, buffering, **arguments) as file:
        file.write(b"abc" if "b" in mode else "abc")
        assert file.writable()
    assert path.read_text(encoding="utf-8") == start + "abc" + end


def test_exclusive_creation(kind, tmp_path):
    path = tmp_path / "new"
    with kind(path, "x") as file:
        file.write("1")
    with pytest.raises(FileExistsError):
        kind(path, "x")
    assert path.read_text() == "1"


def test_seek_tell_truncate(kind, path):
    with kind(path, "r+b") as file:
        assert file.seek(6) == 6
        assert file.read(3) == b"sec"
        assert file.tell() == 9
        assert file.truncate(5) == 5
    assert path.read_text() == "first"


def test_a_binary_mode_says_so(path):
    with FileObjectPosix(path, "rb") as file:
        assert file.mode == "rb"
    with FileObjectPosix(path, "r+") as file:
        assert file.mode == "r+"


@pytest.mark.parametrize("error, arguments", [
    (TypeError, {"mode": 1}), (TypeError, {"buffering": "1"}),
    (TypeError, {"encoding": 1}), (TypeError, {"errors": 1}),
    (TypeError, {"bufsize": 1, "buffering": 1}),
    (TypeError, {"close": True, "closefd": True}),
    (ValueError, {"mode": ""}), (ValueError, {"mode": "rr"}),
    (ValueError, {"mode": "rw"}), (ValueError, {"mode": "q"}),
    (ValueError, {"mode": "+"}), (ValueError, {"mode": "rtb"}),
    (ValueError, {"mode": "rb", "encoding": "ascii"}),
    (ValueError, {"mode": "rb", "newline": "\n"})])
def test_bad_arguments_open_nothing(kind, path, error, arguments):
    with pytest.raises(error):
        kind(path, **arguments)


def test_bad_files(kind):
    with pytest.raises(FileNotFoundError):
        kind("/does/not/exist")
    with pytest.raises(TypeError):
        kind(object())
    with pytest.raises(OSError) as caught:
        kind(10 ** 6)
    assert caught.value.errno == errno.EBADF


def test_older_names_of_arguments(kind, pipe):
    with kind(pipe[0], "rb", bufsize=0, close=False):
        pass
    os.fstat(pipe[0])


def test_chosen_by_configuration(run_program):
    source = """
        import gevent
        from gevent.fileobject import FileObject
        print(FileObject.__name__)
    """
    for setting, name in (("posix", "FileObjectPosix"),
                          ("thread", "FileObjectThread"),
                          ("block", "FileObjectBlock")):
        done = run_program(source, GEVENT_FILE=setting)
        assert done.stdout.strip() == name


# -- closing ------------------------------------------------------------------------

def test_use_after_close(kind, path):
    file = kind(path)
    file.close()
    file.close()
    assert file.name == str(path)
    for name in ("fileno", "readline", "flush", "buffer"):
        with pytest.raises(FileObjectClosed) as caught:
            getattr(file, name)
        assert caught.value.errno == errno.EBADF


def test_methods_taken_before_close(kind, path):
    file = kind(path)
    read = file.read
    file.close()
    with pytest.raises((OSError, ValueError)):
        read()


def test_closefd_false_leaves_the_descriptor(kind, pipe):
    reader, writer = pipe
    with kind(writer, "wb", closefd=False) as file:
        file.write(b"x")
    os.fstat(writer)
    assert os.read(reader, 5) == b"x"


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_closefd_false_leaves_the_object(kind, path, mode):
    with open(path, "rb") as native:
        file = kind(native, mode, closefd=False)
        assert len(file.read(3)) == 3
        file.close()
        del file
        assert not native.closed


def test_closing_closes_the_object(kind, path):
    with open(path, "rb") as native:
        kind(native, "rb").close()
        assert native.closed


def test_end_of_the_object_closes_the_file(pipe):
    file = FileObjectPosix(pipe[1], "wb")
    file.write(b"kept")
    with pytest.warns(ResourceWarning):
        del file
    with pytest.raises(OSError):
        os.fstat(pipe[1])
    assert os.read(pipe[0], 9) == b"kept"


@pytest.mark.parametrize("mode, buffering", [("rb", 0), ("rb", -1), ("r", -1)])
def test_close_wakes_the_reader(pipe, mode, buffering):
    file = FileObjectPosix(pipe[0], mode, buffering)
    reader = parked(_caught, file.read, 1)
    file.close()
    assert isinstance(reader.get(timeout=30), cancel_wait_ex)
    assert file.closed


def _caught(function, *args):
    try:
        return function(*args)
    except OSError as ex:
        return ex


def test_a_descriptor_number_used_again(pipe):
    for _ in range(20):
        read, write = os.pipe()
        reader = FileObjectPosix(read, "rb", 0)
        waiting = parked(_caught, reader.read, 1)
        reader.close()
        waiting.join(30)
        again, other = os.pipe()
        with FileObjectPosix(again, "rb", 0) as second:
            waiting = parked(second.read, 1)
            os.write(other, b"x")
            assert waiting.get(timeout=30) == b"x"
        os.close(write)
        os.close(other)


# -- waiting -------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [FileObjectPosix, FileObjectThread])
@pytest.mark.parametrize("buffering", [0, -1])
def test_others_run_during_a_read(kind, pipe, buffering):
    with kind(pipe[0], "rb", buffering) as reader, \
            kind(pipe[1], "wb", buffering) as writer:
        waiting = parked(reader.read, 5)
        for byte in b"hello":
            writer.write(bytes([byte]))
            writer.flush()
        if buffering == 0:
            assert b"hello".startswith(waiting.get(timeout=30))
        else:
            assert waiting.get(timeout=30) == b"hello"


@pytest.mark.parametrize("kind", [FileObjectPosix, FileObjectThread])
@pytest.mark.parametrize("mode, buffering", [("wb", 0), ("wb", -1), ("w", -1),
                                             ("w", 0)])
def test_large_writes_are_complete(kind, pipe, mode, buffering):
    data = "0123456789" * 100_000
    with FileObjectPosix(pipe[0], "rb") as reader:
        reading = gevent.spawn(reader.read)
        with kind(pipe[1], mode, buffering) as writer:
            writer.write(data if mode == "w" else data.encode())
        assert reading.get(timeout=30).decode() == data


def test_a_killed_write_is_not_repeated(pipe):
    data = bytes(range(256)) * 4096
    writer = FileObjectPosix(pipe[1], "wb", len(data))
    writer.write(data)
    writing = parked(writer.flush)
    writing.kill()
    with FileObjectPosix(pipe[0], "rb") as reader:
        reading = gevent.spawn(reader.read)
        writer.close()
        assert reading.get(timeout=30) == data


def test_a_killed_read_loses_nothing(pipe):
    with FileObjectPosix(pipe[0], "rb") as reader:
        got = []
        for number in range(50):
            reading = gevent.spawn(lambda: got.append(reader.readline()))
            gevent.sleep(0)
            os.write(pipe[1], b"%d\n" % number)
            reading.kill()
        os.close(pipe[1])
        got.append(reader.read())
        assert b"".join(got) == b"".join(b"%d\n" % n for n in range(50))


def test_used_in_another_thread(pipe):
    with FileObjectPosix(pipe[0], "rb", 0) as reader:
        waiting = parked(reader.read, 1)
        os.write(pipe[1], b"1")
        assert waiting.get(timeout=30) == b"1"
        got = []

        def read():
            got.append(reader.read(1))
            gevent.get_hub().destroy()

        thread = threading.Thread(target=read)
        thread.start()
        os.write(pipe[1], b"2")
        thread.join(30)
        assert got == [b"2"]
        waiting = parked(reader.read, 1)
        os.write(pipe[1], b"3")
        assert waiting.get(timeout=30) == b"3"


def test_no_wait_no_switch(pipe):
    switched = []
    with FileObjectPosix(pipe[0], "rb", 0) as reader:
        os.write(pipe[1], b"ab")
        gevent.spawn(switched.append, 1)
        assert reader.read(1) == b"a"
        buffer = bytearray(5)
        assert reader.readinto(buffer) == 1
        assert not switched


# -- files on a disk ----------------------------------------------------------------

@pytest.fixture
def cold(monkeypatch):
    """Nothing is in memory as far as reads can tell."""
    monkeypatch.setattr(_fileobjectposix, "_NOWAIT", None)


def test_a_read_of_the_disk_lets_others_run(path, cold):
    with FileObjectPosix(path, "rb") as file:
        reading = parked(file.read)
        assert reading.get(timeout=30) == path.read_bytes()


def test_a_killed_read_of_the_disk_loses_nothing(path, cold):
    with FileObjectPosix(path, "rb", 0) as file:
        parked(file.read, 5).kill()
        assert file.read(5) == b"first"


def test_a_read_of_the_disk_in_the_hub(path, cold):
    got = []
    with FileObjectPosix(path, "rb", 0) as file:
        gevent.get_hub().loop.run_callback(lambda: got.append(file.read(5)))
        gevent.sleep(0)
    assert got == [b"first"]


def test_large_files(tmp_path, cold):
    data = os.urandom(3 << 20)
    path = tmp_path / "large"
    path.write_bytes(data)
    with FileObjectPosix(path, "rb") as file:
        assert file.read() == data
    with FileObjectPosix(path, "rb", 0) as file:
        parts = iter(lambda: file.read(2 << 20), b"")
        assert b"".join(parts) == data


def test_disk_files_stay_blocking(path):
    with FileObjectPosix(path, "rb") as file:
        assert os.get_blocking(file.fileno())


# -- threads ------------------------------------------------------------------------

def test_lock_and_pool_of_a_thread_file(path):
    from gevent.lock import Semaphore
    lock = Semaphore()
    with FileObjectThread(path, lock=lock) as file:
        assert file.lock is lock
        assert file.threadpool is gevent.get_hub().threadpool
        with lock:
            waiting = parked(file.read)
        assert waiting.get(timeout=30)
    with FileObjectThread(path, lock=False) as file:
        assert file.read()
    with pytest.raises(TypeError):
        FileObjectThread(path, lock=5)


def test_objects_without_a_descriptor():
    with FileObjectThread(io.BytesIO(b"abc"), "rb") as file:
        assert file.read(2) == b"ab"
    with pytest.raises(io.UnsupportedOperation):
        FileObjectPosix(io.BytesIO(b"abc"), "rb")


def test_names():
    assert fileobject.__all__ == [
        "FileObjectPosix", "FileObjectThread", "FileObjectBlock",
        "FileObject"]


def test_reading_a_whole_file_takes_no_more_memory_than_needed(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"x" * 30000)
    with FileObjectPosix(str(path), "rb") as file:
        tracemalloc.start()
        try:
            assert file.read() == b"x" * 30000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 300_000


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 131072, 131073, 1 << 20,
                                  (1 << 20) + 1, 3_000_000])
def test_reading_a_whole_file(tmp_path, size):
    content = os.urandom(size)
    path = tmp_path / "whole"
    path.write_bytes(content)
    with FileObjectPosix(str(path), "rb", 0) as file:
        assert file.read() == content
        file.seek(size // 2)
        assert file.readall() == content[size // 2:]
        assert file.read() == b""
