"""A loaded model: what it promises about points, molecules, randomness and bad input."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import small_molecules, small_vae
from torch.distributions import Normal
from torch.utils.flop_counter import FlopCounterMode

from molvae import generation
from molvae.chem.molecules import canonical
from molvae.core.errors import CheckpointError, DeviceError, MoleculeError
from molvae.generation import MoleculeVAE, load
from molvae.model.interpolation import spherical
from molvae.model.inversion import inverted
from molvae.tokens.rewrite import rewritten
from molvae.tokens.vocabulary import EOS, PAD

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


# --- loading ----------------------------------------------------------------------------------------------------------


def test_load_by_path_and_by_name(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_model, tmp_path / "weights" / "mine")
    monkeypatch.setenv("MOLVAE_HOME", str(tmp_path))
    by_path, by_name = load(tiny_model, device="cpu"), load("mine", device="cpu")
    assert by_name.path == tmp_path / "weights" / "mine"
    np.testing.assert_array_equal(by_path.embed(["CCO"]), by_name.embed(["CCO"]))
    assert by_path.embed(["CCO"]).shape == (1, by_path.latent_dim)


def test_an_unknown_name_lists_what_there_is(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_model, tmp_path / "weights" / "mine")
    monkeypatch.setenv("MOLVAE_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"no model 'theirs'.*mine"):
        load("theirs")
    with pytest.raises(CheckpointError, match="no model"):
        load(tmp_path / "nowhere" / "model")


def test_damaged_and_unfinished_models_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-10] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        load(copy, device="cpu")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(copy, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(tiny_model: Path) -> None:
    with pytest.raises(DeviceError, match="cuda"):
        load(tiny_model, device="cuda")


# --- molecules to points ----------------------------------------------------------------------------------------------


def test_points_do_not_depend_on_company(tiny_vae: MoleculeVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    smiles = small_molecules()[:40]
    mean, std = tiny_vae.posterior(smiles)
    assert mean.dtype == std.dtype == np.float32
    assert mean.shape == std.shape == (40, tiny_vae.latent_dim)
    alone = [tiny_vae.posterior([s]) for s in smiles]
    np.testing.assert_allclose(np.concatenate([m for m, _ in alone]), mean, rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.concatenate([s for _, s in alone]), std, rtol=0, atol=2e-6)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(tiny_vae.embed([smiles[i] for i in order]), mean[order], rtol=0, atol=2e-6)
    monkeypatch.setattr(generation, "CHUNK", 7)
    np.testing.assert_allclose(tiny_vae.embed(smiles), mean, rtol=0, atol=2e-6)


def test_points_are_those_of_the_molecule_and_not_of_the_string(tiny_vae: MoleculeVAE) -> None:
    one, other, again = tiny_vae.embed(["OCc1ccccc1", "c1ccccc1CO", "OCc1ccccc1"])
    np.testing.assert_allclose(other, one, rtol=0, atol=2e-6)  # rows of one product may round differently
    np.testing.assert_allclose(again, one, rtol=0, atol=2e-6)


def test_no_molecules_no_points(tiny_vae: MoleculeVAE) -> None:
    assert tiny_vae.embed([]).shape == (0, tiny_vae.latent_dim)
    assert tiny_vae.decode(np.empty((0, tiny_vae.latent_dim), dtype=np.float32)) == []
    assert tiny_vae.sample(0) == tiny_vae.reconstruct([]) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("C1CC", "not a valid SMILES"),
        ("", "not a valid SMILES"),
        ("CC[Au]", "unknown token"),
        ("C" * 60, "longer than"),
        ("CCO.Cl", "several fragments"),
        (None, "not a valid SMILES"),
        (float("nan"), "not a valid SMILES"),
    ],
)
def test_what_cannot_be_read_is_named_or_nan(tiny_vae: MoleculeVAE, bad: str, reason: str) -> None:
    smiles = ["OCc1ccccc1", bad, "Cc1ccccc1"]
    with pytest.raises(MoleculeError, match=reason) as caught:
        tiny_vae.embed(smiles)
    assert caught.value.index == 1
    assert f"index 1 {bad!r}" in str(caught.value)
    assert caught.value.smiles is bad
    mean, std = tiny_vae.posterior(smiles, on_invalid="nan")
    assert np.isnan(mean[1]).all()
    assert np.isnan(std[1]).all()
    np.testing.assert_allclose(mean[[0, 2]], tiny_vae.embed([smiles[0], smiles[2]]), rtol=0, atol=2e-6)
    assert tiny_vae.reconstruct(smiles, on_invalid="nan")[1] is None
    assert np.isnan(tiny_vae.log_prob(smiles, 2, on_invalid="nan")).tolist() == [False, True, False]


def test_one_string_is_not_a_list(tiny_vae: MoleculeVAE) -> None:
    with pytest.raises(TypeError, match="write \\[smiles\\]"):
        tiny_vae.embed("CCO")


def test_an_error_of_a_molecule_says_how_to_go_on(tiny_vae: MoleculeVAE) -> None:
    with pytest.raises(MoleculeError, match="molecule at index 1 'C1CC'") as caught:
        tiny_vae.embed(["CCO", "C1CC"])
    assert any("on_invalid" in note for note in caught.value.__notes__)


def test_on_invalid_is_one_of_two(tiny_vae: MoleculeVAE) -> None:
    for use in (tiny_vae.embed, tiny_vae.rate, tiny_vae.log_prob, tiny_vae.invert, tiny_vae.reconstruct):
        with pytest.raises(ValueError, match="on_invalid: expected 'raise' or 'nan', got 'skip'"):
            use(["CCO"], on_invalid="skip")  # type: ignore[arg-type, operator]


def test_threads_and_the_global_generator_are_left_alone(tiny_vae: MoleculeVAE) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    tiny_vae.decode(tiny_vae.embed(["OCc1ccccc1"]), temperature=1.0, rng=3)
    tiny_vae.sample(3, rng=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_inverted_points_decode_to_the_molecules(tiny_vae: MoleculeVAE) -> None:
    smiles = small_molecules()  # it was trained on half of them
    mean, inverted = tiny_vae.embed(smiles), tiny_vae.invert(smiles, steps=200)
    known = np.array([a == b for a, b in zip(tiny_vae.decode(mean), smiles, strict=True)])
    back = np.array([a == b for a, b in zip(tiny_vae.decode(inverted), smiles, strict=True)])
    assert 0.1 < known.mean() < 0.9
    assert back.mean() > max(0.9, known.mean() + 0.2)
    assert back[known].all()
    np.testing.assert_array_equal(inverted[known], mean[known])
    assert (inverted[~known] != mean[~known]).any(axis=1).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_inversion_on_cuda(tiny_model: Path) -> None:
    vae, smiles = load(tiny_model, device="cuda"), small_molecules()
    back = [a == b for a, b in zip(vae.decode(vae.invert(smiles, steps=200)), smiles, strict=True)]
    assert sum(back) > 0.9 * len(back)


def test_inversion_needs_no_company_and_leaves_no_trace(tiny_vae: MoleculeVAE) -> None:
    smiles, before = small_molecules()[60:80], [p.grad for p in tiny_vae.network.parameters()]
    together = tiny_vae.invert([*smiles, "C1CC"], steps=5, on_invalid="nan")
    assert np.isnan(together[-1]).all()
    np.testing.assert_allclose(
        np.concatenate([tiny_vae.invert([s], steps=5) for s in smiles]), together[:-1], atol=1e-4
    )
    np.testing.assert_array_equal(tiny_vae.invert(smiles, steps=0), tiny_vae.embed(smiles))
    assert all(p.requires_grad and p.grad is g for p, g in zip(tiny_vae.network.parameters(), before, strict=True))
    with pytest.raises(MoleculeError, match="not a valid SMILES"):
        tiny_vae.invert(["C1CC"])


def test_inversion_goes_backward_to_the_points_alone_and_in_full_precision() -> None:
    vae, steps, precise = small_vae(), 3, []
    decoder, ((_, batch),) = vae.network.decoder, vae._batches(small_molecules()[:20], "raise")
    z = torch.zeros(20, vae.latent_dim)
    with FlopCounterMode(display=False) as forward:
        decoder.logits(batch.tokens, z)
    decoder.output.register_full_backward_hook(lambda *_: precise.append(not torch.backends.cudnn.allow_tf32))
    with FlopCounterMode(display=False) as counter, torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        inverted(decoder, batch.tokens, z, steps)
    assert counter.get_total_flops() <= (2 * steps + 1) * forward.get_total_flops()
    assert precise == [True] * steps


# --- likelihood -------------------------------------------------------------------------------------------------------


def test_bounds_rise_with_k(tiny_vae: MoleculeVAE) -> None:
    smiles = small_molecules()[:24]
    means = [tiny_vae.log_prob(smiles, k, rng=0).mean() for k in (1, 8, 128)]
    assert means[0] < means[1] < means[2] < 0


def test_the_bound_equals_one_written_out(tiny_vae: MoleculeVAE) -> None:
    """log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x), with densities by torch.distributions, for the same draws."""
    molecule, k = small_molecules()[70], 16
    generator = torch.Generator().manual_seed(int(np.random.default_rng(1).integers(2**63)))
    posterior = Normal(*(torch.from_numpy(part) for part in tiny_vae.posterior([molecule])))
    z = posterior.mean + posterior.stddev * torch.randn((k, 1, tiny_vae.latent_dim), generator=generator)
    tokens = torch.from_numpy(tiny_vae.tokenizer.encode(molecule))[None]
    with torch.no_grad():
        log_likelihood = torch.cat([tiny_vae.network.log_prob(tokens, point) for point in z])
    log_ratio = (Normal(0.0, 1.0).log_prob(z) - posterior.log_prob(z)).sum((1, 2))
    expected = torch.logsumexp(log_likelihood + log_ratio, 0) - math.log(k)
    assert tiny_vae.log_prob([molecule], k, rng=1)[0] == pytest.approx(float(expected), abs=1e-3)


# --- points to molecules ----------------------------------------------------------------------------------------------


def test_decoding_keeps_order_length_and_repetitions(tiny_vae: MoleculeVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    z = tiny_vae.embed(small_molecules()[:30])
    found = tiny_vae.decode(np.concatenate([z, z[::-1]]))
    assert len(found) == 60
    assert found[30:] == found[29::-1]
    assert all(molecule is None or molecule == canonical(molecule) for molecule in found)
    monkeypatch.setattr(generation, "CHUNK", 7)
    assert tiny_vae.decode(z) == found[:30]


def test_what_is_learnt_comes_back(tiny_vae: MoleculeVAE) -> None:
    smiles = small_molecules()[:64]
    back = tiny_vae.reconstruct(smiles)
    assert back == tiny_vae.decode(tiny_vae.embed(smiles))
    assert np.mean([a == b for a, b in zip(back, smiles, strict=True)]) > 0.5


def test_a_point_that_is_not_finite_is_no_molecule(tiny_vae: MoleculeVAE) -> None:
    z = tiny_vae.embed(["OCc1ccccc1", "nothing", "Cc1ccccc1"], on_invalid="nan")
    for settings in ({}, {"temperature": 1.0}, {"beam_width": 2}):
        found = tiny_vae.decode(z, **settings)  # type: ignore[arg-type]
        assert found[1] is None
        assert found[0] is not None


@pytest.mark.parametrize("shape", [(8,), (2, 7), (1, 2, 8)])
def test_points_of_another_shape_are_refused(tiny_vae: MoleculeVAE, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 8\)"):
        tiny_vae.decode(np.zeros(shape, dtype=np.float32))


def test_draws_follow_their_seed(tiny_vae: MoleculeVAE) -> None:
    z = np.repeat(tiny_vae.embed(small_molecules()[:1]), 40, axis=0)
    one, same, other = (tiny_vae.decode(z, temperature=1.5, rng=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert len(set(one)) > 1
    rng = np.random.default_rng(1)
    assert tiny_vae.decode(z, temperature=1.5, rng=rng) == one
    assert tiny_vae.decode(z, temperature=1.5, rng=rng) != one  # a generator moves on
    assert set(tiny_vae.decode(z, temperature=1.5, top_p=1e-6, rng=1)) == set(tiny_vae.decode(z[:1]))


def test_beams_are_at_least_as_likely_as_greedy(tiny_vae: MoleculeVAE) -> None:
    z = tiny_vae.embed(small_molecules()[64:72])
    points = torch.from_numpy(z)
    with torch.no_grad():
        greedy = tiny_vae.network.decode(points, 32)
        ids, score = tiny_vae.network.beam(points, 32, 5)
        assert (score[:, 0] >= tiny_vae.network.log_prob(greedy, points) - 1e-3).all()
    assert tiny_vae.decode(z, beam_width=5) == [tiny_vae.tokenizer.decode(row) for row in ids[:, 0].tolist()]


def test_samples_are_molecules(tiny_vae: MoleculeVAE) -> None:
    found = tiny_vae.sample(50, rng=4)
    assert len(found) == 50
    assert found == tiny_vae.sample(50, rng=4) != tiny_vae.sample(50, rng=5)
    assert tiny_vae.sample(50) == tiny_vae.sample(50, rng=np.random.default_rng(0))
    assert all(molecule == canonical(molecule) for molecule in found)


def test_samples_are_no_radicals(tiny_vae: MoleculeVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_vae, "decode", lambda z, *_: ["CCO", "C[CH]C", "[NH3+]C", None][: len(z)])
    assert set(tiny_vae.sample(9)) == {"CCO", "[NH3+]C"}


# --- from molecule to molecule ----------------------------------------------------------------------------------------


def test_interpolation_runs_from_end_to_end(tiny_vae: MoleculeVAE) -> None:
    a, b = small_molecules()[:2]
    found = tiny_vae.interpolate(a, b, steps=7)
    assert len(found) == 7
    assert [found[0], found[-1]] == tiny_vae.reconstruct([a, b])


def test_the_great_arc() -> None:
    rng = np.random.default_rng(0)
    a, b = 2 * rng.standard_normal(16).astype(np.float32), rng.standard_normal(16).astype(np.float32)
    shares = np.linspace(0, 1, 11)
    arc = spherical(a, b, shares)
    np.testing.assert_allclose(arc[[0, -1]], [a, b], atol=1e-5)
    norms = np.linalg.norm(arc, axis=1)
    np.testing.assert_allclose(norms, (1 - shares) * np.linalg.norm(a) + shares * np.linalg.norm(b), rtol=1e-5)
    unit = arc / norms[:, None]
    angles = np.arccos(np.clip((unit[1:] * unit[:-1]).sum(1), -1, 1))
    np.testing.assert_allclose(angles, angles[0], atol=1e-3)  # equal steps


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, 0.0])
def test_where_there_is_no_arc_it_is_a_line(factor: float) -> None:
    a = np.array([1.0, 2.0], dtype=np.float32)
    line = spherical(a, factor * a, np.array([0.0, 0.25, 1.0]))
    np.testing.assert_allclose(line, [a, (0.75 + 0.25 * factor) * a, factor * a], atol=1e-6)


def test_neighbours_are_distinct_others_and_the_nearest_first(tiny_vae: MoleculeVAE) -> None:
    centre = small_molecules()[0]
    found = tiny_vae.neighbours(centre, n=6, radius=3.0, rng=0)
    assert 1 <= len(found) <= 6
    assert len(set(found)) == len(found)
    assert centre not in found
    assert found == tiny_vae.neighbours(centre, n=6, radius=3.0, rng=0)
    assert all(molecule == canonical(molecule) for molecule in found)


def test_neighbours_are_no_radicals(tiny_vae: MoleculeVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_vae, "decode", lambda z, *_, **__: ["CCO", "C[CH]C", "[NH3+]C", None][: len(z)] * 8)
    assert set(tiny_vae.neighbours(small_molecules()[0], n=9)) == {"CCO", "[NH3+]C"}


def test_a_wider_circle_holds_more(tiny_vae: MoleculeVAE) -> None:
    centre = small_molecules()[0]
    sizes = [len(tiny_vae.neighbours(centre, n=50, radius=radius, rng=0)) for radius in (0.0, 6.0)]
    assert sizes[0] <= 1 < sizes[1]  # without noise there is the reconstruction alone


def test_neighbours_of_no_molecule(tiny_vae: MoleculeVAE) -> None:
    with pytest.raises(MoleculeError):
        tiny_vae.neighbours("C1CC")


# --- molecules whose tokens the decoder redraws -----------------------------------------------------------------------


def test_redrawn_molecules_differ_from_theirs_in_a_few_tokens(tiny_vae: MoleculeVAE) -> None:
    smiles = small_molecules()[:6]
    families = tiny_vae.redraw(smiles, tiny_vae.embed(smiles), copies=5, edits=1)
    assert [len(family) for family in families] == [5] * 6
    assert families == tiny_vae.redraw(smiles, tiny_vae.embed(smiles), copies=5, edits=1)
    assert families != tiny_vae.redraw(smiles, tiny_vae.embed(smiles), copies=5, edits=1, rng=1)
    assert all(canonical(s) == s for family in families for s in family)


def test_what_cannot_be_read_is_not_redrawn(tiny_vae: MoleculeVAE) -> None:
    readable = small_molecules()[0]
    families = tiny_vae.redraw(["nonsense", readable], np.zeros((2, tiny_vae.latent_dim)), copies=2)
    assert families[0] == []
    assert len(families[1]) == 2


def test_rewriting_keeps_to_the_chances_and_leaves_the_end() -> None:
    ids, n_tokens = [5, 6, 7, EOS], 9
    chances = np.zeros((4, n_tokens))
    chances[:, [EOS, PAD, 8]] = [0.5, 0.3, 0.2]  # of what may be drawn, 8 alone
    drawn = [rewritten(ids, chances, 1, np.random.default_rng(seed)) for seed in range(200)]
    assert {d[-1] for d in drawn} == {EOS}
    assert {len(d) for d in drawn} == {3, 4, 5}
    removed = [[*ids[:i], *ids[i + 1 :]] for i in range(3)]
    replaced = [[*ids[:i], 8, *ids[i + 1 :]] for i in range(3)]
    inserted = [[*ids[:i], 8, *ids[i:]] for i in range(4)]
    assert {tuple(d) for d in drawn} == {tuple(d) for d in [*removed, *replaced, *inserted]}
    certain = np.eye(n_tokens)[ids]  # the decoder knows no alternative: nothing to draw, only to leave out
    assert {tuple(rewritten(ids, certain, 1, np.random.default_rng(s))) for s in range(50)} == {
        tuple(d) for d in [ids, *removed]
    }


def test_rates_of_no_molecules(tiny_vae: MoleculeVAE) -> None:
    assert tiny_vae.rate([]).shape == (0, tiny_vae.latent_dim)
