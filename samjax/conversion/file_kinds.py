"""Recognition of file formats by their first bytes, not by their names."""

from pathlib import Path

_HEAD = 512  # Bytes.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LFS = b"version https://git-lfs.github.com/spec/"
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_NO_CHECKPOINT = (  # First bytes, the format, and advice.
    (_LFS, "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"),
    (b"\x1f\x8b", "a gzip file; unpack it first (gunzip, or tar -xzf)"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ\x00", "an xz file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes; expected PyTorch's or safetensors"),
    (b"\x93NUMPY", "a NumPy array; expected PyTorch's or safetensors"),
    (
        _LEGACY_TORCH,
        "PyTorch's format from before version 1.6, which cannot be read safely; load it once "
        "with torch and write it again with torch.save",
    ),
    (b"\x80", "a bare pickle, which cannot be read safely; write it with torch.save"),
)


def kind(path: Path) -> str:
    """Returns the format of a file: `torch` (a zip archive of PyTorch's) or `safetensors`.

    Raises:
        ValueError: It is neither; the message names the file and its format.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_ZIP):
        return "torch"
    if head[8:9] == b"{" and not _is_text(head):
        return "safetensors"
    named = "safetensors file" if path.suffix.lower() == ".safetensors" else "PyTorch checkpoint"
    raise ValueError(
        f"{path}: not a readable {named}: expected a zip file or a safetensors header, "
        f"found {_describe(head)}"
    )


def _describe(head: bytes) -> str:
    if not head:
        return "an empty file; was the download cut off?"
    for start, description in _NO_CHECKPOINT:
        if head.startswith(start):
            return description
    if _is_text(head):
        text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
        if text.startswith(("<!doctype html", "<html", "<head", "<!--")):
            return "an HTML page: the download was answered by a web page, not by the file"
        if text.startswith("<"):
            return "an XML text, such as a server's error message, not the file"
        first = text.splitlines()[0][:60] if text else ""
        return f"a text file that begins {first!r}"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    return "bytes of no known kind; is the file cut short?"


def _is_text(head: bytes) -> bool:
    return bool(head) and not any(byte < 9 or 13 < byte < 32 for byte in head)
