"""What an occluder does to a face and what the face does are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtface.config import MemoryConfig
from rtface.errors import InputError
from rtface.geometry import pose_vertices
from rtface.morphable import MorphableModel
from rtface.stages.remember import FaceMemory
from rtface.types import VECTOR_SIZE, Coefficients, Occlusion

IDS, SIZE, STEP_S = np.array([3], np.int32), 128, 1 / 30
SEEN = np.ones((1, 68), np.float32)
MOUTH = "mouthSmileLeft"


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def face(model: MorphableModel, rotation: tuple[float, float, float] = (0, 0, 0), **actions: float) -> Coefficients:
    """One face in the middle of a crop of 128 px, which is the frame."""
    c = Coefficients.from_vector(np.zeros((1, VECTOR_SIZE), np.float32), model.basis_id)
    c.scale[:], c.translation[:], c.rotation[0] = 0.5, (64, 60), rotation
    for name, value in actions.items():
        c.expression[0, model.expression_names.index(name)] = value
    return c


def action(model: MorphableModel, coefficients: Coefficients, name: str = MOUTH) -> float:
    return float(coefficients.expression[0, model.expression_names.index(name)])


def hidden(from_row: int, share: float) -> Occlusion:
    """Everything below a row of the crop is covered, a share of the face."""
    mask = np.zeros((1, 1, SIZE, SIZE), np.float32)
    mask[:, :, from_row:] = 1
    probability = np.concatenate([0 * mask, 1 - mask, mask], axis=1)
    return Occlusion(probability, mask, np.array([1 - share], np.float32), np.eye(2, 3, dtype=np.float32)[None])


FREE, LOWER = hidden(SIZE, 0.0), hidden(64, 0.4)


class Clip:
    """Feeds frames at 30 per second."""

    def __init__(self, model: MorphableModel, **settings: float) -> None:
        self.memory, self.time_s = FaceMemory(model, MemoryConfig(**settings)), 0.0  # type: ignore[arg-type]

    def see(self, coefficients: Coefficients, occlusion: Occlusion | None, frames: int = 1) -> Coefficients:
        """The last of some equal frames."""
        for _ in range(frames):
            out = self.memory.recall(IDS, coefficients, occlusion, SEEN, self.time_s)
            self.time_s += STEP_S
        return out


def test_what_is_seen_passes_as_it_is(model: MorphableModel) -> None:
    rng, clip = np.random.default_rng(0), Clip(model)
    for _ in range(20):
        c = face(model, tuple(rng.normal(0, 0.3, 3)))
        c.expression[:] = rng.random(64)
        out = clip.see(c, FREE)
        np.testing.assert_allclose(out.to_vector(), c.to_vector(), atol=2e-5)


def test_a_smile_stays_under_a_mask_fades_slowly_and_ends_with_it(model: MorphableModel) -> None:
    smile, guess, clip = face(model, mouthSmileLeft=0.8), face(model), Clip(model)
    clip.see(smile, FREE, 30)
    assert action(model, clip.see(guess, LOWER)) > 0.7
    after_a_second = action(model, clip.see(guess, LOWER, 30))
    after_five = action(model, clip.see(guess, LOWER, 120))
    assert 0.55 < after_a_second < 0.8 and 0.15 < after_five < 0.5
    assert action(model, clip.see(guess, LOWER, 600)) < 0.1
    assert action(model, clip.see(smile, FREE, 3)) == pytest.approx(0.8, abs=0.01)


def test_a_hand_that_comes_up_slowly_is_no_movement_of_the_mouth(model: MorphableModel) -> None:
    clip, plain = Clip(model), []
    clip.see(face(model, mouthSmileLeft=0.8), FREE, 30)
    for k in range(1, 11):  # a third of a second; the guess goes with what is covered
        occlusion = hidden(110 - 4 * k, 0.04 * k)
        share = float(clip.memory.hidden(face(model), occlusion)[1][0, model.expression_names.index(MOUTH)])
        plain.append(0.8 * (1 - share))
        out = clip.see(face(model, mouthSmileLeft=plain[-1]), occlusion)
    assert plain[-1] < 0.1 and action(model, out) > 0.6


def test_movement_under_a_mask_that_was_there_before_is_followed(model: MorphableModel) -> None:
    clip = Clip(model)
    for k in range(60):
        out = clip.see(face(model, jawOpen=0.6 * min(k / 30, 1)), LOWER)
    assert action(model, out, "jawOpen") == pytest.approx(0.6, abs=0.06)


def test_free_eyes_blink_at_once_while_the_mouth_is_hidden(model: MorphableModel) -> None:
    clip = Clip(model)
    clip.see(face(model), FREE, 10)
    clip.see(face(model), LOWER, 10)
    out = clip.see(face(model, eyeBlinkLeft=0.9), LOWER)
    assert action(model, out, "eyeBlinkLeft") == pytest.approx(0.9, abs=0.1)


def test_a_turn_that_comes_with_the_occluder_is_taken_off_and_a_later_one_is_followed(model: MorphableModel) -> None:
    clip = Clip(model)
    clip.see(face(model), FREE, 30)
    guess = face(model, (0, 0.2, 0))
    out = clip.see(guess, LOWER)
    assert abs(out.rotation[0, 1]) < 0.08
    rows = model.landmarks68
    placed = [pose_vertices(model.mean[rows][None], c.rotation, c.scale, c.translation)[0, :, :2].mean(axis=0)
              for c in (guess, out)]
    np.testing.assert_allclose(*placed, atol=0.01)  # the seen landmarks stay where they were found
    before = float(out.rotation[0, 1])
    for k in range(1, 31):
        out = clip.see(face(model, (0, 0.2 + 0.4 * k / 30, 0)), LOWER)
    assert out.rotation[0, 1] - before == pytest.approx(0.4, abs=0.1)


def test_angles_may_pass_half_a_turn(model: MorphableModel) -> None:
    clip = Clip(model)
    clip.see(face(model, (0, 0, 3.1)), FREE, 10)
    out = clip.see(face(model, (0, 0, -3.1)), LOWER)
    assert abs(abs(out.rotation[0, 2]) - np.pi) < 0.1


def test_the_filter_is_the_textbooks(model: MorphableModel) -> None:
    """Against Kalman's equations in matrices, for one action whose part and whole are hidden alike."""
    config = MemoryConfig(whole=0.0)
    memory, k = FaceMemory(model, config), model.expression_names.index(MOUTH)
    rng, state, covariance = np.random.default_rng(2), np.zeros(2), np.zeros((2, 2))
    for n in range(80):
        occlusion = hidden(int(rng.integers(60, 110)), 0.3) if n % 40 > 10 else FREE
        y = float(rng.random())
        h = float(memory.hidden(face(model, mouthSmileLeft=y), occlusion)[1][0, k])
        got = action(model, memory.recall(IDS, face(model, mouthSmileLeft=y), occlusion, SEEN, n * STEP_S))
        if n == 0:
            state[0] = y
        else:
            clear = np.exp(-STEP_S * max(1 - h / config.clear_below, 0) / config.clear_s)
            step = np.diag([1, clear * np.exp(-STEP_S / config.fade_s)])
            state = step @ state
            covariance = step @ covariance @ step + np.diag([config.action_pace**2 * STEP_S,
                                                             config.action_error**2 * (1 - clear**2)])
            row = np.array([1, h])
            gain = covariance @ row / (row @ covariance @ row + config.action_noise**2 * h**2 + 1e-12)
            state, covariance = state + gain * (y - row @ state), covariance - np.outer(gain, row @ covariance)
        assert got == pytest.approx(state[0], abs=1e-4)


def test_shares_are_of_what_an_action_moves(model: MorphableModel) -> None:
    memory = FaceMemory(model)
    covered, bears = memory.hidden(face(model), LOWER)
    names = list(model.expression_names)
    assert covered[0, names.index(MOUTH)] > 0.99 and covered[0, names.index("browInnerUp")] < 0.05
    assert bears[0, names.index("browInnerUp")] == pytest.approx(0.6 * 0.4, abs=0.01)
    assert covered[0, 64:] == pytest.approx([0.4] * 3) and (covered <= bears + 1e-12).all()
    far = replace(face(model), translation=np.array([[900, 900]], np.float32))  # the crop does not show this face
    assert memory.hidden(far, hidden(0, 0.0))[0].max() == 0


def test_nobody_is_remembered_where_nobody_looks(model: MorphableModel) -> None:
    clip = Clip(model)
    clip.see(face(model, mouthSmileLeft=0.8), FREE, 30)
    assert action(model, clip.see(face(model, mouthSmileLeft=0.3), None)) == pytest.approx(0.3)
    assert action(model, clip.see(face(model), LOWER)) == 0  # a new face
    off = Clip(model, enabled=False)
    off.see(face(model, mouthSmileLeft=0.8), FREE, 30)
    assert action(model, off.see(face(model), LOWER)) == 0


def test_long_absence_and_reset_forget(model: MorphableModel) -> None:
    smile, guess = face(model, mouthSmileLeft=0.8), face(model)
    for away, low, high in ((1.0, 0.4, 0.81), (3.5, -1e-6, 1e-6)):
        clip = Clip(model)
        clip.see(smile, FREE, 30)
        clip.time_s += away
        assert low <= action(model, clip.see(guess, LOWER)) <= high
    clip.memory.reset()
    assert action(model, clip.see(smile, LOWER)) == pytest.approx(0.8)


def test_numbers_that_are_not_finite_change_no_memory(model: MorphableModel) -> None:
    clip, broken = Clip(model), face(model)
    clip.see(face(model, mouthSmileLeft=0.8), FREE, 30)
    broken.expression[:] = np.nan
    assert np.isnan(clip.see(broken, LOWER).expression).all()
    assert action(model, clip.see(face(model), LOWER)) > 0.7


def test_faces_do_not_share_memories_and_none_is_no_error(model: MorphableModel) -> None:
    memory, smile, guess = FaceMemory(model), face(model, mouthSmileLeft=0.8), face(model)
    def both(a: Coefficients, b: Coefficients) -> Coefficients:
        return Coefficients.from_vector(np.concatenate([a.to_vector(), b.to_vector()]), model.basis_id)

    def twice(o: Occlusion) -> Occlusion:
        return Occlusion(*(np.repeat(a, 2, axis=0) for a in (o.probability, o.mask, o.visible_fraction,
                                                             o.crop_from_frame)))
    for n in range(30):
        memory.recall(np.array([1, 2], np.int32), both(smile, guess), twice(FREE), SEEN.repeat(2, 0), n * STEP_S)
    out = memory.recall(np.array([2, 1], np.int32), both(guess, guess), twice(LOWER), SEEN.repeat(2, 0), 1.0)
    index = model.expression_names.index(MOUTH)
    assert out.expression[0, index] == 0 and out.expression[1, index] > 0.7
    nobody = Coefficients.from_vector(np.zeros((0, VECTOR_SIZE), np.float32), model.basis_id)
    empty = Occlusion(*(a[:0] for a in (LOWER.probability, LOWER.mask, LOWER.visible_fraction,
                                        LOWER.crop_from_frame)))
    assert len(memory.recall(np.zeros(0, np.int32), nobody, empty, SEEN[:0], 1.1)) == 0
    assert memory.recall(IDS - 2, guess, LOWER, SEEN, 1.2).expression[0, index] > 0.7  # the first one is still known


@pytest.mark.parametrize("frames", [0, 35])
def test_a_snapshot_goes_on_exactly_where_it_was_taken(model: MorphableModel, frames: int) -> None:
    first, second, rng = Clip(model), Clip(model), np.random.default_rng(4)
    for n in range(frames):
        first.see(face(model, mouthSmileLeft=float(rng.random())), LOWER if n > 30 else FREE)
    second.memory.restore(first.memory.snapshot())
    second.time_s = first.time_s
    for _ in range(5):
        c = face(model, (0, 0.1, 0), mouthSmileLeft=float(rng.random()))
        assert np.array_equal(first.see(c, LOWER).to_vector(), second.see(c, LOWER).to_vector())


@pytest.mark.parametrize("setting", [{"fade_s": 0.0}, {"whole": 1.5}, {"action_pace": 0.0}, {"enabled": "yes"}])
def test_settings_are_checked(setting: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"MemoryConfig.{next(iter(setting))}"):
        MemoryConfig(**setting)  # type: ignore[arg-type]
