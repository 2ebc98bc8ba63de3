"""Checks of types at run time, to which an int is a float, as it is to every type checker."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
