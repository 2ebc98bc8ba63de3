"""DICOM: series, single images and films, with labels in RTSTRUCT, SEG or other formats."""

from samjax.curation.formats.dicom.discovery import discover
from samjax.curation.formats.dicom.series import read

__all__ = ["discover", "read"]
