"""DICOM: files, series, and labels in RTSTRUCT and SEG."""
