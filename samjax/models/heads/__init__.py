"""Heads that give a class to every pixel, without a prompt."""

from samjax.models.heads.config import HeadConfig

__all__ = ["HeadConfig"]
