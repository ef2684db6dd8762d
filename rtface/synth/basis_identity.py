"""Samples identities from MakeHuman's phenotypes and head sliders, aligns them and takes principal components."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtface.synth.basis_sources import Slider, Sources

Array = NDArray[Any]
RACES = ("african", "asian", "caucasian")
GENDERS = ("female", "male")
AGES = ("baby", "child", "young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
GROUP_SIGMA = {"head": 0.30, "forehead": 0.34, "eyebrows": 0.34, "eyes": 0.32, "nose": 0.36, "mouth": 0.32,
               "chin": 0.36, "cheek": 0.36, "ears": 0.40, "neck": 0.24, "asym": 0.22}
"""Spread of a slider by group; sliders are drawn from N(0, 0.5 · sigma): full strength gives caricatures."""


@dataclass(frozen=True)
class Traits:
    """What was drawn for each of n identities."""

    male: Array
    age: Array
    """0 baby, 1 child, 2 young, 3 old."""
    races: Array
    muscle: Array
    weight: Array


def draw_traits(rng: np.random.Generator, n: int) -> Traits:
    """Phenotypes: gender bimodal; age 82 % adult, 14 % child or teen, 4 % toddler; ethnicity Dirichlet(0.55)."""
    towards = np.abs(rng.normal(0, 0.18, n)).clip(0, 0.5)
    male = np.where(rng.random(n) < 0.5, towards, 1 - towards)
    kind = rng.random(n)
    adult = 2 + rng.beta(1.1, 1.5, n)
    age = np.where(kind < 0.82, adult, np.where(kind < 0.96, rng.uniform(1, 2, n), rng.uniform(0.35, 1, n)))
    races = rng.dirichlet([0.55] * 3, n)
    muscle, weight = (rng.normal(0.5, 0.22, n).clip(0, 1) for _ in range(2))
    return Traits(male, age, races, muscle, weight)


def _hat(value: Array, count: int) -> Array:
    """Linear interpolation weights (n, count) of value in 0..count−1."""
    return np.clip(1 - np.abs(value[:, None] - np.arange(count)), 0, 1)


def phenotype_shapes(sources: Sources, traits: Traits, vertices: Array) -> Array:
    """(n, V, 3) dm offsets of the phenotype targets, MakeHuman's products of weights."""
    gender = np.stack([1 - traits.male, traits.male], axis=1)
    age = _hat(traits.age, 4)
    muscle, weight = _hat(traits.muscle * 2, 3), _hat(traits.weight * 2, 3)
    names, factors = [], []
    for (r, race), (g, sex), (a, years) in itertools.product(*map(enumerate, (RACES, GENDERS, AGES))):
        names.append(("macrodetails", f"{race}-{sex}-{years}"))
        factors.append(traits.races[:, r] * gender[:, g] * age[:, a])
    for (g, sex), (a, years), (m, mus), (w, wei) in itertools.product(*map(enumerate, (GENDERS, AGES, MUSCLES,
                                                                                       WEIGHTS))):
        names.append(("macrodetails", f"universal-{sex}-{years}-{mus}-{wei}"))
        factors.append(gender[:, g] * age[:, a] * muscle[:, m] * weight[:, w])
    stack = sources.stack(names, vertices)
    factor = np.stack(factors, axis=1).astype(np.float32)
    return (factor @ stack.reshape(len(stack), -1)).reshape(len(factor), -1, 3)


def _values(rng: np.random.Generator, sliders: list[Slider], n: int) -> Array:
    """Slider values (n, K): left and right partners move together but for a slight asymmetry."""
    index = {s.positive: k for k, s in enumerate(sliders)}
    values = np.empty((n, len(sliders)), np.float32)
    for k, slider in enumerate(sliders):
        sigma = 0.5 * GROUP_SIGMA[slider.group]
        partner = index.get("l-" + slider.positive[2:]) if slider.positive.startswith("r-") else None
        if partner is not None:
            values[:, k] = 0.96 * values[:, partner] + rng.normal(0, 0.28 * sigma, n)
        else:
            values[:, k] = rng.normal(0, sigma, n)
        if slider.negative is None:
            values[:, k] = np.abs(values[:, k])
    return values.clip(-1, 1)


def slider_shapes(sources: Sources, rng: np.random.Generator, n: int, vertices: Array) -> tuple[Array, int, int]:
    """(n, V, 3) dm offsets of the local and asymmetry sliders, and how many of each there are."""
    local, asym = sources.local_sliders(), sources.asymmetry_sliders()
    sliders = local + asym
    values = _values(rng, sliders, n)
    total = np.zeros((n, len(vertices) * 3), np.float32)
    for sign in (1, -1):
        chosen = [(k, s.positive if sign > 0 else s.negative) for k, s in enumerate(sliders)]
        named = [(k, name) for k, name in chosen if name is not None]
        stack = sources.stack([(sliders[k].group, name) for k, name in named], vertices)
        amount = np.maximum(sign * values[:, [k for k, _ in named]], 0)
        total += amount @ stack.reshape(len(stack), -1)
    return total.reshape(n, -1, 3), len(local), len(asym)


def sample_shapes(sources: Sources, vertices: Array, n: int, seed: int) -> tuple[Array, Traits, dict[str, int]]:
    """n random heads (n, V, 3) dm at the chosen base vertices."""
    rng = np.random.default_rng(seed)
    traits = draw_traits(rng, n)
    shapes = phenotype_shapes(sources, traits, vertices)
    extra, local, asym = slider_shapes(sources, rng, n, vertices)
    shapes += extra
    shapes += sources.mesh[0][vertices].astype(np.float32)
    return shapes, traits, {"local_sliders": local, "asymmetry_sliders": asym}


def align(shapes: Array, core: Array, mirror: Array, rounds: int = 3) -> Array:
    """Similarity-align every shape (n, V, 3) to the symmetric mean on the core vertices; scale is removed.

    Changes the array in place. ``mirror`` is the vertex permutation of the reflection in x.
    """
    reference = shapes[:, core].mean(axis=0, dtype=np.float64)
    inverse = np.full(shapes.shape[1], -1)
    inverse[core] = np.arange(len(core))
    partner = inverse[mirror[core]]
    size = float(np.linalg.norm(reference - reference.mean(axis=0)))
    for _ in range(rounds):
        flipped = reference[partner] * (-1, 1, 1)
        reference = (reference + flipped) / 2
        reference -= reference.mean(axis=0)
        reference *= size / np.linalg.norm(reference)
        for i in range(len(shapes)):
            shapes[i] = _similarity(shapes[i], core, reference)
        reference = shapes[:, core].mean(axis=0, dtype=np.float64)
    return shapes


def _similarity(shape: Array, core: Array, reference: Array) -> Array:
    """Umeyama's closed form on the core points; reference is centred."""
    points = shape[core].astype(np.float64)
    center = points.mean(axis=0)
    points -= center
    u, s, vt = np.linalg.svd(points.T @ reference)
    sign = np.sign(np.linalg.det(u @ vt))
    rotation = u @ np.diag([1, 1, sign]) @ vt
    scale = (s * [1, 1, sign]).sum() / (points ** 2).sum()
    return ((shape - center) @ rotation * scale).astype(np.float32)


@dataclass(frozen=True)
class IdentityModel:
    """Symmetric mean, scaled modes and the samples' scores."""

    mean: Array
    """(V, 3)."""
    basis: Array
    """(V, 3, K): mode times standard deviation."""
    scores: Array
    """(n, K), unit variance over the samples and their mirror images."""
    cumulative: Array
    """(K,) cumulative share of the weighted variance of the patch."""
    odd: Array
    """(K,) True where the mode is antisymmetric."""


def principal_components(shapes: Array, patch: Array, weights: Array, mirror: Array, count: int,
                         flip: tuple[int, int, int] = (-1, 1, 1)) -> IdentityModel:
    """PCA of the patch over the samples and their mirror images; other vertices follow by regression.

    With mirror images included every mode is exactly symmetric or antisymmetric, so both families are solved
    apart. weights (len(patch),) are per-vertex variances' weights; flip are the signs of a reflected channel.
    """
    n, total, _ = shapes.shape
    signs = np.array(flip, np.float32)
    mean = shapes.mean(axis=0, dtype=np.float64)
    mean = (mean + mean[mirror] * signs) / 2
    root = np.sqrt(weights)[:, None].astype(np.float32)
    families = []
    for sign in (1, -1):
        part = shapes - mean.astype(np.float32)
        part = (part + sign * part[:, mirror] * signs) / 2
        rows = (part[:, patch] * root).reshape(n, -1)
        gram = (rows @ rows.T).astype(np.float64) / n
        variance, vectors = np.linalg.eigh(gram)
        keep = np.argsort(variance)[::-1][:count]
        families.append((sign, variance[keep], vectors[:, keep] * np.sqrt(n), np.trace(gram), part))
    entire = sum(f[3] for f in families)
    ranked = sorted(((f[1][k], i, k) for i, f in enumerate(families) for k in range(count)), reverse=True)[:count]
    basis, scores, odd = np.empty((total, 3, count)), np.empty((n, count)), np.zeros(count, bool)
    for c, (_, i, k) in enumerate(ranked):
        sign, _, vectors, _, part = families[i]
        score = vectors[:, k]
        mode = np.tensordot(score.astype(np.float32), part, axes=1) / n
        turn = 1.0 if mode.reshape(-1)[np.abs(mode).argmax()] > 0 else -1.0
        basis[:, :, c], scores[:, c], odd[c] = mode * turn, score * turn, sign < 0
    cumulative = np.cumsum([r[0] for r in ranked]) / entire
    return IdentityModel(mean, basis, scores, cumulative, odd)
