"""Formats of files by the suffixes of their names."""

NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp")


def format_of(path: str) -> str:
    """Returns `nifti`, `itk` or `pictures` by a file's suffix; empty for any other."""
    name = path.lower()
    for format_name, suffixes in (("nifti", NIFTI), ("itk", ITK), ("pictures", PICTURES)):
        if name.endswith(suffixes):
            return format_name
    return ""
