"""Splits file and folder names into words, and finds those that may name a patient."""

import dataclasses
import re
from collections.abc import Sequence

# Kinds of words; only the first three may name a patient.
ID, NUMBER, WORD, SLICE, SESSION, NOISE = "id", "number", "word", "slice", "session", "noise"

# Role of a file: image or label, subset, format.
_FILES = """
    image images img imgs imagestr imagests volume volumes vol picture pictures photo photos imaging
    scans mask masks label labels labelmap labelmaps labelstr labelsts seg segs segmentation
    segmentations gt gts ground truth groundtruth annotation annotations manual manuals 1st 2nd rs
    rt rtss rtstruct original originals orig data dataset datasets raw png jpg jpeg tif tiff bmp gif
    nifti nii dicom dcm mha nrrd files slices frames patches crops all processed preprocessed
    resized input inputs target targets train training trainval test testa testb testing val valid
    validation dev eval derivatives anat func perf fmap
"""
# Acquisition: modality, sequence, view, side, contrast.
_MAKING = """
    ct cbct mr mri t1 t2 t1w t2w t1c t1ce t1n t1gd t2f t2star pd pdw flair adc dwi dti swi asl bold
    cine dce pet us ultrasound xray cxr oct cta mra angio dermoscopy endoscopy colonoscopy fundus
    histopathology microscopy axial coronal sagittal transversal ax cor sag ap lateral left right l
    r lt cc mlo sa la 2ch 3ch 4ch ed es half sequence pre post contrast plain native venous arterial
    portal delayed rest stress anon
"""
# Classes and diagnoses.
_CLASSES = """
    benign malignant normal abnormal positive negative healthy control controls disease covid tumor
    tumour tumors lesion lesions polyp polyps cancer glaucoma
"""
# Images, masks, slices and frames in other languages.
_ELSEWHERE = """
    图像 图片 影像 切片 掩码 掩膜 标签 标注 画像 スライス マスク ラベル 영상 슬라이스 마스크 라벨
    изображение снимок срез кадр маска метка صورة شريحة bild bilder schnitt schicht maske imagen
    imagenes imágenes corte cortes máscara mascara imagem imagens máscaras fatia quadro coupe
    coupes masque tranche immagine immagini fetta maschera beeld obraz kesit görüntü
"""
_SIDES = frozenset(("left", "right", "l", "r", "lt", "cc", "mlo"))
_NOISE = frozenset((_FILES + _MAKING + _CLASSES + _ELSEWHERE).split())
# With a number these name a part of a collection, and not a patient.
_COLLECTIONS = """
    fold folds part parts subset split set batch site center centre hospital clinic ward cohort
    scanner vendor group task dataset grade class version release challenge phase level
"""
_GROUPS = frozenset(_COLLECTIONS.split())
_SLICES = frozenset(("slice", "slc", "sl", "frame", "fr", "page", "tile", "patch", "crop", "z",
                     "idx", "index", "inst"))  # fmt: skip
_VISITS = """
    ses session visit scan study series run acq rec echo tp timepoint time day week month year
    baseline followup fu date
"""
_SESSIONS = frozenset(_VISITS.split())
_MODALITY = re.compile(r"(?:ct|mri?|pet|us)[-_ ]?\d", re.IGNORECASE)
_DATE = (
    r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)\d{1,2}[-_.]\d{1,2}[-_.](?:19|20)\d\d(?!\d)"
)
_UID = r"\d+(?:\.\d+){4,}"
_TOKEN = re.compile(rf"(?P<date>(?<!\d)(?:{_DATE}))|(?P<uid>{_UID})|(?P<word>[^\s_\-.()\[\]+,;]+)")
_HASH = re.compile(r"[0-9a-f]{16,}", re.IGNORECASE)
_YEAR = re.compile(r"[A-Za-z]{3,}(?:20)?[12]\d")


@dataclasses.dataclass(frozen=True)
class Token:
    """One word of a name.

    Attributes:
        text: The word as written.
        kind: `ID` (letters and digits), `NUMBER`, `WORD`, `SLICE` (number of a slice or frame),
            `SESSION` (of a date, visit, study or series) or `NOISE`.
        start: Index of its first character in the name.
    """

    text: str
    kind: str
    start: int

    @property
    def may_name_patient(self) -> bool:
        """Whether the word may name a patient."""
        return self.kind in (ID, NUMBER, WORD)

    @property
    def has_digit(self) -> bool:
        """Whether the word may name a patient and has a digit."""
        return self.kind in (ID, NUMBER)

    @property
    def is_year(self) -> bool:
        """Whether the word looks like a collection with its year, such as `kits19`."""
        return is_year(self.text)


def tokenize(name: str) -> tuple[Token, ...]:
    """Splits the name of a folder, or of a file without its suffix, into its words."""
    found: list[Token] = []
    for match in _TOKEN.finditer(name):
        text, start = match[0], match.start()
        if match["date"]:
            kind = SESSION
        elif match["uid"]:
            # The last number of an instance counts slices; of a series it is long.
            head, _, last = text.rpartition(".")
            text, kind = (head if len(last) < 6 else text), ID
        else:
            text, kind = _strip_side(text), ""
            kind = _kind(text)
        before = found[-1] if found else None
        if kind == NUMBER and before is not None and not before.text[-1].isdigit():
            word = before.text.lower()
            if word in _SLICES or word in _SESSIONS or word in _GROUPS:
                kind = SLICE if word in _SLICES else SESSION if word in _SESSIONS else NOISE
                found[-1] = dataclasses.replace(before, kind=kind)
        found.append(Token(text, kind, start))
    return tuple(found)


def join(name: str, of: Sequence[Token]) -> str:
    """Joins words of a name as written, without the dates, slices and sides between them."""
    if not of:
        return ""
    first, last = of[0], of[-1]
    between = [token for token in tokenize(name) if first.start <= token.start <= last.start]
    if any(t.kind in (SLICE, SESSION) or t.text.lower() in _SIDES for t in between):
        return "_".join(token.text for token in of)
    return name[first.start : last.start + len(last.text)]


def naming_part(name: str) -> str:
    """Returns a folder's name without modality, subset, date and so on; may be empty."""
    if is_machine_made(name):
        return name
    if _MODALITY.fullmatch(name):
        return ""
    return join(name, [token for token in tokenize(name) if token.may_name_patient])


def is_study(name: str) -> bool:
    """Whether a folder is named after a date, visit, study or series, and not after a patient."""
    kinds = {token.kind for token in tokenize(name)}
    return SESSION in kinds and ID not in kinds


def is_calendar(folder: str, inside: bool) -> bool:
    """Whether a folder is named after a year, or, inside of one, after a month or day."""
    return bool(re.fullmatch(r"\d{1,2}" if inside else r"(?:19|20)\d\d", folder)) or (
        inside and is_study(folder)
    )


def strip_visit(name: str) -> str:
    """Returns a patient's name without the visit: the last of its numbers, if there are several."""
    found = tokenize(name)
    counting = [token for token in found if token.has_digit and not token.is_year]
    if len(counting) < 2 or found[-1] is not counting[-1]:
        return name
    return name[: found[-1].start].rstrip(" _-.")


def is_year(name: str) -> bool:
    """Whether a name is that of a collection and its year, such as `kits19`."""
    return bool(_YEAR.fullmatch(name))


def is_machine_made(name: str) -> bool:
    """Whether a name is a hash or a UID, which is unique."""
    return bool(_HASH.fullmatch(name) or re.fullmatch(_UID, name))


def _kind(word: str) -> str:
    lower = word.lower()
    if lower in _NOISE:
        return NOISE
    if lower.isdecimal():
        return NUMBER
    if not any(letter.isdigit() for letter in lower):
        return SESSION if lower in _SESSIONS and lower != "scan" else WORD
    attached = re.fullmatch(r"(\D+?)\d+", lower)
    if attached:
        stem = attached[1]
        if stem in _SLICES:
            return SLICE
        if stem in _SESSIONS:
            return SESSION
        if stem in _GROUPS:
            return NOISE
        if stem in _NOISE:
            return NUMBER
    return ID


def _strip_side(word: str) -> str:
    """Removes a side or visit: `01L` and `01R` are eyes of one person, `S1V1`, `S1V2` visits."""
    sided = re.fullmatch(r"(.*\d)[LR]|(\d{1,4})[a-f]|([A-Za-z]{1,4}\d+)[VTDvtd]\d{1,2}", word)
    return sided[sided.lastindex or 0] if sided else word
