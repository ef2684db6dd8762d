"""Videos that the tests encode themselves: indices, times, orientation, pixel formats, choice of frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtface.errors import InputError, MediaError
from rtface.io import open_source

CONTAINERS = {
    "h264.mp4": {"options": {"g": "8", "bf": "2"}},
    "h264.mov": {"options": {"g": "8", "bf": "0"}},
    "opengop.mkv": {"options": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-adapt=0:scenecut=0"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8:min-keyint=8:bframes=3"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "8", "deadline": "realtime", "cpu-used": "8"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "6"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "8", "bf": "2"}},
    "anim.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_has_its_index_and_time(tmp_path: Path, media, name: str) -> None:
    path = media.make_video(tmp_path / name, 30, **CONTAINERS[name])
    with open_source(path) as source:
        frames = list(source)
        assert source.problems == []
        info = source.info
    assert [media.read_number(f.pixels) for f in frames] == list(range(30))
    assert [f.index for f in frames] == list(range(30))
    np.testing.assert_allclose([f.pts_s for f in frames], np.arange(30) / 25, atol=6e-4)
    assert (info.kind, info.width, info.height, info.rotation_deg) == ("video", 64, 48, 0)
    assert info.fps == pytest.approx(25, rel=0.02)
    assert info.frame_count == pytest.approx(30, abs=1) and info.duration_s == pytest.approx(1.2, abs=0.05)
    assert all(f.pixels.shape == (48, 64, 3) and f.pixels.flags.c_contiguous for f in frames)
    assert all(b.captured_ns >= a.captured_ns > 0 for a, b in zip(frames, frames[1:], strict=False))


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(("start_s", "end_s", "every"), [(0.3, None, 1), (0.64, 1.0, 1), (0.33, 1.1, 3), (None, 0.2, 2),
                                                        (1.16, None, 1)])
def test_start_end_and_every_choose_the_same_frames_as_a_full_read(tmp_path: Path, media, name: str, start_s, end_s,
                                                                   every) -> None:
    path = media.make_video(tmp_path / name, 30, **CONTAINERS[name])
    expected = [(f.index, f.pts_s) for f in open_source(path)
                if (start_s or 0) - 1e-9 <= f.pts_s < (end_s or 99)][::every]
    chosen = open_source(path, start_s=start_s, end_s=end_s, every=every)
    frames = list(chosen)
    assert [f.index for f in frames] == [i for i, _ in expected]
    assert [f.pts_s for f in frames] == pytest.approx([t for _, t in expected], abs=1e-9)
    assert [media.read_number(f.pixels) for f in frames] == [i for i, _ in expected]
    assert chosen.problems == []
    assert chosen.expected_frames == pytest.approx(len(expected), abs=1)


@pytest.mark.parametrize("name", ["h264.mp4", "opengop.mkv", "hevc.mp4", "vp9.webm"])
def test_a_late_start_does_not_decode_what_lies_before(tmp_path: Path, media, name: str) -> None:
    path = media.make_video(tmp_path / name, 40, **CONTAINERS[name])
    source = open_source(path, start_s=1.3)
    plan = source._start_plan()
    assert plan is not None and 16 <= plan.skip_packets <= 33
    assert [f.index for f in source][0] == 33


@pytest.mark.parametrize("at_key_frame", [False, True])
@pytest.mark.parametrize("name", ["h264.mp4", "opengop.mkv", "hevc.mp4"])
def test_a_recording_that_begins_within_a_group_of_pictures_keeps_its_indices(tmp_path: Path, media, name: str,
                                                                              at_key_frame: bool) -> None:
    """Also at a key frame of an open group, whose leading pictures refer to the group before.

    The decoder drops frames at the start then, so that packets cannot be counted instead of frames.
    """
    whole = media.make_video(tmp_path / name, 40, **CONTAINERS[name])
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        wanted = False
        for number, packet in enumerate(source.demux(video=0)):
            wanted |= packet.is_keyframe and number > 0 if at_key_frame else number == 3
            if wanted and packet.size and packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    every = [(f.index, f.pts_s, media.read_number(f.pixels)) for f in open_source(tmp_path / "cut.mkv")]
    late = [(f.index, f.pts_s, media.read_number(f.pixels)) for f in open_source(tmp_path / "cut.mkv", start_s=0.79)]
    assert 30 <= len(every) < 37 and late == [f for f in every if f[1] >= 0.79]


def test_after_index_passes_over_finished_frames_and_keeps_the_step(tmp_path: Path, media) -> None:
    path = media.make_video(tmp_path / "v.mp4", 30)
    assert [f.index for f in open_source(path, start_s=0.08, every=4, after_index=10)] == [14, 18, 22, 26]
    assert [f.index for f in open_source(path, after_index=27)] == [28, 29]
    assert list(open_source(path, after_index=29)) == []
    assert open_source(path, after_index=9, every=2).expected_frames == 10


def test_variable_frame_rate_keeps_the_files_own_times(tmp_path: Path, media) -> None:
    milliseconds = [0, 40, 55, 200, 210, 1000, 1033, 1066, 2500, 2510]
    for name in ("v.mp4", "v.mkv"):
        path = media.make_video(tmp_path / name, 10, pts=milliseconds, time_base=Fraction(1, 1000))
        frames = list(open_source(path))
        np.testing.assert_allclose([f.pts_s for f in frames], np.array(milliseconds) / 1000, atol=1e-6)
        assert [f.index for f in open_source(path, start_s=0.2, end_s=1.05)] == [3, 4, 5, 6]


def test_a_start_offset_is_subtracted(tmp_path: Path, media) -> None:
    path = media.make_video(tmp_path / "v.mkv", 10, pts=list(range(50, 60)))
    assert [round(f.pts_s, 3) for f in open_source(path)] == [round(i / 25, 3) for i in range(10)]
    assert [f.index for f in open_source(path, start_s=0.2)] == [5, 6, 7, 8, 9]


def test_a_stream_without_time_stamps_gets_estimated_times_and_says_so(tmp_path: Path, media) -> None:
    path = media.make_video(tmp_path / "v.h264", 10, options={"bf": "0"})
    source = open_source(path)
    frames = list(source)
    assert [f.index for f in frames] == list(range(10))
    np.testing.assert_allclose([f.pts_s for f in frames], np.arange(10) / 25, atol=1e-6)
    assert source.problems == ["10 frame(s) without a time stamp; estimated from the frame before"]


def _quadrants(_: int = 0) -> np.ndarray:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:] = (220, 30, 30), (30, 200, 30)
    picture[24:, :32], picture[24:, 32:] = (30, 30, 220), (200, 200, 200)
    return picture


def _name_quadrants(pixels: np.ndarray) -> str:
    """Upper left, upper right, lower left, lower right as letters."""
    height, width = pixels.shape[:2]
    colors = {"r": (220, 30, 30), "g": (30, 200, 30), "b": (30, 30, 220), "w": (200, 200, 200)}
    points = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join(min(colors, key=lambda c: np.abs(pixels[y, x].astype(int) - colors[c]).sum()) for y, x in points)


@pytest.mark.parametrize(("counter_clockwise", "hflip", "vflip", "shown", "clockwise"), [
    (0, False, False, "rgbw", 0), (90, False, False, "gwrb", 270), (180, False, False, "wbgr", 180),
    (270, False, False, "brwg", 90), (0, True, False, "grwb", 0), (0, False, True, "bwrg", 180),
    (90, True, False, "wgbr", 90), (90, False, True, "rbgw", 270)])
def test_rotation_and_mirror_metadata_are_applied(tmp_path: Path, media, counter_clockwise: int, hflip: bool,
                                                  vflip: bool, shown: str, clockwise: int) -> None:
    """A picture turned 90 degrees counter-clockwise shows its right edge at the top; mirrors come after the turn."""
    path = media.make_video(tmp_path / "v.mp4", 3, picture=_quadrants, prepare=lambda stream:
                            stream.set_display_rotation(counter_clockwise, hflip=hflip, vflip=vflip))
    source = open_source(path)
    frames = list(source)
    size = (64, 48) if counter_clockwise % 180 else (48, 64)
    assert [f.pixels.shape[:2] for f in frames] == [size] * 3
    assert (source.info.height, source.info.width) == size
    assert [_name_quadrants(f.pixels) for f in frames] == [shown] * 3
    assert frames[0].pixels.flags.c_contiguous
    if not (hflip or vflip):
        assert source.info.rotation_deg == clockwise


@pytest.mark.parametrize(("name", "codec", "pix_fmt", "size"), [
    ("odd.mkv", "ffv1", "yuv420p", (63, 47)), ("odd444.mp4", "libx264", "yuv444p", (61, 45)),
    ("odd.gif", "gif", "rgb8", (63, 47)), ("ten.mkv", "ffv1", "yuv420p10le", (64, 48)),
    ("ten.mp4", "libx265", "yuv420p10le", (64, 48)), ("gray.mkv", "ffv1", "gray", (64, 48)),
    ("gray16.mkv", "ffv1", "gray16le", (64, 48)), ("full.mp4", "libx264", "yuvj420p", (64, 48)),
    ("rgb.mkv", "ffv1", "bgr0", (63, 47))])
def test_odd_sizes_deep_and_gray_pixels_become_rgb8(tmp_path: Path, media, name: str, codec: str, pix_fmt: str,
                                                    size: tuple[int, int]) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = media.make_video(tmp_path / name, 5, codec=codec, pix_fmt=pix_fmt, size=size, options=options)
    frames = list(open_source(path))
    assert [media.read_number(f.pixels) for f in frames] == list(range(5))
    assert {(f.pixels.dtype.name, f.pixels.shape) for f in frames} == {("uint8", (size[1], size[0], 3))}
    expected = media.number_picture(4, *size)[3, 3]
    np.testing.assert_allclose(frames[4].pixels[3, 3].astype(int), expected, atol=50 if codec == "gif" else 5)


def test_transparent_video_is_shown_on_white(tmp_path: Path, media) -> None:
    def picture(_: int) -> np.ndarray:
        rgba = np.full((48, 64, 4), (200, 20, 20, 255), np.uint8)
        rgba[:, 32:, 3] = 0
        return rgba
    path = media.make_video(tmp_path / "v.mov", 2, codec="png", pix_fmt="rgba", picture=picture, input_format="rgba")
    frame = next(iter(open_source(path)))
    np.testing.assert_array_equal(frame.pixels[10, [5, 60]], [(200, 20, 20), (255, 255, 255)])


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path, media) -> None:
    def prepare(stream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
    path = media.make_video(tmp_path / "v.mkv", 2, size=(48, 48), prepare=prepare)
    source = open_source(path)
    assert next(iter(source)).pixels.shape == (48, 64, 3)
    assert (source.info.width, source.info.height) == (64, 48)


def test_color_matrices_are_honoured(tmp_path: Path, media) -> None:
    """The same stored numbers mean other colours in BT.709 than in BT.601."""
    shown = {}
    for name, matrix in (("601", 6), ("709", 1)):
        def prepare(stream, matrix=matrix) -> None:
            stream.codec_context.colorspace = matrix
        planes = np.repeat(np.uint8([[90], [180], [60]]), [48, 12, 12], axis=0).repeat(64, axis=1)
        path = media.make_video(tmp_path / f"{name}.mkv", 1, codec="ffv1", prepare=prepare, input_format="yuv420p",
                                picture=lambda i, planes=planes: planes)
        shown[name] = next(iter(open_source(path))).pixels[20, 20].astype(int)
    luma, cb, cr = (90 - 16) * 255 / 219, (180 - 128) * 255 / 224, (60 - 128) * 255 / 224
    for name, kr, kb in (("601", 0.299, 0.114), ("709", 0.2126, 0.0722)):
        kg = 1 - kr - kb
        red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
        green = (luma - kr * red - kb * blue) / kg
        np.testing.assert_allclose(shown[name], np.clip([red, green, blue], 0, 255), atol=3)


def test_a_source_can_be_read_again_and_dropped_in_the_middle(tmp_path: Path, media) -> None:
    source = open_source(media.make_video(tmp_path / "v.mp4", 10), threads=2)
    iterator = iter(source)
    assert next(iterator).index == 0
    iterator.close()
    assert [f.index for f in source] == list(range(10)) == [f.index for f in source]


def test_the_fingerprint_changes_with_the_file(tmp_path: Path, media) -> None:
    path = media.make_video(tmp_path / "v.mp4", 3)
    before = open_source(path).info.fingerprint
    assert open_source(path).info.fingerprint == before
    media.make_video(path, 3, picture=_quadrants)
    assert open_source(path).info.fingerprint != before


def test_names_that_look_like_addresses_are_files(tmp_path: Path, media, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:ä b.mp4", "100%d.mp4", "[x]*.mp4"):
        media.make_video(tmp_path / "plain.mp4", 2).rename(tmp_path / name)
        assert len(list(open_source(name))) == 2


@pytest.mark.parametrize(("options", "message"), [
    ({"every": 0}, "every: got 0, expected"), ({"start_s": -1.0}, "start: got -1.0 s, expected"),
    ({"start_s": float("nan")}, "start: got nan"), ({"start_s": 2.0, "end_s": 2.0}, "end: got 2 s, expected"),
    ({"fps": 0.0}, "fps: got 0.0, expected"), ({"threads": 0}, "threads: got 0, expected")])
def test_option_values_out_of_range_are_errors(tmp_path: Path, media, options: dict, message: str) -> None:
    path = media.make_video(tmp_path / "v.mp4", 2)
    with pytest.raises(InputError, match=message):
        open_source(path, **options)


def test_a_start_behind_the_end_is_an_error_that_names_the_duration(tmp_path: Path, media) -> None:
    path = media.make_video(tmp_path / "v.mp4", 10)
    with pytest.raises(MediaError, match=r"got no frame from 7 s and before 9 s, expected times within its 0\.400 s"):
        list(open_source(path, start_s=7, end_s=9))
