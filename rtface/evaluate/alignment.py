"""Bringing one shape onto another: by landmarks, by the surface (ICP), and by bending it (thin-plate spline)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.surface import Surface
from rtface.geometry import rotation_about

Doubles = NDArray[np.float64]
ICP_STEPS: Final = 40
ICP_POINTS: Final = 500
"""At most so many points steer the alignment; the distances are measured at all of them afterwards."""
ICP_TOLERANCE: Final = 5e-4
"""Relative gain of the root mean square below which it has settled."""


class Similarity(NamedTuple):
    """x → scale · R x + t."""

    scale: float
    rotation: Doubles
    """(3, 3), proper."""
    translation: Doubles
    """(3,)."""

    @classmethod
    def identity(cls) -> Self:
        """Leaves everything where it is."""
        return cls(1.0, np.eye(3), np.zeros(3))

    def apply(self, points: NDArray[Any]) -> Doubles:
        """Move points (P, 3)."""
        moved: Doubles = self.scale * (np.asarray(points, np.float64) @ self.rotation.T) + self.translation
        return moved

    def undo(self, points: NDArray[Any]) -> Doubles:
        """Move points (P, 3) back."""
        moved: Doubles = (np.asarray(points, np.float64) - self.translation) @ self.rotation / self.scale
        return moved


def fit_similarity(source: NDArray[Any], target: NDArray[Any], *, scaled: bool = True) -> Similarity:
    """The similarity (scaled = False: rigid motion) that brings points (P, 3) nearest to their partners (P, 3).

    Least squares in closed form, never a reflection (Umeyama 1991). InputError with fewer than three points, or where
    they all lie on one line.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3 or len(source) < 3:
        raise InputError(f"alignment: got points {source.shape} and {target.shape}, expected both (P, 3), at least 3")
    from_middle, to_middle = source - source.mean(axis=0), target - target.mean(axis=0)
    left, strengths, right = np.linalg.svd(to_middle.T @ from_middle)
    if not strengths[1] > 1e-12 * max(float(strengths[0]), 1e-300):
        raise InputError("alignment: got points on one line, expected points that span a plane; check the landmarks")
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * signs) @ right
    scale = float((strengths * signs).sum() / (from_middle ** 2).sum()) if scaled else 1.0
    return Similarity(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0))


def fit_surface(points: NDArray[Any], surface: Surface, start: Similarity, *, scaled: bool = True,
                steps: int = ICP_STEPS) -> Similarity:
    """Move the surface so that the squares of the points' distances to it are least; from a start that is near.

    points (P, 3) of the scan; start and result: scan_from_mesh. Iterated closest points (Besl & McKay 1992) with the
    distance linearised along its own direction, as Chen & Medioni (1992) do along the normal, so that it may slide;
    every point counts alike. Stops where nothing is gained any more, and never ends worse than it began. With
    ``scaled`` the surface may also grow and shrink, as the benchmark NoW lets it.
    """
    points = np.asarray(points, np.float64)
    if len(points) > ICP_POINTS:
        points = points[np.random.default_rng(0).permutation(len(points))[:ICP_POINTS]]
    here, best, least = start, start, np.inf
    for _ in range(steps):
        nearest = surface.nearest(here.undo(points))
        foot = here.apply(nearest.point)
        error = float(np.sqrt(np.mean((nearest.distance * here.scale) ** 2)))
        if error < least:
            best, gained, least = here, (least - error) / max(error, 1e-12), error
        else:
            gained = 0.0
        if gained < ICP_TOLERANCE:
            break
        step = _step(points, foot, scaled)
        here = Similarity(step.scale * here.scale, step.rotation @ here.rotation,
                          step.scale * step.rotation @ here.translation + step.translation)
    return best


def _step(points: Doubles, foot: Doubles, scaled: bool) -> Similarity:
    """One Gauss-Newton step for the surface at its points ``foot`` (P, 3): a small turn, shift and growth."""
    away = points - foot
    far = np.linalg.norm(away, axis=1)
    seen = far > 1e-9  # points on the surface have no direction, and nothing to ask for
    if seen.sum() < 7:
        return Similarity.identity()
    away, far = away[seen] / far[seen, None], far[seen]
    middle = foot.mean(axis=0)
    arm = foot[seen] - middle
    reach = float(np.sqrt((arm ** 2).sum(axis=1).mean()))
    columns = [np.cross(arm, away) / reach, away]
    if scaled:
        columns.append(np.einsum("ij,ij->i", arm, away)[:, None] / reach)
    # damped a little: where a patch is nearly a sphere, turning about its centre is left alone
    rows = np.concatenate(columns, axis=1)
    normal = rows.T @ rows
    change = np.linalg.solve(normal + 1e-3 * np.eye(len(normal)) * len(far) / len(normal), rows.T @ far)
    turn, grown = change[:3] / reach, 1 + (float(change[6]) / reach if scaled else 0.0)
    rotation = rotation_about(turn)
    return Similarity(grown, rotation, middle + change[3:6] - grown * rotation @ middle)


def bend(points: NDArray[Any], source: NDArray[Any], target: NDArray[Any], *, stiffness: float = 1.0) -> Doubles:
    """Move points (P, 3) so that ``source`` (L, 3) comes to ``target`` (L, 3) and everything between bends smoothly.

    A thin-plate spline in three dimensions, kernel |r| (Bookstein 1989). stiffness: in the points' unit; 0 meets the
    targets exactly, more lets them be missed for a smoother bend.
    """
    points, source, target = (np.asarray(a, np.float64) for a in (points, source, target))
    count = len(source)

    def kernel(places: Doubles) -> Doubles:
        apart: Doubles = np.linalg.norm(places[:, None] - source[None], axis=2)
        return apart

    flat = np.concatenate([np.ones((count, 1)), source], axis=1)
    system = np.zeros((count + 4, count + 4))
    system[:count, :count] = kernel(source) - stiffness * np.eye(count)  # the kernel |r| is negative definite here
    system[:count, count:], system[count:, :count] = flat, flat.T
    weights = np.linalg.solve(system, np.concatenate([target, np.zeros((4, 3))]))
    moved: Doubles = kernel(points) @ weights[:count] + weights[count] + points @ weights[count + 1:]
    return moved
