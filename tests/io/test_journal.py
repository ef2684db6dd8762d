"""The journal survives kills, truncation and damage, frame by frame."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, OutputError
from rtface.io import JournalWriter, read_journal
from rtface.types import FaceStatus

METADATA = {"source": {"fingerprint": "12-34-ab"}, "config": {"every": 2, "name": "Gesicht ä"}}


def _write(path: Path, media, counts: list[int]) -> list:
    results = [media.make_result(3 * i, range(10, 10 + n), status=[FaceStatus.TRACKED, FaceStatus.HELD,
                                                                  FaceStatus.ABSENT][:n]) for i, n in enumerate(counts)]
    with JournalWriter(path, METADATA, basis="test") as journal:
        for result in results:
            journal.append(result)
    return results


def _assert_same(frame, result) -> None:
    assert (frame.index, frame.pts_s, frame.count) == (result.frame.index, result.frame.pts_s, len(result.tracks))
    assert (frame.height, frame.width) == (result.frame.height, result.frame.width)
    assert frame.dropped_before == result.dropped_before and dict(frame.timings_ms) == dict(result.timings_ms)
    for name in ("ids", "boxes_xyxy", "scores", "landmarks", "ages"):
        np.testing.assert_array_equal(getattr(frame.tracks, name), getattr(result.tracks, name))
    np.testing.assert_array_equal(frame.coefficients.to_vector(), result.coefficients.to_vector())
    assert frame.coefficients.basis == result.coefficients.basis
    np.testing.assert_array_equal(frame.regions, result.regions)
    np.testing.assert_array_equal(frame.confidence, result.confidence)
    assert frame.status == result.status


def test_what_is_written_is_read(tmp_path: Path, media) -> None:
    results = _write(tmp_path / "j.bin", media, [1, 0, 3, 2])
    journal = read_journal(tmp_path / "j.bin")
    assert journal.metadata == METADATA
    assert journal.discarded_bytes == 0 and journal.last_index == 9
    for frame, result in zip(journal.frames, results, strict=True):
        _assert_same(frame, result)


def test_a_journal_frame_becomes_a_result_again(tmp_path: Path, media) -> None:
    _write(tmp_path / "j.bin", media, [2])
    frame = read_journal(tmp_path / "j.bin").frames[0]
    result = frame.to_result()
    _assert_same(frame, result)
    assert result.mesh is None and result.frame.pixels.shape == (48, 64, 3)


def test_an_empty_journal_has_no_frames(tmp_path: Path, media) -> None:
    _write(tmp_path / "j.bin", media, [])
    journal = read_journal(tmp_path / "j.bin")
    assert journal.frames == [] and journal.last_index == -1 and journal.discarded_bytes == 0


def test_truncation_at_every_byte_of_the_last_record_loses_that_record_only(tmp_path: Path, media) -> None:
    _write(tmp_path / "j.bin", media, [1, 2])
    two = (tmp_path / "j.bin").stat().st_size
    results = _write(tmp_path / "j.bin", media, [1, 2, 1])
    data = (tmp_path / "j.bin").read_bytes()
    assert two < len(data)
    for length in range(len(data) - 1, two - 1, -1):
        os.truncate(tmp_path / "j.bin", length)
        journal = read_journal(tmp_path / "j.bin")
        assert len(journal.frames) == 2 and journal.discarded_bytes == length - two
    _assert_same(journal.frames[1], results[1])


def test_a_flipped_bit_anywhere_in_the_last_record_loses_that_record_only(tmp_path: Path, media) -> None:
    _write(tmp_path / "j.bin", media, [1])
    one = (tmp_path / "j.bin").stat().st_size
    _write(tmp_path / "j.bin", media, [1, 1])
    data = (tmp_path / "j.bin").read_bytes()
    with open(tmp_path / "j.bin", "r+b", buffering=0) as file:
        for position in range(one, len(data)):
            for byte in (data[position] ^ (1 << (position % 8)), data[position]):
                file.seek(position)
                file.write(bytes([byte]))
                journal = read_journal(tmp_path / "j.bin")
                assert len(journal.frames) == (2 if byte == data[position] else 1)
                assert journal.discarded_bytes == (0 if byte == data[position] else len(data) - one)


def test_resume_cuts_the_damaged_tail_and_goes_on(tmp_path: Path, media) -> None:
    path = tmp_path / "j.bin"
    results = _write(path, media, [1, 2, 1])
    os.truncate(path, path.stat().st_size - 100)
    writer, journal = JournalWriter.resume(path)
    assert [f.index for f in journal.frames] == [0, 3] and journal.discarded_bytes > 0
    with writer:
        with pytest.raises(InputError, match="got frame 3 after frame 3, expected a later one"):
            writer.append(results[1])
        writer.append(results[2])
    again = read_journal(path)
    assert [f.index for f in again.frames] == [0, 3, 6] and again.discarded_bytes == 0
    assert again.metadata == METADATA
    _assert_same(again.frames[2], results[2])


KILLED = """
import sys
import numpy as np
from rtface.io import JournalWriter
from rtface.types import Coefficients, FaceStatus, FaceTracks, Frame, FrameResult
n = 2
writer = JournalWriter(sys.argv[1], {}, basis="test")
tracks = FaceTracks(np.arange(n, dtype=np.int32), np.zeros((n, 4), np.float32), np.ones(n, np.float32),
                    np.zeros((n, 68, 2), np.float32), np.zeros(n, np.int32))
pixels = np.zeros((4, 4, 3), np.uint8)
for index in range(10**9):
    coefficients = Coefficients.from_vector(np.full((n, 239), index, np.float32), "test")
    writer.append(FrameResult(Frame(pixels, index, index / 25), tracks, None, coefficients, None,
                              np.ones((n, 6), np.float32), np.ones(n, np.float32), (FaceStatus.TRACKED,) * n))
    sys.stdout.write(f"{index}\\n")
    sys.stdout.flush()
"""


def test_a_killed_process_loses_no_frame_that_it_had_appended(tmp_path: Path, media) -> None:
    path = tmp_path / "j.bin"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        while int(process.stdout.readline()) < 500:
            pass
        process.send_signal(signal.SIGKILL)
        said = [500, *(int(line) for line in process.stdout.read().splitlines() if line)]
    assert process.wait() == -signal.SIGKILL
    writer, journal = JournalWriter.resume(path)
    assert journal.last_index >= max(said[:-1], default=500)  # the last line itself may be cut
    assert [f.index for f in journal.frames] == list(range(journal.last_index + 1))
    assert all(f.coefficients.identity[1, 79] == f.index for f in journal.frames)
    with writer:
        writer.append(media.make_result(journal.last_index + 1))
    assert read_journal(path).last_index == journal.last_index + 1


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: b"not a journal at all, but longer than a head",
                                    lambda d: d[:20], lambda d: d[:20] + b"X" + d[21:],
                                    lambda d: d[:7] + b"\x09" + d[8:]])
def test_foreign_and_damaged_files_are_errors_that_name_the_mend(tmp_path: Path, media, damage) -> None:
    path = tmp_path / "j.bin"
    _write(path, media, [1])
    path.write_bytes(damage(path.read_bytes()))
    for function in (read_journal, JournalWriter.resume):
        with pytest.raises(InputError, match=r"j\.bin: got .* start the run anew with --force"):
            function(path)
    with pytest.raises(InputError, match=r"missing\.bin: cannot be read .*--force"):
        read_journal(tmp_path / "missing.bin")


def test_frames_of_another_basis_and_of_a_closed_journal_are_errors(tmp_path: Path, media) -> None:
    writer = JournalWriter(tmp_path / "j.bin", {}, basis="test")
    with pytest.raises(InputError, match="got coefficients of basis 'other', expected 'test'"):
        writer.append(media.make_result(0, basis="other"))
    writer.append(media.make_result(0))
    writer.close()
    writer.close()
    with pytest.raises(InputError, match="closed journal"):
        writer.append(media.make_result(1))


def test_a_full_disk_leaves_a_journal_that_ends_with_the_frame_before(full_disk, media) -> None:
    path = full_disk.folder / "j.bin"
    writer = JournalWriter(path, {}, basis="test")
    writer.append(media.make_result(0, range(3)))
    full_disk()
    with pytest.raises(OutputError, match=rf"cannot write .*j\.bin: {full_disk.message}"):
        for index in range(1, 1000):
            writer.append(media.make_result(index, range(3)))
    writer.close()
    journal = read_journal(path)
    assert journal.discarded_bytes == 0 and [f.index for f in journal.frames] == list(range(len(journal.frames)))
    assert 1 <= len(journal.frames) < 1000


def test_appending_is_fast(tmp_path: Path, media) -> None:
    """Goal 50 µs; the bound leaves room for busy machines."""
    results = [media.make_result(i) for i in range(400)]
    with JournalWriter(tmp_path / "j.bin", {}, basis="test") as writer:
        times = []
        for result in results:
            start = time.perf_counter()
            writer.append(result)
            times.append(time.perf_counter() - start)
    assert np.median(times) < 300e-6
