"""A trained model as a chemist uses it: SMILES in, latent points out, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from molvae.chem.molecules import Charges, Fragments, is_radical
from molvae.chem.reading import OnInvalid, read_each
from molvae.core.arrays import Points
from molvae.core.devices import multiplies_bfloat16, pick_device
from molvae.core.errors import ConfigError, MoleculeError
from molvae.core.files import VOCABULARY
from molvae.data.batch import TokenBatch
from molvae.data.conditions import Conditions
from molvae.data.described import Known, Told
from molvae.model.checkpoint import load_checkpoint, model_directory
from molvae.model.interpolation import spherical
from molvae.model.inversion import INVERSION, inverted
from molvae.model.vae import SequenceVAE
from molvae.tokens.rewrite import rewritten
from molvae.tokens.tokenizer import Tokenizer

Randomness = int | np.random.Generator

CHUNK = 512  # molecules computed together; large enough to be fast, small enough for any memory
ROUNDS = 20  # how often `sample` and `neighbours` try before they give what they have


def load(
    name_or_path: str | Path = "zinc250k",
    device: str = "auto",
    *,
    fast: bool = False,
    fragments: Fragments | None = None,
    charges: Charges | None = None,
) -> MoleculeVAE:
    """A trained model, by the name of shipped weights or from a model directory.

    Args:
        name_or_path: a directory written by `molvae train`, or a name; names are looked up in `$MOLVAE_HOME/weights`
            and then inside the package. The network is never asked.
        device: "auto" (CUDA where it works, else the CPU), "cpu", "cuda", "cuda:1", ...
        fast: encode and decode in bfloat16 where the device multiplies it, up to three times as fast. Numbers then
            differ in the third digit, and with the company of a molecule in its batch.
        fragments: "largest" reads the largest part of a salt or mixture, which "reject" refuses; None as in training.
        charges: "neutralise" adds or removes protons where it can, "keep" does not; None as in training.

    Raises:
        ConfigError: fragments or charges is something else.
        CheckpointError: there is no such model, or its files are damaged.
        DeviceError: the device is not there.
    """
    directory = model_directory(name_or_path)
    network, info = load_checkpoint(directory, pick_device(device))
    network.low_precision = fast and multiplies_bfloat16(network.device)
    tokenizer = Tokenizer.load(directory / VOCABULARY)
    trained = tokenizer.standardiser
    wanted = replace(trained, fragments=fragments or trained.fragments, charges=charges or trained.charges)
    return MoleculeVAE(network, replace(tokenizer, standardiser=wanted), info, directory)


class MoleculeVAE:
    """A `SequenceVAE` together with its tokenizer.

    Every method takes and gives plain SMILES and NumPy arrays; N molecules, Z latent dimensions. What is deterministic
    does not depend on how molecules are batched, up to rounding (2e-6 of a latent coordinate). Randomness comes from
    `rng`, a `numpy.random.Generator` or a seed, which gives the same draws at each call and is 0 unless said otherwise.

    A conditional model reads each molecule together with its properties, and decodes towards properties that it is
    given: `vae.given(logp=3, qed=0.9).sample(10)`.

    Raises:
        ConfigError: the network is conditioned on properties that `info` does not name.
    """

    def __init__(
        self, network: SequenceVAE, tokenizer: Tokenizer, info: dict[str, Any] | None = None, path: Path | None = None
    ) -> None:
        self.network, self.tokenizer, self.info, self.path = network.eval(), tokenizer, info or {}, path
        self.told = Told(Conditions.from_dict(self.info["conditions"]) if "conditions" in self.info else Conditions())
        if network.spec.condition_dim != len(self.properties):
            raise ConfigError(
                f"the network wants {network.spec.condition_dim} properties beside each molecule, but its description "
                f"names {len(self.properties)}; it was made by an older version or by hand, train it again"
            )

    def __repr__(self) -> str:
        told = f", conditioned on {', '.join(self.properties)}" if self.properties else ""
        return f"<MoleculeVAE {self.path or 'in memory'}: {self.latent_dim} dimensions{told}>"

    @property
    def latent_dim(self) -> int:
        """Z."""
        return self.network.latent_dim

    # --- conditions ---------------------------------------------------------------------------------------------------

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of the P properties that the model is conditioned on; none for most models."""
        return self.told.conditions.names

    def given(self, **values: float) -> MoleculeVAE:
        """The same model, decoding towards these properties (a value for each of `properties`, in its own unit).

        Raises:
            ConfigError: the model is not conditional, a name is unknown or missing, or a value is not finite.
        """
        return self._with(replace(self.told, given=self.told.conditions.row(values)))

    def knowing(self, known: Known) -> MoleculeVAE:
        """The same model, which knows more of some molecules: {SMILES: {name: value}}, in the properties' units.

        A molecule is read with what is known of it; what is not is computed, and what cannot be is as it was `given`.

        Raises:
            ConfigError: the model is not conditional, a name is unknown, a value is not finite, or there are two.
            MoleculeError: a molecule cannot be read.
        """
        return self._with(self.told.knowing((self.tokenizer.standardiser(s), values) for s, values in known.items()))

    def describe(self, smiles: Sequence[str], on_invalid: OnInvalid = "raise") -> Points:
        """The molecules' own properties as the model is told them, (N, P), standardised; see `knowing`.

        Raises:
            MoleculeError: see `posterior`; or a property is not known, was not given and cannot be computed.
        """
        if not self.properties:
            return np.empty((len(smiles), 0), dtype=np.float32)
        unknown = [math.nan] * len(self.properties)
        told = read_each(lambda one: self.told.of(self.tokenizer.standardiser(one)), smiles, on_invalid)
        rows = np.array([unknown if values is None else values for values in told])
        return self.told.conditions.standardised(rows.reshape(len(told), len(self.properties)))

    # --- molecules to latent points -----------------------------------------------------------------------------------

    def embed(self, smiles: Sequence[str], on_invalid: OnInvalid = "raise") -> Points:
        """Posterior means, (N, Z): deterministic, the coordinates to use for anything downstream."""
        return self.posterior(smiles, on_invalid)[0]

    def reason(self, smiles: str) -> str:
        """Why there is no point of a molecule, in a few words."""
        try:
            self.embed([smiles])
        except MoleculeError as error:
            return error.reason
        return "the embedding is not finite"

    def posterior(
        self, smiles: Sequence[str], on_invalid: OnInvalid = "raise", inversion: int = 0
    ) -> tuple[Points, Points]:
        """Mean and standard deviation of q(z|x) for each molecule, (N, Z) each.

        Args:
            smiles: the molecules.
            on_invalid: "raise" an error that names index and string, or give a row of "nan".
            inversion: gradient steps, at most, by which a mean that decodes to something else is moved; see `invert`.

        Raises:
            MoleculeError: a molecule is invalid, too long, or has tokens that the model does not know.
            ValueError: on_invalid is something else.
        """
        mean, std = (np.full((len(smiles), self.latent_dim), np.nan, dtype=np.float32) for _ in range(2))
        for rows, batch in self._batches(smiles, on_invalid):
            with torch.inference_mode():
                z, spread = self.network.encode(*batch)
            if inversion:
                z = inverted(self.network.decoder, batch.tokens, z, inversion, self._wanted(batch))
            mean[rows], std[rows] = z.cpu().numpy(), spread.cpu().numpy()
        return mean, std

    def invert(self, smiles: Sequence[str], steps: int = INVERSION, on_invalid: OnInvalid = "raise") -> Points:
        """Points (N, Z) that decode to the molecules: posterior means, moved where decoding them gives something else.

        A large or unusual molecule is often not reconstructed from its mean although some point does decode to it.

        Args:
            smiles: the molecules.
            steps: gradient steps, at most; see `model/inversion.py`. A molecule not reached by then has the last point.
            on_invalid: see `posterior`.
        """
        return self.posterior(smiles, on_invalid, steps)[0]

    def rate(self, smiles: Sequence[str], rng: Randomness = 0, on_invalid: OnInvalid = "raise") -> Points:
        """KL(q(z|x) || p(z)) of each molecule by group of latent dimensions, (N, G) nats.

        Exact, and a group for each dimension, where the prior is normal; else as the bottleneck can tell from one draw
        (see `molvae.nn`).
        """
        generator = self._generator(rng)
        rates: dict[int, Points] = {}
        for rows, batch in self._batches(smiles, on_invalid):
            with torch.inference_mode():
                rate = self.network.bottleneck(self.network.encoder(*batch), generator).rate
            rates.update(zip(rows, rate.cpu().numpy(), strict=True))
        n_groups = len(next(iter(rates.values()))) if rates else self.latent_dim
        unknown = np.full(n_groups, np.nan, dtype=np.float32)
        return np.array([rates.get(row, unknown) for row in range(len(smiles))]).reshape(len(smiles), n_groups)

    def log_prob(
        self, smiles: Sequence[str], k: int = 64, rng: Randomness = 0, on_invalid: OnInvalid = "raise"
    ) -> Points:
        """Importance-weighted lower bound of log p(x) with `k` samples, (N,) nats (Burda et al. 2016, eq. 8).

        It rises to log p(x) with k; k = 1 is the ELBO. p(x) is that of the token sequence of the canonical SMILES. The
        samples are drawn batch by batch, so the estimate of one molecule varies with its company as it does with `rng`.
        """
        generator = self._generator(rng)
        bound = np.full(len(smiles), np.nan, dtype=np.float32)
        with torch.inference_mode():
            for rows, batch in self._batches(smiles, on_invalid, chunk=max(1, CHUNK // k)):
                bound[rows] = self.network.importance_bound(batch, k, generator).cpu().numpy()
        return bound

    # --- latent points to molecules -----------------------------------------------------------------------------------

    def decode(
        self,
        z: Points,
        temperature: float | None = None,
        top_p: float = 1.0,
        rng: Randomness = 0,
        beam_width: int | None = None,
        properties: Points | None = None,
    ) -> list[str | None]:
        """Canonical SMILES of latent points (N, Z), in their order; None where the tokens spell no molecule.

        Greedy by default; with a `temperature` tokens are drawn, from the smallest set that holds `top_p` of the
        probability; with a `beam_width` the likeliest sequence that beam search finds. A point that is not finite (as
        `embed` gives for a molecule that it cannot read) is no molecule. Radicals are among what comes back; `sample`
        and `neighbours` leave them out.

        Args:
            properties: (N, P), for a conditional model: what each point is decoded towards, as `describe` gives it, in
                place of what the model was `given`.

        Raises:
            ValueError: z or properties have another shape.
            ConfigError: the model is conditional, and was not given any properties.
        """
        z = np.asarray(z, dtype=np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"expected latent points of shape (N, {self.latent_dim}), got {z.shape}")
        wanted = self.told.towards(len(z), properties)
        found: list[str | None] = [None] * len(z)
        generator, rows = self._generator(rng), np.flatnonzero(np.isfinite(z).all(axis=1))
        chunk = CHUNK if beam_width is None else max(1, CHUNK // beam_width)
        for chosen in (rows[start : start + chunk] for start in range(0, len(rows), chunk)):
            points = torch.from_numpy(z[chosen]).to(self.network.device)
            told = None if wanted is None else torch.from_numpy(wanted[chosen]).to(self.network.device)
            if beam_width is not None:
                ids = self.network.beam(points, self.tokenizer.max_length, beam_width, told)[0][:, 0]
            else:
                ids = self.network.decode(points, self.tokenizer.max_length, temperature, top_p, generator, told)
            for row, sequence in zip(chosen.tolist(), ids.tolist(), strict=True):
                found[row] = self.tokenizer.decode(sequence)
        return found

    def reconstruct(self, smiles: Sequence[str], on_invalid: OnInvalid = "raise") -> list[str | None]:
        """Each molecule encoded to its posterior mean and decoded greedily (towards its own properties, where the model
        is conditional); None where that fails."""
        return self.decode(self.embed(smiles, on_invalid), properties=self.describe(smiles, on_invalid))

    def prior(self, n: int, rng: Randomness = 0) -> Points:
        """`n` latent points drawn from the prior, (n, Z)."""
        with torch.inference_mode():
            z: Points = self.network.bottleneck.sample(n, self._generator(rng)).cpu().numpy()
        return z

    def sample(self, n: int, temperature: float | None = 1.0, top_p: float = 1.0, rng: Randomness = 0) -> list[str]:
        """`n` molecules from the prior, repetitions included; fewer only if the model spells hardly any molecules.

        The same ones at each call, unless `rng` is another seed or a generator. Radicals are drawn again: the grammar
        of SELFIES allows them, and no molecule to train on had any.
        """
        rng = np.random.default_rng(rng)
        found: list[str] = []
        for _ in range(ROUNDS):
            if len(found) >= n:
                break
            z = self.prior(n - len(found), rng)
            decoded = [s for s in self.decode(z, temperature, top_p, rng) if s is not None]
            found += [s for s in decoded if not is_radical(s)]
        return found

    def interpolate(self, a: str, b: str, steps: int = 10) -> list[str | None]:
        """`steps` molecules from `a` to `b`, both ends included, decoded greedily along the great arc between their
        points, those of `invert`.

        Spherical and not linear, since the middle of a straight line lies nearer to the origin than almost any draw of
        the prior does (White 2016, arXiv:1609.04468). As from `decode`, a molecule between the ends may be a radical.
        """
        ends = self.invert([a, b])
        return self.decode(spherical(ends[0], ends[1], np.linspace(0, 1, steps)))

    def neighbours(
        self, smiles: str, n: int = 10, radius: float = 1.0, temperature: float | None = None, rng: Randomness = 0
    ) -> list[str]:
        """Up to `n` distinct molecules other than `smiles` from around its point in latent space, the nearest first.

        Radicals are left out, as by `sample`.

        Args:
            smiles: the molecule in the middle.
            n: how many; fewer come when the region holds fewer.
            radius: noise added to the point of `invert`, in posterior standard deviations of each dimension.
            temperature: of decoding; None decodes greedily.
            rng: seed or generator.
        """
        rng = np.random.default_rng(rng)
        centre, std = self.posterior([smiles], inversion=INVERSION)
        itself = self.tokenizer.standardiser(smiles)
        found: dict[str, float] = {}
        for _ in range(ROUNDS):
            noise = rng.standard_normal((max(32, 2 * n), self.latent_dim)).astype(np.float32)
            decoded = self.decode(centre + radius * std * noise, temperature, rng=rng)
            for molecule, distance in zip(decoded, np.linalg.norm(noise, axis=1), strict=True):
                if molecule is not None and molecule != itself and not is_radical(molecule):
                    found[molecule] = min(float(distance), found.get(molecule, math.inf))
            if len(found) >= n:
                break
        return sorted(found, key=found.__getitem__)[:n]

    def redraw(
        self, smiles: Sequence[str], z: Points, copies: int = 1, edits: int = 3, rng: Randomness = 0
    ) -> list[list[str]]:
        """Variants of molecules, in which the decoder has rewritten a few tokens.

        The molecule's own tokens are read once with the latent point beside them; then each copy has 1 to `edits` of
        them replaced by, or preceded by, a draw from the decoder's distribution at that place, or left out. So the
        changes are local, even for a molecule that the model does not reconstruct.

        Args:
            smiles: N molecules.
            z: a latent point for each, (N, Z).
            copies: variants of each.
            edits: changes of a variant, at most.
            rng: seed or generator.

        Returns:
            For each molecule its variants, canonical SMILES; fewer where tokens spell none, none where the model
            cannot read it.
        """
        rng = np.random.default_rng(rng)
        found: list[list[str]] = [[] for _ in smiles]
        with torch.inference_mode():
            for rows, batch in self._batches(smiles, "nan"):
                tokens, lengths, _ = batch
                points = torch.from_numpy(np.asarray(z, dtype=np.float32)[rows]).to(tokens.device)
                logits = self.network.decoder.logits(tokens, points, self._wanted(batch))
                chances = torch.softmax(logits, dim=2).cpu().numpy()
                for column, row in enumerate(rows):
                    ids, places = tokens[column, : lengths[column]].tolist(), chances[: lengths[column], column]
                    drawn = (rewritten(ids, places, edits, rng) for _ in range(copies))
                    found[row] = [s for ids in drawn if (s := self.tokenizer.decode(ids)) is not None]
        return found

    # --- inside -------------------------------------------------------------------------------------------------------

    def _with(self, told: Told) -> MoleculeVAE:
        """The same model, told something else."""
        changed = copy(self)
        changed.told = told
        return changed

    def _wanted(self, batch: TokenBatch) -> torch.Tensor | None:
        """What the molecules of a batch are decoded towards: what was given, or else what they are."""
        target = self.told.target(len(batch.tokens))
        return batch.properties if target is None else torch.from_numpy(target).to(batch.tokens.device)

    def _batches(
        self, smiles: Sequence[str], on_invalid: OnInvalid, chunk: int = CHUNK
    ) -> Iterator[tuple[list[int], TokenBatch]]:
        """Batches of similar length with the rows they belong to; molecules that cannot be encoded are left out."""
        encoded = read_each(self.tokenizer.encode, smiles, on_invalid)
        own = torch.from_numpy(self.describe(smiles, on_invalid))
        told = own.isfinite().all(dim=1).tolist()
        rows = [i for i, ids in enumerate(encoded) if ids is not None and told[i]]
        rows.sort(key=lambda i: len(encoded[i]))  # type: ignore[arg-type]
        for start in range(0, len(rows), chunk):
            chosen = rows[start : start + chunk]
            ids = [torch.from_numpy(encoded[i]) for i in chosen]
            tokens, lengths = pad_sequence(ids, batch_first=True), torch.tensor([len(i) for i in ids])
            batch = TokenBatch(tokens, lengths, own[chosen] if self.properties else None)
            yield chosen, batch.to(self.network.device)

    def _generator(self, rng: Randomness) -> torch.Generator:
        return torch.Generator(self.network.device).manual_seed(int(np.random.default_rng(rng).integers(2**63)))
