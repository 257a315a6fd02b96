"""The run-time checker of signatures: an int passes where a float is declared (PEP 484)."""

from beartype import BeartypeConf, beartype

__all__ = ["checked"]

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
