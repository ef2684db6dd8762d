"""The mean head, drawn by OpenGL and in software: they must be the same picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rtface.geometry import rotation_matrices
from rtface.render import MeshRenderer, RenderFace, RenderPart, Style

from .conftest import face, posed, psnr, software_picture

# Measured on llvmpipe: 45.7 to 46.6 dB for the whole picture, where outlines of four samples stand against sixteen, and
# 57 dB inside, less than one 8-bit step. For comparison: 41 dB if the face is shifted by a quarter of a pixel, 38 dB
# if the light comes from 10 degrees aside, 32 dB if the head is turned by 1 degree.
PSNR_DB = 43.0
INSIDE_DB = 54.0
POSES = {"frontal": ((0.0, 0.0, 0.0), {}), "turned": ((0.15, -0.55, 0.2), {"jawOpen": 0.6, "mouthSmileLeft": 0.6})}


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("light", ["style", "harmonics"])
def test_mean_head_matches_software_rendering(renderer: MeshRenderer, pose: str, light: str,
                                              head_parts: Callable[..., tuple[RenderPart, ...]]) -> None:
    rotation, actions = POSES[pose]
    gamma = np.array([0.7, -0.2, -0.35, 0.25, 0.1, -0.05, 0.03, 0.08, -0.06], np.float32)
    head = face(head_parts(**actions), rotation, 1.0, (155, 145), gamma if light == "harmonics" else None)
    style = Style()
    renderer.resize(240, 320)
    picture = renderer.render([head], style=style)
    expected = software_picture(head, 240, 320, style)
    assert psnr(picture, expected) > PSNR_DB
    inside = _calm(expected)
    assert inside.sum() > 8000
    assert psnr(picture[inside], expected[inside]) > INSIDE_DB


def _calm(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of the head whose neighbours look alike, which leaves out edges and the background."""
    values = picture.astype(int)
    calm = (np.abs(values - np.rint(255 * np.array(Style().background))).sum(axis=-1) > 30)
    for axis in (0, 1):
        for step in (-1, 1):
            calm &= np.abs(values - np.roll(values, step, axis)).max(axis=-1) < 12
    return calm


def test_head_has_no_speckles(renderer: MeshRenderer, head_parts: Callable[..., tuple[RenderPart, ...]]) -> None:
    """No holes, no z-fighting: on the cheeks and the forehead no pixel stands out from its neighbours."""
    skin = head_parts()[0]
    renderer.resize(480, 480)
    for yaw in np.linspace(-0.7, 0.7, 8):
        head = face(head_parts(), (0.1, yaw, 0.0), 2.0, (240, 270))
        picture = renderer.render([head], style=Style(color=(0.7, 0.7, 0.7))).astype(int)
        forehead = posed(skin, head)[_forehead(skin, head)]
        assert len(forehead) > 50
        x, y = np.rint(forehead[:, :2]).astype(int).T
        around = picture[y[:, None] + np.arange(-1, 2)[None], x[:, None]]  # (P, 3, 3)
        assert np.abs(np.diff(around, axis=1)).max() <= 6


def _forehead(skin: RenderPart, head: RenderFace) -> np.ndarray:
    """(V,) bool: vertices of the forehead that look at the camera."""
    x, y, _ = skin.vertices.T
    towards = -(skin.normals @ rotation_matrices(head.rotation[None])[0][2])
    return (np.abs(x) < 35) & (y < -80) & (y > -120) & (towards > 0.75)


def test_teeth_and_eyes_are_seen_and_the_mouth_is_dark(
        renderer: MeshRenderer, head_parts: Callable[..., tuple[RenderPart, ...]]) -> None:
    parts = head_parts(jawOpen=0.8, mouthUpperUpLeft=0.8, mouthUpperUpRight=0.8, mouthLowerDownLeft=0.8,
                       mouthLowerDownRight=0.8)
    renderer.resize(400, 400)
    pose = {"rotation": (-0.2, 0.5, 0.0), "scale": 4.0, "translation": (200, 50)}
    whole = renderer.render([face(parts, **pose)]).astype(int)
    for kind in ("teeth", "tongue", "mouth"):
        without = [p for p in parts if p.kind != kind]
        changed = np.abs(renderer.render([face(without, **pose)]) - whole).max(axis=-1) > 8
        assert changed.sum() > 100, kind
        if kind == "teeth":
            assert (whole[changed].min(axis=-1) > 170).sum() > 200  # those in front
        if kind == "mouth":
            assert whole[changed].mean() < 70
    eyes = renderer.render([face(parts, scale=4.0, translation=(200, 320))])
    blind = renderer.render([face([p for p in parts if p.kind != "eye"], scale=4.0, translation=(200, 320))])
    seen = (eyes != blind).any(axis=-1)
    assert eyes[seen].max() > 235  # the highlight
    assert eyes[seen].min() < 40  # the pupil


def test_mouth_is_hidden_by_closed_lips(renderer: MeshRenderer,
                                        head_parts: Callable[..., tuple[RenderPart, ...]]) -> None:
    parts = head_parts()
    renderer.resize(200, 200)
    with_mouth = renderer.render([face(parts, scale=1.5, translation=(100, 100))])
    without = renderer.render([face([p for p in parts if p.kind in ("skin", "eye")], scale=1.5,
                                    translation=(100, 100))])
    assert (with_mouth != without).any(axis=-1).sum() <= 40  # the line between the lips


@pytest.mark.parametrize("samples", [0, 4])
def test_more_samples_give_smoother_outlines(renderer: MeshRenderer, context: object, samples: int,
                                             head_parts: Callable[..., tuple[RenderPart, ...]]) -> None:
    skin = head_parts()[:1]
    with MeshRenderer(renderer._context, 200, 200, samples=samples) as other:
        picture = other.render([face(skin, scale=0.8, translation=(100, 110))],
                               style=Style(mode="albedo", color=(1.0, 1.0, 1.0), background=(0.0, 0.0, 0.0)))
    between = ((picture > 0) & (picture < 255)).any(axis=-1).sum()
    assert between > 150 if samples else between == 0


def test_visibility_marks_hidden_vertices(renderer: MeshRenderer,
                                          head_parts: Callable[..., tuple[RenderPart, ...]]) -> None:
    skin = head_parts()[0]
    half = replace(skin, visibility=(skin.vertices[:, 0] < 0).astype(np.float32))
    renderer.resize(200, 200)
    picture = renderer.render([face([half], scale=0.8, translation=(100, 110))], style=Style(mode="visibility"))
    left, right = picture[110, 70].astype(int), picture[110, 130].astype(int)
    assert left[2] > left[0] + 20  # teal
    assert right[0] > right[2] + 60  # orange
