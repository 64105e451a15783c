"""What a config says about workers elsewhere, and addresses of databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from molvae.core.addresses import masked, without_password
from molvae.core.config import dump_config, load_config, parse_config
from molvae.core.errors import ConfigError
from molvae.workers.spec import DistributedSpec, postgresql_address


@pytest.mark.parametrize("address", ["sqlite:///x.db", "mysql://a:s3cret@h/d", "postgresql://", "host"])
def test_other_databases_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="expected postgresql://") as caught:
        parse_config({"storage": address}, DistributedSpec)
    assert "s3cret" not in str(caught.value)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOLVAE_STORAGE", raising=False)
    with pytest.raises(ConfigError, match="MOLVAE_STORAGE"):
        postgresql_address(None)
    monkeypatch.setenv("MOLVAE_STORAGE", "postgres://h/env")
    assert postgresql_address(None) == "postgresql+psycopg://h/env"
    assert postgresql_address("postgresql://h/d") == "postgresql+psycopg://h/d"
    hidden = [
        ("postgresql://ann:p@ss@host:5432/d", "postgresql://ann@host:5432/d"),
        ("--set s=postgresql://ann:x@h/d --seed 3", "--set s=postgresql://ann@h/d --seed 3"),
        ("postgresql://h/d?user=a&password=x&sslmode=on", "postgresql://h/d?user=a&password=&sslmode=on"),
        ("see https://example.org:80/a", "see https://example.org:80/a"),
        ("postgresql://o'ann:x@h/d", "postgresql://o'ann@h/d"),
        ("no postgresql://host as user ann:x@y", "no postgresql://host as user ann:x@y"),
        ("see http://host\nline 3 of a.py:12@b", "see http://host\nline 3 of a.py:12@b"),
    ]
    for address, shown in hidden:
        assert without_password(address) == shown
    for password in ("it's s3cret", 'a"s3cret', "a:b/s3cret@c"):
        spec = DistributedSpec(storage=f"postgresql://ann:{password}@h/d")
        assert "s3cret" not in repr(spec) + str(spec.model_dump())
        assert masked(f"--set=storage=postgresql://ann:{password}@h/d") == "--set=storage=postgresql://ann@h/d"


def test_a_password_is_used_and_not_written(tmp_path: Path) -> None:
    spec = DistributedSpec(storage="postgresql://ann:s3cret@host/d")
    dump_config(spec, tmp_path / "c.toml")
    assert "s3cret" not in (tmp_path / "c.toml").read_text() + repr(spec) + str(spec)
    assert load_config(tmp_path / "c.toml", DistributedSpec).storage == "postgresql://ann@host/d"
    assert "s3cret" in (spec.storage or "")


def test_grace_must_outlast_a_heartbeat() -> None:
    with pytest.raises(ConfigError, match=r"a grace of 30 s should be longer than heartbeat_seconds \(30\)"):
        parse_config({"grace_seconds": 30}, DistributedSpec)
    with pytest.raises(ConfigError, match=r"a grace of 120 s should be longer than heartbeat_seconds \(200\)"):
        parse_config({"heartbeat_seconds": 200}, DistributedSpec)
