"""Pictures taken on a device are those that the factory draws on the CPU."""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

from rtface.errors import InputError
from rtface.synth import camera
from rtface.synth.background import noise
from rtface.synth.compose import Softening, defocus, finish, grain_field
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.device import film, filters
from rtface.synth.device.studio import Loaded, Reel, Studio
from rtface.synth.device.supply import Order, Supply
from rtface.synth.generator import FaceFactory, Shot, landmark_visibility, segment
from rtface.synth.people import sample_expression, sample_person
from rtface.synth.setups import Setup, sample_setup
from rtface.synth.takes import Take

CPU = torch.device("cpu")
CONFIG = SynthConfig(size=96, supersample=1.5, glare_rate=0.3, defocus_rate=0.5)
KINDS = ((), ("glasses",), ("head",), ("hand", "hat"), ("mask",), ("text",))


class Drawn(NamedTuple):
    """One picture by the CPU."""

    take: Take
    setup: Setup
    behind: np.ndarray
    grain: np.ndarray
    noise: np.ndarray
    shot: Shot
    pixels: np.ndarray
    clean: np.ndarray


@pytest.fixture(scope="module")
def factory():
    return FaceFactory()


def lossless(setup):
    """JPEG and H.264 have tests of their own."""
    return setup._replace(camera=setup.camera._replace(quality=0, qp=0))


@pytest.fixture(scope="module")
def drawn(factory):
    side, out = round(CONFIG.size * CONFIG.supersample), []
    for n, kinds in enumerate(KINDS):
        rng = np.random.default_rng([7, n])
        person = sample_person(rng, factory.model, texture_size=192)
        take = factory.stage(rng, person, sample_expression(rng, factory.model, person.identity), kinds)
        setup = lossless(sample_setup(rng, factory, take, CONFIG))
        if n == 3:
            setup = setup._replace(soft=Softening(0.02, 0.01, 0.06, 0.7))
        behind, grain = factory.background(rng, CONFIG.size, CONFIG.size), grain_field(rng, side, side)
        fog = rng.standard_normal((CONFIG.size, CONFIG.size, 3), dtype=np.float32)
        shot = factory.shoot(rng, take._replace(kinds=tuple(k for k in kinds if k != "text")), setup.pose, setup.light,
                             side, side, distance_mm=setup.distance_mm, twin=True).lit(setup.glare, setup.dimming)
        wall = cv2.resize(defocus(behind, setup.soft), (side, side))
        settings = setup.camera._replace(grain=fog)
        pictures = [finish(shot.drawing, shot.behind, wall, grain, CONFIG.size, setup.soft),
                    finish(shot.clean, shot.clean, wall, grain, CONFIG.size)]
        pixels, clean = (camera.develop(p, settings) for p in pictures)
        out.append(Drawn(take, setup, behind, grain, fog, shot, pixels, clean))
    return out


def together(arrays, device=CPU):
    return torch.from_numpy(np.stack(arrays)).float().to(device)


def shoot(factory, drawn, device, config=CONFIG):
    names = factory.model.expression_names
    takes = [Loaded.on(Reel.of(d.take, names, dense=config.dense), device) for d in drawn]
    return Studio(factory, config, device).shoot(
        takes, [d.setup for d in drawn], together([d.behind.transpose(2, 0, 1) for d in drawn], device),
        together([d.grain for d in drawn], device), noise=together([d.noise.transpose(2, 0, 1) for d in drawn], device))


@pytest.fixture(scope="module")
def pictures(factory, drawn):
    return shoot(factory, drawn, CPU)


def psnr(one, other, peak=255.0):
    return 10 * np.log10(peak**2 / max(np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2), 1e-9))


def rgb(planes):
    return planes.permute(1, 2, 0).cpu().numpy()


@pytest.mark.parametrize("n", [n for n, kinds in enumerate(KINDS) if kinds != ("text",)])
def test_a_picture_is_the_one_that_the_cpu_draws(drawn, pictures, n):
    want = drawn[n]
    assert psnr(want.pixels, rgb(pictures.pixels[n])) > 45
    assert psnr(want.clean, rgb(pictures.clean[n])) > 45
    mask, occluder = segment(want.shot, CONFIG.size)
    assert (pictures.mask[n].numpy() == mask).mean() > 0.998  # the outline's polygon is filled by other rules
    assert np.array_equal(pictures.occluder[n].numpy(), occluder)
    assert (occluder > 0).any() == bool(want.take.kinds)
    shrink = 1 / CONFIG.supersample
    assert np.abs(pictures.landmarks[n].numpy() - want.shot.landmarks[:, :2] * shrink).max() < 0.01
    assert np.array_equal(pictures.visibility[n].numpy(), landmark_visibility(want.shot))
    assert np.abs(pictures.box_xyxy[n].numpy() - want.shot.box_xyxy * shrink).max() < 0.01
    assert pictures.visible_fraction[n] == pytest.approx((mask == 1).sum() / (mask > 0).sum(), abs=0.01)


def test_coefficients_are_those_of_the_take_and_the_place(factory, drawn, pictures):
    for n, want in enumerate(drawn):
        pose, residual = factory.fitted_pose(want.shot.face, want.shot.placed, want.setup.pose)
        pose[3:] /= CONFIG.supersample
        vector = np.concatenate([want.take.person.identity, want.take.expression, want.take.person.albedo,
                                 want.setup.light.harmonics, pose])
        assert np.abs(pictures.coefficients[n].numpy() - vector).max() < 1e-3
        assert float(pictures.residual_mm[n]) == pytest.approx(residual, abs=1e-3)


@pytest.fixture(scope="module")
def dense(factory, drawn):
    return shoot(factory, drawn, CPU, replace(CONFIG, dense=True, camera=False, clean_twin=False)).dense


@pytest.mark.parametrize("n", range(len(KINDS)))
def test_labels_of_every_pixel_are_those_of_the_cpu(factory, drawn, dense, n):
    want, take = drawn[n], drawn[n].take
    labels = factory._dense(want.shot, take.person, take.expression, CONFIG.size)
    assert np.array_equal(dense.clean_parsing[n].numpy(), labels.clean_parsing)
    assert np.abs(dense.contour[n].numpy().astype(int) - labels.contour).max() <= 2
    assert np.array_equal(dense.normals[n].numpy(), labels.normals)
    assert np.allclose(dense.bump_mm[n].numpy(), labels.bump_mm)
    if take.kinds == ("text",):  # which this shot of the CPU leaves out
        small = want.setup.letters[np.ix_(*[np.floor(np.arange(CONFIG.size) * CONFIG.supersample).astype(int)] * 2)]
        assert (dense.parsing[n].numpy()[small] == 0).all()
        assert np.array_equal(dense.parsing[n].numpy()[~small], labels.parsing[~small])
        assert (~dense.seen[n].numpy() & labels.seen).any() and not (dense.seen[n].numpy() & ~labels.seen).any()
        return
    assert np.array_equal(dense.parsing[n].numpy(), labels.parsing)
    assert np.allclose(dense.depth_mm[n].numpy(), labels.depth_mm, atol=0.05, equal_nan=True)
    assert np.array_equal(dense.seen[n].numpy(), labels.seen)
    assert labels.seen.any() and np.isfinite(labels.depth_mm).any() and len(np.unique(labels.parsing)) > 8


def test_lettering_lies_before_everything(drawn, pictures):
    n = KINDS.index(("text",))
    letters = drawn[n].setup.letters
    small = letters[np.ix_(*[np.floor(np.arange(CONFIG.size) * CONFIG.supersample).astype(int)] * 2)]
    assert small.any()
    assert np.array_equal(pictures.occluder[n].numpy() == 1 + OCCLUDER_KINDS.index("text"), small)
    hidden = letters[tuple((drawn[n].shot.landmarks[:, 1::-1]).astype(int).T)]
    assert not pictures.visibility[n].numpy()[hidden].any()


def test_without_occluders_the_twin_is_the_picture(pictures):
    n = KINDS.index(())
    assert torch.equal(pictures.pixels[n], pictures.clean[n])


def textured(seed, size=64):
    rng = np.random.default_rng(seed)
    picture = np.stack([noise(rng, size, size, cells=6.0) for _ in range(3)], axis=-1) * 0.15 + 0.5
    return np.clip(picture, 0, 1).astype(np.float32)


def test_random_cameras_take_what_the_cpu_takes():
    rng, inputs, wanted, settings, grains = np.random.default_rng(3), [], [], [], []
    for seed in range(120):
        picture, setting = textured(seed), camera.draw(rng, (64, 64, 3))._replace(quality=0, qp=0)
        grain = rng.standard_normal((64, 64, 3), dtype=np.float32)
        settings.append(setting)
        wanted.append(camera.develop(picture, setting._replace(grain=grain)))
        inputs.append(picture.transpose(2, 0, 1))
        grains.append(grain.transpose(2, 0, 1))
    got = film.develop(together(inputs), film.Cameras(tuple(settings)), together(grains))
    used = {name for s in settings for name in s._fields if np.any(getattr(s, name))}
    assert {"low_resolution", "cubic", "motion", "blur", "sharpening", "infrared", "vignette", "bands", "tones",
            "noise", "coarse"} <= used
    for n, want in enumerate(wanted):
        apart = np.abs(rgb(got[n]).astype(int) - want)
        # a step of few tones falls to the other side where a value lies on its edge
        assert apart.mean() < (1.5 if settings[n].tones else 0.25), settings[n]


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("quality", [25, 60, 94])
def test_jpeg_loses_what_the_codec_loses(quality, halved):
    pixels = camera.quantize(textured(quality, 96))
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                                              sampling])
    want = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    got = filters.jpeg(together([pixels.transpose(2, 0, 1)]), torch.tensor([float(quality)]), torch.tensor([halved]))
    assert psnr(want, rgb(got[0])) > 42
    assert psnr(want, rgb(got[0])) > psnr(want, pixels) + 6


def test_a_supply_gives_the_same_batches_for_the_same_seed_and_never_ends(factory):
    config = SynthConfig(size=48, clean_twin=False)
    order = Order(batch=5, again=2, pool=4, scenery=2, processes=1, seed=3)

    def three():
        with Supply(config, CPU, order, factory=factory) as supply:
            return [supply.draw() for _ in range(3)]

    first, second = three(), three()
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.pixels, two.pixels) and torch.equal(one.coefficients, two.coefficients)
    assert not torch.equal(first[0].pixels, first[1].pixels)
    people = {tuple(v[:3].tolist()) for batch in first for v in batch.coefficients.numpy()}
    assert 15 / 2 <= len(people) <= 12  # each of them is filmed at most twice


def test_what_cannot_be_drawn_is_refused(factory):
    with pytest.raises(InputError, match="Order"):
        Supply(SynthConfig(), CPU, Order(batch=0))


@pytest.mark.needs_cuda
def test_a_gpu_takes_the_same_pictures(factory, drawn, pictures, dense):
    got = shoot(factory, drawn, torch.device("cuda"))
    for n in range(len(drawn)):
        assert psnr(rgb(pictures.pixels[n]), rgb(got.pixels[n])) > 40
        assert (got.mask[n].cpu() == pictures.mask[n]).float().mean() > 0.998
    assert torch.allclose(got.landmarks.cpu(), pictures.landmarks, atol=0.01)
    assert torch.allclose(got.coefficients.cpu(), pictures.coefficients, atol=1e-3)
    assert torch.equal(got.visibility.cpu(), pictures.visibility)
    config = replace(CONFIG, dense=True, camera=False, clean_twin=False)
    labels = shoot(factory, drawn, torch.device("cuda"), config).dense
    for name in ("parsing", "clean_parsing", "seen"):
        assert (getattr(labels, name).cpu() == getattr(dense, name)).float().mean() > 0.998
    assert ((labels.contour.cpu().int() - dense.contour.int()).abs() > 2).float().mean() < 0.005
    assert ((labels.normals.cpu().int() - dense.normals.int()).abs() > 2).float().mean() < 0.005
    assert torch.isclose(labels.depth_mm.cpu(), dense.depth_mm, atol=0.1, equal_nan=True).float().mean() > 0.998
    assert torch.allclose(labels.bump_mm.cpu(), dense.bump_mm)
